//! A server that plays a script: one step a connection, and it keeps what each client asked for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What a connection gets.
#[derive(Clone, Debug)]
pub struct Step {
    /// The answer, in pieces that are written one by one.
    pub pieces: Vec<Vec<u8>>,
    /// Afterwards: say nothing for this long, instead of closing at once.
    pub silence: Duration,
}

impl Step {
    /// A stream of `kind` with this body; it ends when the connection does.
    pub fn stream(kind: &str, body: &[u8]) -> Self {
        Self::answer("200 OK", &format!("Content-Type: {kind}\r\n"), body)
    }

    pub fn events(body: &str) -> Self {
        Self::stream("text/event-stream; charset=utf-8", body.as_bytes())
    }

    pub fn lines(body: &str) -> Self {
        Self::stream("application/json", body.as_bytes())
    }

    pub fn answer(status: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
        Self { pieces: vec![head.into_bytes(), body.to_vec()], silence: Duration::ZERO }
    }

    /// The same, with the body cut into pieces of this length.
    pub fn cut(mut self, length: usize) -> Self {
        let body = self.pieces.pop().unwrap_or_default();
        self.pieces.extend(body.chunks(length).map(<[u8]>::to_vec));
        self
    }

    pub fn then_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }
}

/// The running server. It ends with its script.
pub struct Server {
    pub address: SocketAddr,
    asked: std_mpsc::Receiver<String>,
    _thread: JoinHandle<()>,
}

impl Server {
    pub fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asks, asked) = std_mpsc::channel();
        let thread = std::thread::spawn(move || {
            for step in script {
                let Ok((stream, _)) = listener.accept() else { return };
                // A client that goes away early is what some tests are about.
                let _ = serve(stream, &step, &asks);
            }
        });
        Self { address, asked, _thread: thread }
    }

    pub fn url(&self) -> String {
        format!("http://{}/stream", self.address)
    }

    /// The head of the next request, in lower case.
    pub fn request(&self) -> String {
        self.asked.recv_timeout(Duration::from_secs(20)).unwrap().to_ascii_lowercase()
    }
}

fn serve(mut stream: TcpStream, step: &Step, asks: &std_mpsc::Sender<String>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    asks.send(read_head(&mut stream)?).unwrap();
    for piece in &step.pieces {
        stream.write_all(piece)?;
        stream.flush()?;
    }
    std::thread::sleep(step.silence);
    Ok(())
}

/// Reads up to the empty line after the head.
pub fn read_head(stream: &mut impl std::io::Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A SOCKS5 proxy for one connection, without a password; returns where it was asked to go.
pub fn socks5_once() -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut greeting = [0; 2];
        client.read_exact(&mut greeting).unwrap();
        client.read_exact(&mut vec![0; usize::from(greeting[1])]).unwrap();
        client.write_all(&[5, 0]).unwrap();
        let mut request = [0; 4];
        client.read_exact(&mut request).unwrap();
        assert_eq!(request, [5, 1, 0, 3], "a connection to a name, which the proxy is to look up");
        let mut length = [0];
        client.read_exact(&mut length).unwrap();
        let mut target = vec![0; usize::from(length[0]) + 2];
        client.read_exact(&mut target).unwrap();
        let port = target.split_off(usize::from(length[0]));
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).unwrap();
        read_head(&mut client).unwrap();
        for piece in Step::lines("{\"n\":1}\n").pieces {
            client.write_all(&piece).unwrap();
        }
        format!("{}:{}", String::from_utf8_lossy(&target), u16::from_be_bytes([port[0], port[1]]))
    });
    (address, thread)
}
