//! One stream to one client. `plan` decides what comes next from the script, the clock and the log;
//! the rest writes, and notes exactly which records the operating system has taken whole.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::control::{End, Refusal, State, Ways};
use super::dialect::{Dialect, Form, Start};
use super::faults::{Close, Cut, Fault, Kind};
use super::gzip::Gzip;
use super::wire::{self, Encoder};
use crate::http;
use crate::pipe::{self, Pipe, Woke};
use crate::shared::Shared;

/// Records are gathered into writes of about this size.
const BATCH_BYTES: usize = 16 * 1024;

/// What to do next.
enum Step {
    Send(Vec<(u64, Vec<u8>)>),
    Do(Kind),
    /// Wait until then, or longer if only the script can bring something new.
    Wait(Option<Instant>),
    End(End),
}

/// Records that come in pieces.
struct Throttle {
    records: u64,
    piece: usize,
    pause: Duration,
}

pub(super) struct Session<'a> {
    pipe: Pipe,
    shared: &'a Shared<State>,
    dialect: &'a dyn Dialect,
    ways: Ways,
    index: usize,
    replay: VecDeque<u64>,
    next: u64,
    encoder: Encoder,
    began: Instant,
    last_write: Instant,
    stalled_until: Option<Instant>,
    throttle: Option<Throttle>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        socket: TcpStream,
        shared: &'a Shared<State>,
        dialect: &'a dyn Dialect,
        ways: Ways,
        index: usize,
        (start, gzip): (Start, bool),
    ) -> Self {
        let now = Instant::now();
        Self {
            pipe: Pipe::new(socket, shared.script()),
            shared,
            dialect,
            ways,
            index,
            replay: start.replay.into(),
            next: start.next,
            encoder: Encoder::new(gzip.then(Gzip::new)),
            began: now,
            last_write: now,
            stalled_until: None,
            throttle: None,
        }
    }

    /// Streams until the connection ends, and says why it did.
    pub(super) async fn run(mut self) -> End {
        let form = self.ways.form;
        let mut head = http::stream_head(self.dialect.content_type(form), self.encoder.headers());
        head.extend(self.encoder.chunk(&self.dialect.hello(form)));
        if let Err(end) = self.write(&head).await.1 {
            return end;
        }
        loop {
            let step = self.plan(Instant::now());
            let outcome = match step {
                Step::Send(frames) => self.send(frames).await,
                Step::Wait(until) => self.wait(until).await,
                Step::Do(kind) => self.happen(kind).await,
                Step::End(end) => Err(end),
            };
            if let Err(end) = outcome {
                self.close(end).await;
                return end;
            }
        }
    }

    fn plan(&mut self, now: Instant) -> Step {
        let mut state = self.shared.lock();
        if state.stopping {
            return Step::End(End::Stopped);
        }
        if self.stalled_until.is_some_and(|until| now < until) {
            return Step::Wait(self.stalled_until);
        }
        if state.stalled {
            return Step::Wait(None);
        }
        if self.ways.connection_max.is_some_and(|max| now >= self.began + max) {
            return Step::End(End::Limit);
        }
        state.log.grow(now, self.dialect);
        if let Some(kind) = state.take_fault() {
            return Step::Do(kind);
        }
        let behind = (state.log.len() + 1).saturating_sub(self.next) + self.replay.len() as u64;
        if self.ways.backlog_max.is_some_and(|max| behind > max) {
            return Step::End(End::SlowReader);
        }
        let frames = self.take(&mut state, now);
        if !frames.is_empty() {
            return Step::Send(frames);
        }
        if state.log.at_limit() && !state.finished {
            drop(state);
            self.shared.progress(|state| state.finished = true);
            state = self.shared.lock();
        }
        let mut until = self.last_write + self.ways.keep_alive;
        if let Some(birth) = state.log.next_birth() {
            // The system's timers are no finer than a millisecond.
            until = until.min(birth.max(now + Duration::from_millis(1)));
        }
        Step::Wait(Some(self.ways.connection_max.map_or(until, |max| until.min(self.began + max))))
    }

    /// Takes what is to be served next, up to the next fault or a batch.
    fn take(&mut self, state: &mut State, now: Instant) -> Vec<(u64, Vec<u8>)> {
        let (mut frames, mut size) = (Vec::new(), 0);
        let room = if self.throttle.is_some() { 1 } else { state.room() };
        while (frames.len() as u64) < room && size < BATCH_BYTES {
            let Some(number) = self.upcoming(state, now) else { break };
            let Some(record) = state.log.get(number) else { break };
            let frame = self.dialect.frame(record, self.ways.form);
            size += frame.len();
            frames.push((number, frame));
            self.advance();
        }
        frames
    }

    /// The record that is next, if there is one.
    fn upcoming(&self, state: &mut State, now: Instant) -> Option<u64> {
        match self.replay.front() {
            Some(number) => Some(*number),
            None => state.log.has(self.next, now, self.dialect).then_some(self.next),
        }
    }

    fn advance(&mut self) {
        if self.replay.pop_front().is_none() {
            self.next += 1;
        }
    }

    async fn send(&mut self, frames: Vec<(u64, Vec<u8>)>) -> Result<(), End> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(frames.len()));
        for (number, frame) in frames {
            bytes.extend(self.encoder.chunk(&frame));
            ends.push((number, bytes.len() - wire::CHUNK_END));
        }
        let (written, outcome) = match self.throttle.take() {
            Some(throttle) => self.trickle(&bytes, throttle).await,
            None => self.write(&bytes).await,
        };
        let index = self.index;
        self.shared.progress(|state| {
            for (number, _) in ends.iter().take_while(|(_, end)| *end <= written) {
                state.wrote(index, *number);
            }
        });
        outcome
    }

    /// Writes `bytes` in pieces with pauses.
    async fn trickle(&mut self, bytes: &[u8], throttle: Throttle) -> (usize, Result<(), End>) {
        // A large record in small pieces would take hours.
        let piece = throttle.piece.max(bytes.len() / 100).max(1);
        let mut written = 0;
        for part in bytes.chunks(piece) {
            let (n, outcome) = self.write(part).await;
            written += n;
            if let Err(end) = outcome {
                return (written, Err(end));
            }
            if let Err(end) = self.rest(Instant::now() + throttle.pause).await {
                return (written, Err(end));
            }
        }
        let records = throttle.records.saturating_sub(1);
        self.throttle = (records > 0).then_some(Throttle { records, ..throttle });
        (written, Ok(()))
    }

    /// Waits until then, whatever the script says but the end.
    async fn rest(&mut self, until: Instant) -> Result<(), End> {
        loop {
            match self.pipe.wait(Some(until)).await {
                Woke::Timer => return Ok(()),
                Woke::Gone => return Err(End::ClientGone),
                Woke::Script if self.shared.lock().stopping => return Err(End::Stopped),
                Woke::Script => {}
            }
        }
    }

    /// Lets a fault happen.
    async fn happen(&mut self, kind: Kind) -> Result<(), End> {
        match kind {
            Kind::End(close) => return Err(End::Closed(close)),
            Kind::Torn(cut, close) => return self.tear(cut, close).await,
            Kind::Stall(time) => self.stalled_until = Some(Instant::now() + time),
            Kind::Throttle { records, piece, pause } => {
                self.throttle = Some(Throttle { records, piece, pause });
            }
            Kind::Refuse { status, times, wait_s } => {
                let refusals = std::iter::repeat_n(Refusal { status, wait_s }, times);
                self.shared.lock().refusals.extend(refusals);
                return Err(End::Closed(Close::Fin));
            }
            Kind::Big(bytes) => self.shared.lock().log.big(bytes),
            Kind::Repeat(records) => self.repeat(records),
            Kind::Jump(ms) => self.shared.lock().log.shift(ms),
            Kind::Told => {
                let message = self.encoder.chunk(&self.dialect.message(self.ways.form, true));
                self.write(&message).await.1?;
                return Err(End::Told);
            }
            Kind::Message => {
                let message = self.encoder.chunk(&self.dialect.message(self.ways.form, false));
                return self.write(&message).await.1;
            }
            Kind::Gzip => {
                self.shared.lock().gzip += 1;
                return Err(End::Closed(Close::Complete));
            }
        }
        Ok(())
    }

    /// Writes the next record up to the cut. Without a record it waits for one.
    async fn tear(&mut self, cut: Cut, close: Close) -> Result<(), End> {
        let Some((number, frame)) = self.peek() else {
            let until = self.put_back(Kind::Torn(cut, close));
            return self.wait(Some(until)).await;
        };
        self.advance();
        let at = wire::cut_at(&frame, cut, self.dialect.end_len(self.ways.form));
        let torn = self.encoder.torn(&frame, at);
        if cut == Cut::End && self.ways.form == Form::Lines {
            self.shared.lock().connections[self.index].unended = Some(number);
        }
        self.write(&torn).await.1?;
        Err(End::Torn(cut, close))
    }

    /// The next record's number and frame; it stays where it is.
    fn peek(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = self.shared.lock();
        let number = self.upcoming(&mut state, Instant::now())?;
        state.log.get(number).map(|record| (number, self.dialect.frame(record, self.ways.form)))
    }

    /// Lets a fault wait for a record; returns when to look again.
    fn put_back(&self, kind: Kind) -> Instant {
        let mut state = self.shared.lock();
        let after = state.served;
        state.faults.push_front(Fault { after, kind });
        let keep_alive = self.last_write + self.ways.keep_alive;
        state.log.next_birth().unwrap_or(keep_alive).min(keep_alive)
    }

    /// Puts the records that were served last before the next ones.
    fn repeat(&mut self, records: u64) {
        let state = self.shared.lock();
        let served = &state.connections[self.index].served;
        let from = served.len().saturating_sub(usize::try_from(records).unwrap_or(usize::MAX));
        for number in served[from..].iter().rev() {
            self.replay.push_front(*number);
        }
    }

    /// Writes `bytes`; returns how many were taken, and why it stopped if that is not all.
    async fn write(&mut self, bytes: &[u8]) -> (usize, Result<(), End>) {
        let shared = self.shared;
        let (written, outcome) =
            self.pipe.write(bytes, || shared.lock().stopping.then_some(End::Stopped)).await;
        if outcome.is_ok() {
            self.last_write = Instant::now();
        }
        (written, outcome.map_err(|broke| broke.end(End::ClientGone)))
    }

    /// Waits for the time, the script or the client; sends the keep-alive when it is its time.
    async fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        match self.pipe.wait(until).await {
            Woke::Gone => Err(End::ClientGone),
            Woke::Timer if self.last_write.elapsed() >= self.ways.keep_alive && !self.is_stalled() => {
                let sign = self.encoder.chunk(self.dialect.keep_alive(self.ways.form));
                self.write(&sign).await.1
            }
            Woke::Timer | Woke::Script => Ok(()),
        }
    }

    fn is_stalled(&self) -> bool {
        self.shared.lock().stalled || self.stalled_until.is_some_and(|until| Instant::now() < until)
    }

    /// Ends the connection the way its end demands.
    async fn close(mut self, end: End) {
        let complete = matches!(end, End::Closed(Close::Complete) | End::Told);
        if complete {
            let last = self.encoder.last();
            // The connection ends in any case.
            let _ = self.write(&last).await;
        }
        let reset = matches!(end, End::Closed(Close::Reset) | End::Torn(_, Close::Reset));
        self.pipe.close(if reset { pipe::Close::Reset } else { pipe::Close::Fin }).await;
    }
}
