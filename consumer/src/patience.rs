//! Waiting out what may pass, longer each time.

use std::error::Error;
use std::time::Duration;

use spillway_service::errors::chain;

use crate::acquire::AcquireError;
use crate::log::LogError;
use crate::store::StoreError;

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A failure of something that can be tried again.
pub(crate) trait MayPass: Error {
    /// Whether trying again cannot help.
    fn is_permanent(&self) -> bool;

    /// Whether it is a part of normal operation, so that it is not worth a warning in the log.
    fn is_usual(&self) -> bool {
        false
    }
}

impl MayPass for StoreError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }
}

impl MayPass for LogError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }

    fn is_usual(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }
}

impl MayPass for AcquireError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { wait: RETRY_FIRST }
    }

    /// Waits, or gives the error back when waiting cannot mend it.
    ///
    /// Cancel safety: nothing is lost.
    pub(crate) async fn after<E: MayPass + Send + 'static>(&mut self, error: E) -> Result<(), E> {
        if error.is_permanent() {
            return Err(error);
        }
        let wait_ms = self.wait.as_millis();
        if error.is_usual() {
            tracing::debug!(error = chain(&error), wait_ms, "trying again");
        } else {
            tracing::warn!(
                event = "store_failing",
                error = chain(&error),
                wait_ms,
                "the store fails; trying again"
            );
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RETRY_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_may_pass_is_waited_out_and_the_rest_is_not() {
        let failed = |source| StoreError::Get { object: "x".into(), source };
        let mut patience = Patience { wait: Duration::from_millis(1) };
        let passing = object_store::Error::Generic { store: "test", source: "away".into() };
        assert!(patience.after(failed(passing)).await.is_ok());
        assert_eq!(patience.wait, Duration::from_millis(2));
        let lasting =
            object_store::Error::NotImplemented { operation: "put".into(), implementer: "test".into() };
        assert!(patience.after(failed(lasting)).await.is_err());
    }
}
