//! What the admin endpoint says of the daemon: one [`Status`] an answer; the page at `/`; and `/history`, the
//! samples of the last hour. This task takes them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spillway_service::admin::{self, Answer, Bound, Endpoint, Failure, Listen, Refusal};
use tokio::time::MissedTickBehavior;

use crate::error::StartError;
use crate::history::{self, History, Sample};
use crate::ledger::unix_ms;
use crate::metrics;
use crate::page;
use crate::pipeline::Shared;
use crate::status::Status;

/// Binds the address, before anything else is touched.
pub(crate) fn bind(listen: Option<&Listen>) -> Result<Option<Bound>, StartError> {
    let bound = listen.map(|listen| {
        admin::bind(listen).map_err(|source| StartError::Listen { address: listen.clone(), source })
    });
    bound.transpose()
}

/// Serves until the runtime ends.
pub(crate) async fn serve(bound: Bound, shared: Arc<Shared>) {
    let daemon = Arc::new(Daemon { shared, history: Mutex::default() });
    tokio::select! {
        () = admin::serve(bound, Arc::clone(&daemon)) => {}
        () = daemon.watch() => {}
    }
}

struct Daemon {
    shared: Arc<Shared>,
    history: Mutex<History>,
}

impl Daemon {
    /// Takes the samples. Cancel safety: each is whole.
    async fn watch(&self) {
        let mut ticks = tokio::time::interval(history::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.history().push(Sample::of(&Status::of(&self.shared)));
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // A panic in the middle of a change leaves whole samples.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The samples later than `after`, all without it.
    fn samples(&self, query: Option<&str>) -> Result<Answer, Refusal> {
        let report = self.history().report(after_ms(query)?, unix_ms(), self.shared.started_ms);
        let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
        Ok(Answer {
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            body: serde_json::to_string(&report).map_err(Failure::from)? + "\n",
        })
    }
}

/// What a question says in `after`: unix milliseconds.
fn after_ms(query: Option<&str>) -> Result<Option<u64>, Refusal> {
    let after = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("after="));
    let read = |text: &str| {
        text.parse().map_err(|_| {
            Refusal::Question(format!(
                "after is {text:?}; give a time in unix milliseconds, a whole number of 0 or more: the at_ms of the \
                 last sample that you have, such as /history?after=1795276800000; without it you get all samples"
            ))
        })
    };
    after.map(read).transpose()
}

impl Endpoint for Daemon {
    fn health(&self) -> Result<(), String> {
        if self.shared.is_stuck.load(Ordering::Relaxed) {
            return Err("a task makes no progress: task_stuck in the log names it".to_owned());
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        Status::of(&self.shared).spool.problem.map_or(Ok(()), Err)
    }

    fn status(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(&Status::of(&self.shared))?)
    }

    fn metrics(&self) -> Result<String, Failure> {
        Ok(metrics::encode(Status::of(&self.shared))?)
    }

    fn more(&self, path: &str, query: Option<&str>) -> Result<Option<Answer>, Refusal> {
        match path {
            "/" => Ok(Some(page::page())),
            "/history" => self.samples(query).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_none_is_refused_with_what_to_give() {
        let read = |query: &str| after_ms(Some(query));
        assert_eq!(after_ms(None).unwrap(), None);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("other=x").unwrap(), None);
        assert_eq!(read("a=b&after=1795276800000").unwrap(), Some(1_795_276_800_000));
        for bad in ["", "-1", "1.5", "yesterday", "18446744073709551616"] {
            let refusal = read(&format!("after={bad}")).unwrap_err();
            let Refusal::Question(said) = &refusal else { panic!("{refusal:?}") };
            assert!(
                said.starts_with(&format!("after is {bad:?}; give a time in unix milliseconds")),
                "{said}"
            );
        }
    }
}
