//! What refuses the daemon here: a Kafka broker that turns down every login, and an instance metadata
//! service whose credentials are secrets to look for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server on a port of its own; its thread ends with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// All bytes that clients sent.
    pub(crate) heard: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    /// `serve` gets each connection, and where to keep what it hears.
    fn start(serve: impl Fn(TcpStream, &Mutex<Vec<u8>>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keep, serve) = (Arc::clone(&keep), serve.clone());
                std::thread::spawn(move || serve(stream, &keep));
            }
        });
        Self { address, heard }
    }

    pub(crate) fn has_heard(&self, bytes: &[u8]) -> bool {
        self.heard.lock().unwrap().windows(bytes.len()).any(|window| window == bytes)
    }

    /// A broker that speaks as much of the protocol as a login by PLAIN needs, and refuses it.
    pub(crate) fn broker() -> Self {
        Self::start(|stream, heard| {
            // The client's farewell is no concern of this test.
            let _ = refuse_logins(stream, heard);
        })
    }

    /// Version 2 of EC2's instance metadata service.
    pub(crate) fn metadata(secret_key: &'static str, session: &'static str) -> Self {
        Self::start(move |mut stream, heard| {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            heard.lock().unwrap().extend(&head);
            let head = String::from_utf8_lossy(&head);
            let body = match head.split_whitespace().nth(1).unwrap_or_default() {
                "/latest/api/token" => "session-1".to_owned(),
                path if path.ends_with("/edge") => format!(
                    r#"{{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"{secret_key}","Token":"{session}","Expiration":"2099-01-01T00:00:00Z"}}"#
                ),
                _ => "edge".to_owned(),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        })
    }
}

const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
const UNSUPPORTED_VERSION: i16 = 35;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

fn refuse_logins(mut stream: TcpStream, heard: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
        if size > 1 << 20 {
            // A TLS handshake is no size. What is answered is no handshake.
            return stream.write_all(b"this is no TLS here\r\n");
        }
        let mut request = vec![0; size];
        stream.read_exact(&mut request)?;
        heard.lock().unwrap().extend(&request);
        let key = i16::from_be_bytes([request[0], request[1]]);
        let version = i16::from_be_bytes([request[2], request[3]]);
        let mut answer = request[4..8].to_vec();
        match key {
            API_VERSIONS => {
                // Only version 0 is spoken; a newer request is told so and comes again.
                let error = if version == 0 { 0 } else { UNSUPPORTED_VERSION };
                answer.extend(error.to_be_bytes());
                let apis = [(API_VERSIONS, 0), (SASL_HANDSHAKE, 1), (SASL_AUTHENTICATE, 0), (3, 4), (0, 7)];
                answer.extend(5_i32.to_be_bytes());
                for (api, newest) in apis {
                    answer.extend([api, 0, newest].into_iter().flat_map(i16::to_be_bytes));
                }
            }
            SASL_HANDSHAKE => {
                answer.extend(0_i16.to_be_bytes());
                answer.extend(1_i32.to_be_bytes());
                answer.extend(5_i16.to_be_bytes());
                answer.extend(b"PLAIN");
            }
            SASL_AUTHENTICATE => {
                answer.extend(SASL_AUTHENTICATION_FAILED.to_be_bytes());
                answer.extend(15_i16.to_be_bytes());
                answer.extend(b"unknown to us :");
                answer.extend((-1_i32).to_be_bytes());
            }
            _ => return Ok(()),
        }
        let length = u32::try_from(answer.len()).unwrap_or_default();
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}
