//! Stream: the only reader of the upstreams. Hears all sources in turn, turns their lines into records with
//! a sequence number, an id and a key, and puts them into the queue. When the queue is full it waits, and
//! so do the upstreams; while one of them is away the others go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::SourceConfig;
use crate::health::StreamView;
use crate::ledger::{DropReason, Fate, unix_ms};
use crate::pipeline::Shared;
use crate::pointer::extract;
use crate::queue::Sender;
use crate::record::{Record, Seq, SourceIndex};
use crate::routes::Routes;
use crate::sources::fair::{Fair, Heard};
use crate::sources::{Disconnect, Event, Line, Source};
use crate::tasks::TaskName;

/// How long the first record may wait for Kafka's first sign of life; then an outage at the start is
/// handled as any other.
const FIRST_SIGN: Duration = Duration::from_secs(2);
/// Longest id that is taken over from the upstream; a longer one is replaced by one of the daemon's.
const ID_BYTES_MAX: usize = 1024;

/// Why stream ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// All inputs have ended for good.
    Exhausted,
    /// No source's very first connection could be made.
    NeverConnected {
        /// Why.
        cause: String,
        /// Whether the upstream refuses us, rather than being away.
        refused: bool,
    },
}

/// Runs until all inputs end or a stop is asked for.
pub(crate) async fn run(shared: Arc<Shared>, sources: Vec<Source>, sender: Sender) -> End {
    let stop = shared.shutdown.stream_stop();
    let origins = shared.config.sources.iter().map(|_| Origin::default()).collect();
    let mut fair = Fair::new(sources);
    let mut stream = Stream { shared, origins, sender, next_seq: 1, started: Instant::now() };
    stream.wait_for_first_sign(stop.clone()).await;
    loop {
        stream.shared.turn(TaskName::Stream);
        let heard = tokio::select! {
            biased;
            () = stopped(stop.clone()) => return End::Stopped,
            heard = tokio::time::timeout(super::TURN_EVERY, fair.next()) => heard,
        };
        // Nothing came, and `fair` has kept its place: the loop turns.
        let Ok(heard) = heard else { continue };
        let Some(Heard { index, source, event }) = heard else { return End::Exhausted };
        let is_last = event == Event::Ended;
        if let Some(end) = stream.apply(index, &source, event).await {
            return end;
        }
        if !is_last {
            fair.go_on(index, source);
        }
    }
}

/// Cancel safety: it only watches.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the daemon; when it is gone, that is a stop too.
    let _ = stop.wait_for(|asked| *asked).await;
}

/// Ends when a stop has used up its time for draining. While the queue is full, stream waits here: that it is
/// still looked at counts as its turns.
///
/// Cancel safety: it only watches.
async fn overdue_stop(shared: &Shared) {
    while !shared.shutdown.is_overdue() {
        shared.turn(TaskName::Stream);
        tokio::time::sleep(super::LOOK_EVERY).await;
    }
}

struct Stream {
    shared: Arc<Shared>,
    /// By the sources' index.
    origins: Vec<Origin>,
    sender: Sender,
    next_seq: Seq,
    started: Instant,
}

/// How far a source has come.
#[derive(Debug, Default)]
struct Origin {
    ever_connected: bool,
    /// Its time for the very first connection is over, or it was refused.
    hopeless: bool,
}

