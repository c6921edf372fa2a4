//! The thread of a fake server: listens, accepts, and gives every connection to a task of its own.
//!
//! A server runs on one thread with a runtime of its own, so that the handle of a fake can be used
//! from sync and async code.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Why a fake server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The runtime or its thread cannot be started.
    #[error("cannot start the server's thread")]
    Thread(#[source] std::io::Error),
}

/// A listening server.
#[derive(Debug)]
pub(crate) struct Host {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Listens on `listen` and serves every connection with `serve`, on a thread called `name`.
    pub(crate) fn start<F, T>(listen: SocketAddr, name: &str, serve: F) -> Result<Self, StartError>
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = StdListener::bind(listen).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) =
            listener.map_err(|source| StartError::Listen { address: listen, source })?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(accept(listener, serve, stopped)))
            .map_err(StartError::Thread)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the thread ends, which it does only when it is told or fails.
    pub(crate) fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Accepts no more and waits until every connection has ended; the tasks must have been told.
    pub(crate) fn stop(&mut self) {
        self.stop.send_replace(true);
        self.wait();
    }
}

async fn accept<F, T>(listener: StdListener, serve: F, mut stopped: watch::Receiver<bool>)
where
    F: Fn(TcpStream) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    // Fails only without a runtime, and this is inside of one.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    while !*stopped.borrow() {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _)) = accepted {
                // Small writes go out at once.
                let _ = socket.set_nodelay(true);
                connections.spawn(serve(socket));
            },
            _ = stopped.changed() => {}
            // Takes ended connections out of the set.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
