//! Stream: the only reader of the upstream. Turns lines into records with a sequence number, an id and
//! a key, and puts them into the queue. When the queue is full it waits, and so does the upstream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::SourceConfig;
use crate::ledger::{DropReason, Fate, unix_ms};
use crate::pipeline::Shared;
use crate::pointer::extract;
use crate::queue::Sender;
use crate::record::{Record, Seq};
use crate::shutdown::Shutdown;
use crate::sources::{Event, Line, Source};

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
    /// The input has ended for good.
    Exhausted,
    /// The very first connection could not be made.
    NeverConnected {
        /// Why.
        cause: String,
        /// Whether the upstream refuses us, rather than being away.
        refused: bool,
    },
}

/// Runs until the input ends or a stop is asked for.
pub(crate) async fn run(shared: Arc<Shared>, source: Source, sender: Sender) -> End {
    let stop = shared.shutdown.stream_stop();
    let mut stream =
        Stream { shared, source, sender, next_seq: 1, started: Instant::now(), ever_connected: false };
    stream.wait_for_first_sign(stop.clone()).await;
    loop {
        let event = tokio::select! {
            biased;
            () = stopped(stop.clone()) => return End::Stopped,
            event = stream.source.next() => event,
        };
        if let Some(end) = stream.apply(event).await {
            return end;
        }
    }
}

/// Cancel safety: it only watches.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the daemon; when it is gone, that is a stop too.
    let _ = stop.wait_for(|asked| *asked).await;
}

/// Ends when a stop has used up its time for draining.
///
/// Cancel safety: it only watches.
async fn overdue_stop(shutdown: &Shutdown) {
    while !shutdown.is_overdue() {
        tokio::time::sleep(super::LOOK_EVERY).await;
    }
}

struct Stream {
    shared: Arc<Shared>,
    source: Source,
    sender: Sender,
    next_seq: Seq,
    started: Instant,
    ever_connected: bool,
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

    async fn apply(&mut self, event: Event) -> Option<End> {
        let view = &self.shared.stream;
        view.oddities(self.source.oddities());
        match event {
            Event::Lines(lines) => self.take(lines).await,
            Event::Connected => {
                self.ever_connected = true;
                view.connected();
                tracing::info!(event = "source_connected", source = %self.shared.labels.source, "the upstream is connected");
            }
            Event::Disconnected { cause, refused, retry_in } => {
                return self.disconnected(cause, refused, retry_in);
            }
            Event::Ended => {
                view.ended();
                tracing::info!(event = "source_ended", source = %self.shared.labels.source, "the input has ended");
                return Some(End::Exhausted);
            }
        }
        None
    }

    fn disconnected(&self, cause: String, refused: bool, retry_in: Duration) -> Option<End> {
        let source = &self.shared.labels.source;
        self.shared.stream.disconnected(&cause);
        let patience = self.shared.config.source.start_timeout();
        let hopeless = refused || (!patience.is_zero() && self.started.elapsed() + retry_in >= patience);
        if !self.ever_connected && hopeless {
            return Some(End::NeverConnected { cause, refused });
        }
        let retry_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
        if refused {
            tracing::error!(event = "source_refused", %source, cause, retry_ms, "the upstream refuses us; check the address and the credentials");
        } else {
            tracing::warn!(event = "source_disconnected", %source, cause, retry_ms, "the upstream is disconnected; connecting again");
        }
        None
    }

    /// Puts lines into the queue. A stop does not cut this short: what was read is the daemon's to keep,
    /// and the other tasks still take from the queue. Only when the drain deadline passes with the queue
    /// full is the rest given up: left to the source if it can resume, else dropped and counted.
    async fn take(&mut self, lines: Vec<Line>) {
        let received_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let mut overdue = false;
        for mut line in lines {
            let cursor = line.cursor.take();
            let mut slot = Some(self.record(line, received_ms));
            if !overdue {
                tokio::select! {
                    biased;
                    () = self.sender.push(&mut slot) => {}
                    () = overdue_stop(&self.shared.shutdown) => overdue = true,
                }
            }
            match slot {
                Some(record) if self.shared.config.source.can_resume() => {
                    self.shared.ledger.unreceive(record)
                }
                Some(record) => self.shared.ledger.settle(record, Fate::Dropped(DropReason::Shutdown)),
                None => {
                    if let Some(cursor) = cursor {
                        self.shared.ledger.frontier().mark(self.next_seq - 1, cursor);
                    }
                }
            }
        }
    }

    fn record(&mut self, line: Line, received_ms: i64) -> Record {
        let SourceConfig { id, key, .. } = &self.shared.config.source;
        let [id, key] = extract(&line.bytes, [id.as_ref(), key.as_ref()]);
        let id = id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX).or(line.id);
        let seq = self.next_seq;
        self.next_seq += 1;
        Record {
            seq,
            upstream_id: id.map(Arc::from),
            key: key.map(bytes::Bytes::from),
            guard: self.shared.ledger.receive(seq, line.bytes.len()),
            value: line.bytes,
            received_ms,
        }
    }
}