impl Stream {
    async fn wait_for_first_sign(&self, stop: watch::Receiver<bool>) {
        let sign = async {
            while !self.shared.is_flowing() {
                tokio::time::sleep(super::LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = stopped(stop) => {}
            _ = tokio::time::timeout(FIRST_SIGN, sign) => {}
        }
    }

    fn view(&self, index: usize) -> &StreamView {
        &self.shared.streams[index]
    }

    fn config(&self, index: usize) -> &SourceConfig {
        &self.shared.config.sources[index]
    }

    async fn apply(&mut self, index: usize, source: &Source, event: Event) -> Option<End> {
        let view = self.view(index);
        view.met(source.met());
        match event {
            Event::Lines(lines) => self.take(index, lines).await,
            Event::Connected => {
                view.connected();
                self.origins[index].ever_connected = true;
                tracing::info!(event = "source_connected", source = %self.config(index).name, "the upstream is connected");
            }
            Event::Disconnected(disconnect) => return self.disconnected(index, &disconnect),
            Event::Ended => {
                view.ended();
                self.origins[index].ever_connected = true;
                tracing::info!(event = "source_ended", source = %self.config(index).name, "the input has ended");
            }
        }
        None
    }

    fn disconnected(&mut self, index: usize, disconnect: &Disconnect) -> Option<End> {
        let Disconnect { cause: kind, detail: cause, retry_in } = disconnect;
        let (refused, retry_in) = (kind.needs_operator(), *retry_in);
        self.view(index).disconnected(*kind, cause);
        let patience = self.config(index).start_timeout();
        let hopeless = refused || (!patience.is_zero() && self.started.elapsed() + retry_in >= patience);
        let origin = &mut self.origins[index];
        let gives_up = hopeless && !origin.ever_connected && !std::mem::replace(&mut origin.hopeless, true);
        if self.origins.iter().all(|origin| origin.hopeless && !origin.ever_connected) {
            return Some(End::NeverConnected { cause: self.blame(index, cause), refused });
        }
        let source = &self.config(index).name;
        let retry_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
        if refused {
            tracing::error!(event = "source_refused", %source, cause, retry_ms, "the upstream refuses us; check the address and the credentials");
        } else if gives_up {
            tracing::error!(event = "source_unreachable", %source, cause, retry_ms, "the upstream could not be reached since the start; check its address; the other sources go on");
        } else {
            tracing::warn!(event = "source_disconnected", %source, kind = kind.name(), cause, retry_ms, "the upstream is disconnected; connecting again");
        }
        None
    }

    /// Says whose cause it is, when there are several sources.
    fn blame(&self, index: usize, cause: &str) -> String {
        match self.origins.len() {
            1 => cause.to_owned(),
            _ => format!("source {:?}: {cause}", self.config(index).name),
        }
    }

    /// Puts lines into the queue. A stop does not cut this short: what was read is the daemon's to keep,
    /// and the other tasks still take from the queue. Only when the drain deadline passes with the queue
    /// full is the rest given up: left to the source if it can resume, else dropped and counted.
    async fn take(&mut self, index: usize, lines: Vec<Line>) {
        let received_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let mut overdue = false;
        // For all of them: a reload takes hold with the next lines.
        let live = self.shared.live.now();
        for mut line in lines {
            let cursor = line.cursor.take();
            let mut slot = Some(self.record(index, line, received_ms, &live.routes));
            if !overdue {
                tokio::select! {
                    biased;
                    () = self.sender.push(&mut slot) => {}
                    () = overdue_stop(&self.shared) => overdue = true,
                }
            }
            match slot {
                Some(record) if self.config(index).can_resume() => self.shared.ledger.unreceive(record),
                Some(record) => self.shared.ledger.settle(record, Fate::Dropped(DropReason::Shutdown)),
                None => {
                    if let Some(cursor) = cursor {
                        let frontier = self.shared.ledger.frontier(source_index(index));
                        frontier.mark(self.next_seq - 1, cursor);
                    }
                }
            }
        }
    }

    fn record(&mut self, index: usize, line: Line, received_ms: i64, routes: &Routes) -> Record {
        let SourceConfig { id, key, .. } = self.config(index);
        let [id, key] = extract(&line.bytes, [id.as_ref(), key.as_ref()]);
        let id = id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX).or(line.id);
        let seq = self.next_seq;
        self.next_seq += 1;
        let source = source_index(index);
        let topic = routes.topic_of(source, &line.bytes);
        Record {
            seq,
            source,
            topic,
            upstream_id: id.map(Arc::from),
            key: key.map(bytes::Bytes::from),
            guard: self.shared.ledger.receive(source, seq, line.bytes.len()),
            value: line.bytes,
            received_ms,
        }
    }
}

/// The configuration has at most [`crate::config::SOURCES_MAX`] sources.
fn source_index(index: usize) -> SourceIndex {
    SourceIndex::try_from(index).unwrap_or(SourceIndex::MAX)
}
