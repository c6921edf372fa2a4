//! All sources of a daemon, heard in turn: one that gives much does not keep another from being heard, and
//! one that waits holds nobody up. Pure sequencing: what an event means is the stream task's business.
//!
//! A source that gave an event is not asked for the next one before the caller gives it back. So at most
//! one event a source is under way, and a caller that waits for room holds all of them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Event, Source};

/// A source that is waited for. It keeps its place over the events of others, in the middle of connecting
/// too.
type Waiting = Pin<Box<dyn Future<Output = (Source, Event)> + Send>>;

/// The sources.
pub struct Fair {
    /// By their index; `None` for one that is with the caller, or has ended.
    waiting: Vec<Option<Waiting>>,
    /// The one that is looked at first, the next time.
    turn: usize,
}

/// What a source said.
#[derive(Debug)]
pub struct Heard {
    /// Its index.
    pub index: usize,
    /// The source itself, to be given back with [`Fair::go_on`] unless it has ended.
    pub source: Source,
    /// What it said.
    pub event: Event,
}

impl Fair {
    /// The sources, numbered as they come.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        Self { waiting: sources.into_iter().map(|source| Some(wait(source))).collect(), turn: 0 }
    }

    /// What comes next from any of them; `None` when no source is left to wait for.
    ///
    /// Cancel safety: each source keeps its place, and nothing is taken from one before this returns it.
    pub async fn next(&mut self) -> Option<Heard> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Waits for this source again.
    pub fn go_on(&mut self, index: usize, source: Source) {
        if let Some(slot) = self.waiting.get_mut(index) {
            *slot = Some(wait(source));
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        let total = self.waiting.len();
        let mut is_any_left = false;
        for index in (self.turn..total).chain(0..self.turn) {
            let Some(waiting) = &mut self.waiting[index] else { continue };
            if let Poll::Ready((source, event)) = waiting.as_mut().poll(context) {
                self.waiting[index] = None;
                self.turn = (index + 1) % total;
                return Poll::Ready(Some(Heard { index, source, event }));
            }
            is_any_left = true;
        }
        if is_any_left { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// Does nothing before it is polled.
fn wait(mut source: Source) -> Waiting {
    Box::pin(async move {
        let event = source.next().await;
        (source, event)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::FileConfig;
    use crate::sources::FileSource;

    fn file(dir: &std::path::Path, name: &str, lines: usize, follow: bool) -> Source {
        let path = dir.join(name);
        std::fs::write(&path, "{\"a\":1}\n".repeat(lines)).unwrap();
        Source::File(FileSource::new(FileConfig { path, follow }, 1 << 20, None))
    }

    #[tokio::test]
    async fn each_source_is_heard_although_another_never_falls_silent() {
        let dir = tempfile::tempdir().unwrap();
        // Many chunks, one line, and one that only waits for more.
        let mut fair = Fair::new(vec![
            file(dir.path(), "much", 500_000, false),
            file(dir.path(), "little", 1, false),
            file(dir.path(), "waits", 0, true),
        ]);
        let (mut lines, mut ended) = ([0; 3], Vec::new());
        while ended.len() < 2 {
            let heard = fair.next().await.unwrap();
            match heard.event {
                Event::Lines(more) => lines[heard.index] += more.len(),
                Event::Ended => {
                    ended.push(heard.index);
                    continue;
                }
                Event::Connected => {}
                Event::Disconnected(disconnect) => panic!("{disconnect:?}"),
            }
            fair.go_on(heard.index, heard.source);
        }
        assert_eq!((lines, ended), ([500_000, 1, 0], vec![1, 0]), "the short one ends first");
        let silence = tokio::time::timeout(Duration::from_millis(50), fair.next()).await;
        assert!(silence.is_err(), "the third is still waited for");
    }

    #[tokio::test]
    async fn without_a_source_there_is_nothing_to_wait_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut fair = Fair::new(vec![file(dir.path(), "empty", 0, false)]);
        while let Some(heard) = fair.next().await {
            if heard.event != Event::Ended {
                fair.go_on(heard.index, heard.source);
            }
        }
    }
}
