//! Streams to one connection. `plan` decides what comes next from the script, the clock and the feed,
//! without I/O; the rest writes, and counts exactly what the operating system has taken.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::control::{CutKind, End, Shared};
use super::feed::{Feeder, Piece};
use super::http::stream_head;
use super::pace::Pacer;
use crate::http::{LAST_CHUNK, chunk_head};
use crate::pipe::{Close, Pipe, Woke};

/// Records are gathered into chunks of about this size when the rate allows: at full speed a system
/// call for every record would be the limit.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long to wait before looking again whether a record is due; the system's timers are no finer.
const TICK: Duration = Duration::from_millis(1);

/// What to do next.
#[derive(Debug)]
enum Step {
    Send(Vec<Piece>),
    /// Wait until then, or longer if only the script can bring something new.
    Wait(Option<Instant>),
    End(End),
}

pub(super) struct Streamer<'a> {
    pipe: Pipe,
    feeder: &'a mut Feeder,
    shared: &'a Shared,
    pacer: Pacer,
    keep_alive: Duration,
    last_write: Instant,
    index: usize,
}

impl<'a> Streamer<'a> {
    pub(super) fn new(
        socket: TcpStream,
        feeder: &'a mut Feeder,
        shared: &'a Shared,
        pacer: Pacer,
        keep_alive: Duration,
        index: usize,
    ) -> Self {
        let pipe = Pipe::new(socket, shared.script());
        Self { pipe, feeder, shared, pacer, keep_alive, last_write: Instant::now(), index }
    }

    /// Streams until the connection ends, and says why it did.
    pub(super) async fn run(mut self) -> End {
        if let Err(end) = self.write(&stream_head()).await.1 {
            return end;
        }
        loop {
            let outcome = match self.plan(Instant::now()) {
                Step::Send(pieces) => self.send(pieces).await,
                Step::Wait(until) => self.wait(until).await,
                Step::End(end) => {
                    self.close(end).await;
                    return end;
                }
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    fn plan(&mut self, now: Instant) -> Step {
        let mut state = self.shared.lock();
        if let Some(end) = state.must_end(self.index) {
            return Step::End(end);
        }
        if state.stalled {
            self.pacer.restart(now);
            return Step::Wait(None);
        }
        if let Some(kind) = state.take_cut() {
            return Step::End(End::Cut(kind));
        }
        let room = state.room();
        drop(state);
        let keep_alive = Some(self.last_write + self.keep_alive);
        if self.at_end() {
            return if self.feeder.closes_now() {
                Step::End(End::RecordingEnded)
            } else {
                Step::Wait(keep_alive)
            };
        }
        if room == 0 {
            self.pacer.restart(now);
            return Step::Wait(keep_alive);
        }
        match self.pacer.due(now).min(room) {
            0 => Step::Wait(Some(self.pacer.next().max(now + TICK).min(self.last_write + self.keep_alive))),
            records => {
                let mut state = self.shared.lock();
                if state.is_paused() {
                    return Step::Wait(keep_alive);
                }
                state.sending += 1;
                drop(state);
                Step::Send(self.feeder.take(records, CHUNK_BYTES))
            }
        }
    }

    /// The feed has nothing left; said to whoever waits for it.
    fn at_end(&mut self) -> bool {
        let at_end = self.feeder.peek().is_none();
        if at_end && !self.shared.lock().finished {
            self.shared.progress(|state| state.finished = true);
        }
        at_end
    }

    async fn send(&mut self, pieces: Vec<Piece>) -> Result<(), End> {
        let (wire, ends) = chunk(&pieces);
        let (written, outcome) = self.write(&wire).await;
        let whole = ends.iter().take_while(|end| **end <= written).count();
        let mut pieces = pieces.into_iter();
        let mut served = 0;
        for piece in pieces.by_ref().take(whole).filter(Piece::is_record) {
            self.feeder.served(&piece);
            served += 1;
        }
        self.feeder.give_back(pieces);
        self.pacer.gave(served);
        let index = self.index;
        self.shared.progress(|state| {
            state.sending -= 1;
            state.served += served;
            state.connections[index].served += served;
        });
        outcome
    }

    /// Writes `bytes`; returns how many were taken, and why it stopped if that is not all.
    async fn write(&mut self, bytes: &[u8]) -> (usize, Result<(), End>) {
        let (shared, index) = (self.shared, self.index);
        let (written, outcome) = self.pipe.write(bytes, || shared.lock().must_end(index)).await;
        if outcome.is_ok() {
            self.last_write = Instant::now();
        }
        (written, outcome.map_err(|broke| broke.end(End::ClientGone)))
    }

    /// Waits for the time, the script or the client; sends the keep-alive when it is its time.
    async fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        match self.pipe.wait(until).await {
            Woke::Timer if self.last_write.elapsed() >= self.keep_alive => {
                self.write(b"2\r\n\r\n\r\n").await.1
            }
            Woke::Timer | Woke::Script => Ok(()),
            Woke::Gone => Err(End::ClientGone),
        }
    }

    /// Ends the connection the way its end demands.
    async fn close(mut self, end: End) {
        let rest = match end {
            End::Cut(CutKind::Clean) => LAST_CHUNK.to_vec(),
            End::Cut(CutKind::Torn) => self.feeder.peek().map(half).unwrap_or_default(),
            _ => Vec::new(),
        };
        // The connection ends in any case.
        let _ = self.write(&rest).await;
        self.pipe.close(Close::Fin).await;
    }
}

/// One HTTP chunk with all the pieces, and for each piece the length up to its end.
fn chunk(pieces: &[Piece]) -> (Vec<u8>, Vec<usize>) {
    let size: usize = pieces.iter().map(Piece::len).sum();
    let mut wire = chunk_head(size);
    let mut ends = Vec::with_capacity(pieces.len());
    for piece in pieces {
        wire.extend_from_slice(&piece.body);
        wire.extend_from_slice(piece.ending);
        ends.push(wire.len());
    }
    wire.extend_from_slice(b"\r\n");
    (wire, ends)
}

/// A chunk that ends after half of the piece.
fn half(piece: &Piece) -> Vec<u8> {
    let mut wire = chunk_head(piece.len());
    wire.extend_from_slice(&piece.body[..piece.body.len() / 2]);
    wire
}
