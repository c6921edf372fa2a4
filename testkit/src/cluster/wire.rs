//! The network between clients and brokers: a TCP proxy in the test's own process, one port a broker,
//! that can be cut, silenced or slowed down.
//!
//! Two kinds of outage look different to a client. [`Wire::Cut`] is a machine that is gone: connections
//! break, new ones are refused. [`Wire::Blackhole`] is a network that swallows: connections stand, new
//! ones are accepted, and no byte passes. A byte that was on its way when the hole opened passes when
//! it closes, as TCP would send it again.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::error::Error;

/// Small, so that a slow wire is slow from the first byte on.
const CHUNK: usize = 16 * 1024;

/// How the network between clients and one broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// All bytes pass.
    #[default]
    Pass,
    /// Connections are reset, new ones refused.
    Cut,
    /// TCP stays alive and new connections are accepted, but no byte passes.
    Blackhole,
    /// So many bytes a second, for each connection and direction.
    Slow {
        /// At least 1.
        bytes_per_s: u32,
    },
}

type Command = (Wire, Sender<Result<(), Error>>);

/// The wires of a cluster, one a broker. They end when this is dropped.
#[derive(Debug)]
pub struct Network {
    lines: Vec<mpsc::UnboundedSender<Command>>,
}

impl Network {
    /// Opens a wire for each pair of the port that clients see and the broker's own, both on loopback.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn open(ports: &[(u16, u16)]) -> Result<Self, Error> {
        let mut lines = Vec::new();
        let mut work = Vec::new();
        for (port, target) in ports {
            let (line, commands) = mpsc::unbounded_channel();
            work.push(serve(*port, *target, commands));
            lines.push(line);
        }
        let network = Self { lines };
        let run = move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut all = tokio::task::JoinSet::new();
                for line in work {
                    all.spawn(line);
                }
                all.join_all().await;
            });
            Ok(())
        };
        let thread = std::thread::Builder::new().name("wires".to_owned()).spawn(run);
        thread.map_err(|source| Error::Wire { port: 0, source })?;
        network.set(Wire::Pass)?;
        Ok(network)
    }

    /// Changes all wires. When it returns, new connections are treated so; open ones follow at once.
    ///
    /// # Errors
    /// When a port that was given up by [`Wire::Cut`] is taken.
    pub fn set(&self, wire: Wire) -> Result<(), Error> {
        let waiting: Vec<_> = self.lines.iter().map(|line| send(line, wire)).collect();
        waiting.into_iter().try_for_each(|answer| answer.recv().map_err(|_| Error::NetworkEnded)?)
    }

    /// Changes the wire of one broker, counted from 1.
    ///
    /// # Errors
    /// As [`Network::set`], and when there is no such broker.
    pub fn set_one(&self, broker: u8, wire: Wire) -> Result<(), Error> {
        let index = usize::from(broker).checked_sub(1);
        let line = index.and_then(|i| self.lines.get(i)).ok_or(Error::NoBroker(broker))?;
        send(line, wire).recv().map_err(|_| Error::NetworkEnded)?
    }
}

fn send(line: &mpsc::UnboundedSender<Command>, wire: Wire) -> Receiver<Result<(), Error>> {
    let (answer, answered) = bounded(1);
    // Without a receiver the answer's sender is dropped, and the caller learns it from that.
    let _ = line.send((wire, answer));
    answered
}

/// Serves one port until its commands end.
async fn serve(port: u16, target: u16, mut commands: mpsc::UnboundedReceiver<Command>) {
    let (state, _) = watch::channel(Wire::Cut);
    let mut listener: Option<TcpListener> = None;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some((wire, answer)) = command else { return };
                let opened = open(&mut listener, port, wire).await;
                state.send_replace(wire);
                // Who asked may have stopped waiting.
                let _ = answer.send(opened);
            }
            client = accept(listener.as_ref()) => {
                connections.spawn(connection(client, target, state.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Opens or closes the door, as the wire's state wants it.
async fn open(listener: &mut Option<TcpListener>, port: u16, wire: Wire) -> Result<(), Error> {
    if wire == Wire::Cut {
        *listener = None;
    } else if listener.is_none() {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        *listener = Some(bound.map_err(|source| Error::Wire { port, source })?);
    }
    Ok(())
}

/// The next connection; never, while the door is closed. Cancel safe: nothing is accepted and dropped.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    if let Some(listener) = listener {
        loop {
            // An error concerns the connection that did not come about.
            if let Ok((client, _)) = listener.accept().await {
                return client;
            }
        }
    }
    std::future::pending().await
}

/// Carries one connection to its end.
async fn connection(mut client: TcpStream, target: u16, state: watch::Receiver<Wire>) {
    let mut cut = state.clone();
    let carried = tokio::select! {
        // An error means that the sender is gone, and with it the whole network.
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => false,
        carried = carry(&mut client, target, state) => carried.is_ok(),
    };
    if !carried {
        reset(&client);
    }
}

async fn carry(client: &mut TcpStream, target: u16, mut state: watch::Receiver<Wire>) -> std::io::Result<()> {
    passable(&mut state).await;
    let mut broker = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target))).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_broker, to_broker) = broker.split();
    let up = copy(from_client, to_broker, state.clone());
    let down = copy(from_broker, to_client, state);
    tokio::try_join!(up, down).map(drop)
}

/// Copies one direction; the end of one stream becomes the end of the other.
async fn copy(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut state: watch::Receiver<Wire>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let room = chunk_of(passable(&mut state).await);
        let length = from.read(&mut buffer[..room]).await?;
        let wire = passable(&mut state).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        if let Wire::Slow { bytes_per_s } = wire {
            let micros = length as u64 * 1_000_000 / u64::from(bytes_per_s.max(1));
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
    }
}

/// A tenth of a second's worth, at most.
fn chunk_of(wire: Wire) -> usize {
    match wire {
        Wire::Slow { bytes_per_s } => usize::try_from(bytes_per_s / 10).unwrap_or(CHUNK).clamp(1, CHUNK),
        Wire::Pass | Wire::Cut | Wire::Blackhole => CHUNK,
    }
}

/// Waits until bytes may pass, and says how. A cut ends the connection elsewhere.
async fn passable(state: &mut watch::Receiver<Wire>) -> Wire {
    let may_pass = |wire: &Wire| !matches!(wire, Wire::Blackhole | Wire::Cut);
    let wire = state.wait_for(may_pass).await.map(|wire| *wire).ok();
    match wire {
        Some(wire) => wire,
        // The network is gone: this connection is about to be dropped.
        None => std::future::pending().await,
    }
}

/// Has the connection end with a RST instead of a FIN when it is dropped.
fn reset(stream: &TcpStream) {
    // If it fails, the peer sees an orderly end instead of a broken one: no worse for the test.
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}
