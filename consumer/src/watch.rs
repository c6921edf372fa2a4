//! What others can see of a run while it goes on: the newest [`Status`], and an endpoint that serves it on a
//! thread of its own, so that it answers also when the run or the store's threads hang.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use spillway_service::admin::{self, Bound, Endpoint, Failure};
use tokio::sync::oneshot;

use crate::config::Admin;
use crate::error::Error;
use crate::health;
use crate::status::{Status, metrics};

/// How often a run says how it is.
const INTERVAL: Duration = Duration::from_millis(200);

/// A run, seen from another thread. Clones see the same run.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    status: Option<Arc<Status>>,
    /// When the loop last said so.
    turned: Option<Instant>,
}

impl Watch {
    /// The newest status; at most about a fifth of a second old while the run is well. `None` before its
    /// loop has turned once.
    #[must_use]
    pub fn status(&self) -> Option<Arc<Status>> {
        self.lock().status.clone()
    }

    /// Whether it is time for a new status.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.lock().turned.is_none_or(|turned| now.saturating_duration_since(turned) >= INTERVAL)
    }

    pub(crate) fn set(&self, status: Status, now: Instant) {
        *self.lock() = Seen { status: Some(Arc::new(status)), turned: Some(now) };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said before the loop has turned once.
const STARTING: &str = "it is starting: the store is tried";

impl Endpoint for Watch {
    fn health(&self) -> Result<(), String> {
        // Before its first turn a run ends by itself when it cannot go on.
        let turned = self.lock().turned;
        turned.map_or(Ok(()), |turned| health::check_turns(turned.elapsed()))
    }

    fn ready(&self) -> Result<(), String> {
        self.health()?;
        let status = self.status().ok_or(STARTING)?;
        if status.not_ready.is_empty() { Ok(()) } else { Err(status.not_ready.join("; ")) }
    }

    fn status(&self) -> Result<String, Failure> {
        let status = Watch::status(self).ok_or(STARTING)?;
        Ok(serde_json::to_string_pretty(&*status)?)
    }

    fn metrics(&self) -> Result<String, Failure> {
        let status = Watch::status(self).ok_or(STARTING)?;
        Ok(metrics::encode((*status).clone())?)
    }
}

/// A served endpoint; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to serve, when the configuration asks for it. Done before anything else is touched.
pub(crate) fn serve(admin: Option<&Admin>, watch: Watch) -> Result<Option<Serving>, Error> {
    let Some(admin) = admin else { return Ok(None) };
    let Some(bound) = bind(admin)? else { return Ok(None) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        runtime.block_on(async {
            tokio::select! {
                () = admin::serve(bound, Arc::new(watch)) => {}
                _ = stopped => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(serve).map_err(Error::Thread)?;
    tracing::info!(event = "admin_listening", listen = %admin.listen, "the admin endpoint answers");
    Ok(Some(Serving { stop: Some(stop), thread: Some(thread) }))
}

/// Several members on one machine are usual, and only one of them can have the usual address. One that was
/// asked for must be had.
fn bind(admin: &Admin) -> Result<Option<Bound>, Error> {
    match admin::bind(&admin.listen) {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if !admin.is_asked_for && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(
                event = "admin_unavailable",
                listen = %admin.listen,
                "the usual address of the admin endpoint is taken; this member has none. Set admin.listen"
            );
            Ok(None)
        }
        Err(source) => Err(Error::Listen { address: admin.listen.clone(), source }),
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The other end is gone already when serving failed, which was logged.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                event = "thread_panicked",
                thread = "admin",
                "the admin endpoint's thread panicked"
            );
        }
    }
}

#[cfg(test)]
mod tests;
