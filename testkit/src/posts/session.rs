//! One stream to one client. `plan` decides what comes next from the clock and the timeline; the rest writes.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{State, Timeline};
use crate::http;
use crate::pipe::{Close, Pipe, Woke};
use crate::shared::Shared;

/// Posts are gathered for this long: 200 a second need not wake their reader 200 times.
const TICK: Duration = Duration::from_millis(50);

/// So many posts are written at once to a client that is behind.
const BATCH_MAX: u64 = 500;

/// What is streamed.
pub(super) enum Feed {
    /// Server-sent events, of the timeline that all share.
    Events,
    /// Lines, of a timeline of their own.
    Lines(Timeline),
}

impl Feed {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Lines(_) => "application/json",
        }
    }

    fn keep_alive(&self) -> &'static str {
        match self {
            Self::Events => ": alive\n\n",
            Self::Lines(_) => "\r\n",
        }
    }

    /// The posts of these numbers as they stand in the stream.
    fn frames(&self, timeline: &Timeline, numbers: std::ops::RangeInclusive<u64>) -> String {
        let mut frames = String::new();
        for number in numbers {
            let post = timeline.post(number);
            // Writing to a string cannot fail.
            let _ = match self {
                Self::Events => write!(frames, "id: {number}\ndata: {post}\n\n"),
                Self::Lines(_) => write!(frames, "{post}\r\n"),
            };
        }
        frames
    }
}

/// What to do next.
enum Step {
    Send(String),
    Wait(Instant),
}

/// The client has gone away, or the server is being stopped.
struct Over;

pub(super) struct Session<'a> {
    pipe: Pipe,
    shared: &'a Shared<State>,
    feed: Feed,
    /// The number of the last post that was written.
    after: u64,
    keep_alive: Duration,
    written_at: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        socket: TcpStream,
        shared: &'a Shared<State>,
        feed: Feed,
        after: u64,
        keep_alive: Duration,
    ) -> Self {
        let pipe = Pipe::new(socket, shared.script());
        Self { pipe, shared, feed, after, keep_alive, written_at: Instant::now() }
    }

    /// Streams until it is over.
    pub(super) async fn run(mut self) {
        let head = http::stream_head(self.feed.content_type(), &[]);
        let mut outcome = self.write(&head).await;
        while outcome.is_ok() {
            outcome = match self.plan() {
                Ok(Step::Send(frames)) => self.send(&frames).await,
                Ok(Step::Wait(until)) => self.wait(until).await,
                Err(over) => Err(over),
            };
        }
        self.pipe.close(Close::Fin).await;
    }

    fn plan(&mut self) -> Result<Step, Over> {
        let state = self.shared.lock();
        if state.stopping {
            return Err(Over);
        }
        // Read under the lock, as `/end` reads it: nothing later than the end is sent as if it were before.
        let now = Instant::now();
        let timeline = match &self.feed {
            Feed::Events => &state.timeline,
            Feed::Lines(own) => own,
        };
        let until = timeline.newest(now).min(self.after.saturating_add(BATCH_MAX));
        if until > self.after {
            let frames = self.feed.frames(timeline, self.after + 1..=until);
            self.after = until;
            return Ok(Step::Send(frames));
        }
        let sign = self.written_at + self.keep_alive;
        let due = timeline.due(self.after + 1).map(|due| due.max(now + TICK));
        Ok(Step::Wait(due.map_or(sign, |due| due.min(sign))))
    }

    /// Writes `body` as a chunk of its own.
    async fn send(&mut self, body: &str) -> Result<(), Over> {
        let mut wire = http::chunk_head(body.len());
        wire.extend_from_slice(body.as_bytes());
        wire.extend_from_slice(b"\r\n");
        self.write(&wire).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let shared = self.shared;
        let (_, outcome) = self.pipe.write(bytes, || shared.lock().stopping.then_some(())).await;
        self.written_at = Instant::now();
        outcome.map_err(|_| Over)
    }

    /// Waits for the time, the end or the client; sends a sign of life when it is its time.
    async fn wait(&mut self, until: Instant) -> Result<(), Over> {
        match self.pipe.wait(Some(until)).await {
            Woke::Gone => Err(Over),
            Woke::Timer if self.written_at.elapsed() >= self.keep_alive => {
                self.send(self.feed.keep_alive()).await
            }
            Woke::Timer | Woke::Script => Ok(()),
        }
    }
}
