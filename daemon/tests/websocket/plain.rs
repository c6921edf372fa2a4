//! A WebSocket server that plays a script, a part a connection, and keeps what each client said.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use spillway_testkit::services::websocket::{ClientFrames, Opcode, close, frame, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What a connection gets.
pub(crate) struct Part {
    /// Instead of a WebSocket.
    refusal: Option<String>,
    /// Text messages that the client has to send first.
    greetings: usize,
    wire: Vec<u8>,
    stays: bool,
}

impl Part {
    /// Text messages, then a FIN without a close frame.
    pub(crate) fn texts(texts: &[impl AsRef<str>]) -> Self {
        let wire = texts.iter().flat_map(|text| message(Opcode::Text, text.as_ref().as_bytes(), 0));
        Self { refusal: None, greetings: 0, wire: wire.collect(), stays: false }
    }

    /// An answer in HTTP.
    pub(crate) fn refusal(status: &str, headers: &str) -> Self {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
        Self { refusal: Some(answer), ..Self::texts(&[""; 0]) }
    }

    /// First waits for so many text messages of the client.
    pub(crate) fn after(mut self, greetings: usize) -> Self {
        self.greetings = greetings;
        self
    }

    /// Then these bytes, whatever they are.
    pub(crate) fn then(mut self, wire: &[u8]) -> Self {
        self.wire.extend_from_slice(wire);
        self
    }

    /// Then a close frame.
    pub(crate) fn then_close(self, code: u16) -> Self {
        self.then(&close(code, "by script"))
    }

    /// The connection stays open, and pings are answered, until the client goes.
    pub(crate) fn then_stay(mut self) -> Self {
        self.stays = true;
        self
    }
}

/// The running server. It ends with its script; then nobody listens.
pub(crate) struct Plain {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    texts: Arc<Mutex<Vec<String>>>,
}

impl Plain {
    pub(crate) fn start(script: Vec<Part>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self { address, heads: Arc::default(), texts: Arc::default() };
        let (heads, texts) = (Arc::clone(&server.heads), Arc::clone(&server.texts));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                for part in script {
                    let (socket, _) = listener.accept().await.unwrap();
                    // A client that goes away early is what some tests are about.
                    let _ = serve(socket, part, &heads, &texts).await;
                }
            });
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/stream", self.address)
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The text messages of clients so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap().clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    part: Part,
    heads: &Mutex<Vec<String>>,
    texts: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head = read_head(&mut socket).await?;
    heads.lock().unwrap().push(head.clone());
    if let Some(answer) = part.refusal {
        socket.write_all(answer.as_bytes()).await?;
        return socket.shutdown().await;
    }
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).await?;
    let (reader, mut writer) = socket.into_split();
    let mut client = ClientFrames::new(reader);
    for _ in 0..part.greetings {
        let Some((Opcode::Text, text)) = client.next().await? else { return Ok(()) };
        texts.lock().unwrap().push(String::from_utf8(text).unwrap());
    }
    writer.write_all(&part.wire).await?;
    if part.stays { stay(client, writer).await } else { writer.shutdown().await }
}

async fn stay(mut client: ClientFrames<OwnedReadHalf>, mut writer: OwnedWriteHalf) -> std::io::Result<()> {
    while let Some((opcode, payload)) = client.next().await? {
        if opcode == Opcode::Ping {
            writer.write_all(&frame(Opcode::Pong, true, &payload)).await?;
        }
    }
    Ok(())
}

async fn read_head(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}
