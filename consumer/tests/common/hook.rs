//! A webhook for tests: it keeps what it is told of.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use spillway_consumer::{NotifySettings, Webhook};
use spillway_service::secret::Secret;

/// A webhook that refuses the first so many requests, and looks whether what it is told of exists.
pub(crate) struct Hook {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<serde_json::Value>>>,
    pub(crate) refusals: Arc<AtomicUsize>,
}

impl Hook {
    pub(crate) fn start(store: &Path, refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/objects?key=k", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let refusals = Arc::new(AtomicUsize::new(refusals));
        let (store, to, left) = (store.to_owned(), Arc::clone(&heard), Arc::clone(&refusals));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &store, &to, &left);
            }
        });
        Self { url, heard, refusals }
    }

    pub(crate) fn heard(&self) -> Vec<serde_json::Value> {
        self.heard.lock().unwrap().clone()
    }
}

/// One connection, which may carry several requests.
fn serve(stream: TcpStream, store: &Path, heard: &Mutex<Vec<serde_json::Value>>, refusals: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((head, body)) = request(&mut reader) {
        let is_refused =
            refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let answer = if is_refused {
            "503 Service Unavailable"
        } else {
            assert!(head.starts_with("POST /objects?key=k HTTP/1.1"), "{head}");
            assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
            assert!(head.contains("Bearer hunter2"), "{head}");
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let object = store.join(said["object"].as_str().unwrap());
            // An object is there before it is spoken of.
            if object.exists() {
                heard.lock().unwrap().push(said)
            } else {
                return;
            }
            "204 No Content"
        };
        if write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The settings that name it.
pub(crate) fn webhook(url: &str) -> NotifySettings {
    let token = Some(Secret::new("hunter2".into()));
    NotifySettings { webhook: Some(Webhook { url: url.to_owned(), token }), topic: None }
}
