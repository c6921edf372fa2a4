//! Delivers what is due to one target, in order, as often as it takes, and marks how far it has come.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use spillway_service::errors::chain;
use tokio::sync::watch;

use super::due::Source;
use super::mark::{Mark, Marks};
use super::note::Note;
use super::{Counters, Final, News};
use crate::store::Objects;

/// Who is told.
pub(super) trait Target: Send + Sync + 'static {
    /// Why a notification was not taken.
    type Error: Error + Send + 'static;

    /// Delivers a notification, as JSON. `key` is the table's name. It ends, one way or the other.
    fn deliver(&self, key: &str, json: Vec<u8>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Courier<T, S> {
    name: &'static str,
    target: T,
    source: Source<S>,
    counters: Arc<Counters>,
    waits: Waits,
}

/// How long to wait after a failure: longer each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

/// A target may be away for a day: its waits grow to a minute, and so does the distance of messages in
/// the log.
const WAITS: Waits = Waits { first: Duration::from_millis(500), most: Duration::from_secs(60) };

impl<T: Target, S: Objects> Courier<T, S> {
    pub(super) fn new(name: &'static str, target: T, source: Source<S>, counters: Arc<Counters>) -> Self {
        Self { name, target, source, counters, waits: WAITS }
    }

    /// Delivers until nobody tells it of anything any more.
    ///
    /// Cancel safety: what was delivered since the last mark is delivered again by the next courier.
    pub(super) async fn run(self, mut heard: watch::Receiver<News>) {
        let mut marks = Marks::new(self.source.store.clone(), self.source.topic(), self.name);
        let mut told: Option<Mark> = None;
        while heard.changed().await.is_ok() {
            let News { number, newest } = heard.borrow_and_update().clone();
            let before = match told.take() {
                Some(told) => told,
                None => self.newest_mark(&mut marks).await,
            };
            told = Some(self.bring(before, &newest, &mut marks).await);
            self.counters.settled.store(number, Ordering::Release);
        }
    }

    /// Brings the target up to `newest`. Returns how far it has been told.
    async fn bring(&self, mut told: Mark, newest: &Final, marks: &mut Marks<S>) -> Mark {
        let notes = self.due(&told, newest).await;
        for note in &notes {
            self.deliver(note).await;
        }
        told.join(Mark::of(newest));
        if notes.is_empty() {
            // Looking again costs less than an object.
            return told;
        }
        let mut pause = Pause::new(self.waits);
        loop {
            match marks.add(&told).await {
                Ok(told) => return told,
                Err(error) => {
                    pause.after(self.name, "how far it was told cannot be written", chain(&error)).await
                }
            }
        }
    }

    async fn newest_mark(&self, marks: &mut Marks<S>) -> Mark {
        let mut pause = Pause::new(self.waits);
        loop {
            match marks.newest().await {
                Ok(mark) => return mark,
                Err(error) => {
                    pause.after(self.name, "how far it was told cannot be read", chain(&error)).await
                }
            }
        }
    }

    async fn due(&self, told: &Mark, newest: &Final) -> Vec<Note> {
        let mut pause = Pause::new(self.waits);
        loop {
            match self.source.between(told, newest).await {
                Ok(notes) => return notes,
                Err(error) => pause.after(self.name, "new objects cannot be found", chain(&error)).await,
            }
        }
    }

    async fn deliver(&self, note: &Note) {
        let json = match note.json(&self.source.url) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(event = "notification_impossible", %error, object = note.object, "an object cannot be described");
                return;
            }
        };
        let mut pause = Pause::new(self.waits);
        loop {
            match self.target.deliver(&note.table, json.clone()).await {
                Ok(()) => {
                    self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    self.counters.failures.fetch_add(1, Ordering::Relaxed);
                    pause.after(self.name, "a notification was not taken", chain(&error)).await;
                }
            }
        }
    }
}

/// Waits after failures, longer each time.
struct Pause {
    next: Duration,
    most: Duration,
}

impl Pause {
    fn new(waits: Waits) -> Self {
        Self { next: waits.first, most: waits.most }
    }

    async fn after(&mut self, target: &str, what: &str, error: String) {
        let wait_ms = self.next.as_millis();
        tracing::warn!(event = "notification_delayed", told = target, error, wait_ms, "{what}; trying again");
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.most);
    }
}

#[cfg(test)]
mod tests;
