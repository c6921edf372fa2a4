//! One connection: a request is read whole, and what the script says is done with it and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::script::Verdict;
use super::{Fault, Shared};
use crate::http::{Request, answer};

pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let request = tokio::select! {
        request = Request::read(&mut client) => request,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    let Ok(Some(request)) = request else { return };
    let verdict = shared.script().decide(&request.method, request.path());
    count(&shared, &request, verdict);
    let told = match verdict {
        Verdict::Pass => pass(&mut client, &shared, &request).await,
        Verdict::Refuse => send(&mut client, &problem(503, "ServiceUnavailable")).await,
        Verdict::Meet(fault, delay) => meet(&mut client, &shared, &request, fault, delay).await,
    };
    if told.is_err() {
        // The client sees a connection that breaks: what happens when a server is away.
        reset(&client);
    }
}

fn count(shared: &Shared, request: &Request, verdict: Verdict) {
    let mut counts = shared.counts();
    *counts.requests.entry(request.method.clone()).or_default() += 1;
    match verdict {
        Verdict::Pass => {}
        Verdict::Refuse => counts.refused += 1,
        Verdict::Meet(fault, _) => *counts.faults.entry(fault).or_default() += 1,
    }
}

async fn meet(
    client: &mut TcpStream,
    shared: &Shared,
    request: &Request,
    fault: Fault,
    delay: Duration,
) -> io::Result<()> {
    match fault {
        Fault::Slow => {
            tokio::time::sleep(delay).await;
            pass(client, shared, request).await
        }
        Fault::ErrorBefore => send(client, &problem(500, "InternalError")).await,
        Fault::Busy => send(client, &problem(503, "SlowDown")).await,
        Fault::Conflict => send(client, &problem(409, "ConditionalRequestConflict")).await,
        Fault::ResetBefore => Err(broken()),
        Fault::ErrorAfter => {
            untold(shared, request).await?;
            send(client, &problem(500, "InternalError")).await
        }
        Fault::ResetAfter => untold(shared, request).await.and(Err(broken())),
        Fault::Cut => {
            let whole = untold(shared, request).await?;
            client.write_all(&whole[..whole.len() / 2]).await?;
            client.flush().await?;
            // What was written must be out before the reset, which would take it back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(broken())
        }
        Fault::Belated => {
            // A client that gets no answer gives up; this one is told at once that it gets none.
            client.shutdown().await?;
            tokio::time::sleep(delay).await;
            untold(shared, request).await.map(drop)
        }
    }
}

/// Has the server do it and gives its answer to the client.
async fn pass(client: &mut TcpStream, shared: &Shared, request: &Request) -> io::Result<()> {
    let whole = ask(shared, request).await?;
    send(client, &whole).await
}

/// Has the server do it; the client will not learn the answer.
async fn untold(shared: &Shared, request: &Request) -> io::Result<Vec<u8>> {
    let whole = ask(shared, request).await?;
    if request.method == "PUT" && whole.get(9..12) == Some(b"200") {
        shared.counts().untold += 1;
    }
    Ok(whole)
}

/// The server's whole answer.
async fn ask(shared: &Shared, request: &Request) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(shared.upstream).await?;
    let mut wire = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "connection") {
        wire += &format!("{name}: {value}\r\n");
    }
    wire += "\r\n";
    server.write_all(wire.as_bytes()).await?;
    server.write_all(&request.body).await?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole).await?;
    if whole.is_empty() { Err(broken()) } else { Ok(whole) }
}

async fn send(client: &mut TcpStream, wire: &[u8]) -> io::Result<()> {
    client.write_all(wire).await?;
    client.shutdown().await
}

fn problem(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    answer(status, "application/xml", &[], body.as_bytes())
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Has the connection end with a RST instead of a FIN when it is dropped.
fn reset(stream: &TcpStream) {
    // If it fails, the client sees an orderly end in the middle of an answer: as good for the test.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}
