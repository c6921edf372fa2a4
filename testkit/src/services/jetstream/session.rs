//! One connection: decides from the script, the clock and the log what comes next, and writes it. What
//! counts as served was taken whole by the operating system.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::control::{End, State};
use super::faults::Kind;
use super::filter::Filter;
use super::{Shape, websocket};
use crate::shared::Shared;
use websocket::{ClientFrames, Opcode};

/// Events are gathered up to about this size: at full speed a system call for each would be the limit.
const BATCH_BYTES: usize = 32 * 1024;
/// How long to wait before looking again whether events are due.
const TICK: Duration = Duration::from_millis(2);

/// What to do next.
enum Step {
    /// Frames, and for each its end on the wire and the index of its event.
    Send(Vec<u8>, Vec<(usize, usize)>),
    Wait(Duration),
    Fault(Kind),
    End(End),
}

pub(super) struct Session {
    shared: Arc<Shared<State>>,
    script: watch::Receiver<u64>,
    shape: Arc<Shape>,
    filter: Filter,
    client: ClientFrames<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    index: usize,
    /// The next event to look at.
    at: usize,
    /// What was served last, to be repeated.
    last: VecDeque<usize>,
    last_write: Instant,
}

impl Session {
    pub(super) fn new(
        shared: &Arc<Shared<State>>,
        shape: &Arc<Shape>,
        filter: Filter,
        socket: TcpStream,
        index: usize,
        at: usize,
    ) -> Self {
        let (reader, writer) = socket.into_split();
        Self {
            shared: Arc::clone(shared),
            script: shared.script(),
            shape: Arc::clone(shape),
            filter,
            client: ClientFrames::new(reader),
            writer,
            index,
            at,
            last: VecDeque::new(),
            last_write: Instant::now(),
        }
    }

    /// Streams until it ends, and says why it did.
    pub(super) async fn run(&mut self, head: &[u8]) -> End {
        if let Err(end) = self.write(head).await.1 {
            return end;
        }
        loop {
            let step = self.plan(Instant::now());
            if self.has_left() {
                return End::ClientGone;
            }
            let outcome = match step {
                Step::Send(wire, ends) => self.send(&wire, &ends).await,
                Step::Wait(time) => self.wait(time).await,
                Step::Fault(kind) => self.fault(kind).await,
                Step::End(end) => Err(end),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Whether the client has closed its end. One that has must not be served what it cannot read: the operating
    /// system would take it, and the next fault would end a stream that has no reader. The system is asked, since
    /// the runtime may not have looked since this thread was busy with something else, as a large event.
    fn has_left(&self) -> bool {
        let socket: &TcpStream = self.writer.as_ref();
        let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
        let left = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        // What cannot be asked is seen by the next write.
        poll(&mut asked, Some(&Timespec::default())).is_ok() && asked[0].revents().intersects(left)
    }

    /// Lets a client whose stream has ended in order read all of it, as servers do: to close a socket on which
    /// its pongs lie unread would be a reset.
    pub(super) async fn linger(mut self, end: End) {
        if !matches!(end, End::Fault(kind) if kind != Kind::Reset) {
            return;
        }
        while !self.shared.lock().is_stopping {
            tokio::select! {
                frame = self.client.next() => if !matches!(frame, Ok(Some(_))) {
                    return;
                },
                _ = self.script.changed() => {}
            }
        }
    }

    fn plan(&mut self, now: Instant) -> Step {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.is_stopping {
            return Step::End(End::Stopped);
        }
        if state.is_stalled {
            return Step::Wait(Duration::from_secs(3600));
        }
        if let Some(kind) = state.take_fault() {
            return Step::Fault(kind);
        }
        let at_tip = self.at >= state.log.len();
        state.log.grow(now, at_tip);
        let (wire, ends) = self.batch(&state);
        if !ends.is_empty() {
            return Step::Send(wire, ends);
        }
        let at_end = self.at >= state.log.len() && state.log.at_limit();
        drop(state);
        if at_end {
            shared.progress(|state| state.is_finished = true);
        }
        match self.shape.ping_every {
            Some(every) if self.last_write.elapsed() >= every => {
                Step::Send(websocket::frame(Opcode::Ping, true, b"still there?"), Vec::new())
            }
            _ => Step::Wait(TICK),
        }
    }

    /// The frames of the events that come next.
    fn batch(&mut self, state: &State) -> (Vec<u8>, Vec<(usize, usize)>) {
        let (mut wire, mut ends) = (Vec::new(), Vec::new());
        while ends.len() < state.room() && wire.len() < BATCH_BYTES {
            let Some(event) = state.log.events().get(self.at) else { break };
            if self.filter.wants(event) {
                wire.extend(self.shape.message(&event.bytes, self.filter.is_compressed));
                ends.push((wire.len(), self.at));
            }
            self.at += 1;
        }
        (wire, ends)
    }

    async fn send(&mut self, wire: &[u8], ends: &[(usize, usize)]) -> Result<(), End> {
        let (written, outcome) = self.write(wire).await;
        let whole: Vec<usize> = ends.iter().filter(|(end, _)| *end <= written).map(|(_, at)| *at).collect();
        let index = self.index;
        self.shared.progress(|state| {
            state.served += whole.len() as u64;
            for at in &whole {
                state.log.served(*at);
                state.connections[index].served.push(*at as u64 + 1);
            }
        });
        self.last.extend(whole);
        while self.last.len() > 100 {
            self.last.pop_front();
        }
        outcome
    }

    async fn fault(&mut self, kind: Kind) -> Result<(), End> {
        match kind {
            Kind::Big(bytes) => self.shared.change(|state| state.log.big(bytes)),
            Kind::Jump(us) => self.shared.change(|state| state.log.jump(us)),
            Kind::Stall(time) => return self.stall(time).await,
            Kind::Repeat(events) => return self.repeat(events).await,
            Kind::Refuse { status, times, retry_after_s } => {
                self.shared.change(|state| state.refuse(status, times, retry_after_s));
                return self.close(kind, &[]).await;
            }
            Kind::Drop => return self.close(kind, &[]).await,
            Kind::Reset => {
                // Without it the end is only another one, which the test sees by its record.
                let _ = rustix::net::sockopt::set_socket_linger(self.writer.as_ref(), Some(Duration::ZERO));
                return Err(End::Fault(kind));
            }
            Kind::Close(code) => return self.close(kind, &websocket::close(code, "by script")).await,
            Kind::Garbage => {
                return self.close(kind, &websocket::frame(Opcode::Reserved(5), true, b"?")).await;
            }
            Kind::Torn => {
                let event = self.shared.lock().log.events().get(self.at).map(|event| event.bytes.clone());
                let wire = event.map_or_else(
                    || websocket::frame(Opcode::Text, true, b"{\"did\":\"did:plc:torn\"}"),
                    |bytes| self.shape.message(&bytes, self.filter.is_compressed),
                );
                return self.close(kind, &wire[..wire.len() / 2]).await;
            }
        }
        Ok(())
    }

    /// Sends the last bytes and a FIN. A client that is gone already does not mind.
    async fn close(&mut self, kind: Kind, rest: &[u8]) -> Result<(), End> {
        let _ = self.write(rest).await;
        let _ = self.writer.shutdown().await;
        Err(End::Fault(kind))
    }

    /// Says nothing, and does not read either.
    async fn stall(&mut self, time: Duration) -> Result<(), End> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = self.script.changed() => {}
            }
            if self.shared.lock().is_stopping {
                return Err(End::Stopped);
            }
        }
        Ok(())
    }

    async fn repeat(&mut self, events: usize) -> Result<(), End> {
        let again: Vec<usize> = self.last.iter().rev().take(events).rev().copied().collect();
        let (mut wire, mut ends) = (Vec::new(), Vec::new());
        for at in again {
            let event = self.shared.lock().log.events().get(at).map(|event| event.bytes.clone());
            wire.extend(self.shape.message(&event.unwrap_or_default(), self.filter.is_compressed));
            ends.push((wire.len(), at));
        }
        self.send(&wire, &ends).await
    }

    /// Writes `bytes`; returns how many were taken, and why it stopped if that is not all.
    async fn write(&mut self, bytes: &[u8]) -> (usize, Result<(), End>) {
        let mut written = 0;
        while written < bytes.len() {
            // Each branch is cancel safe: a write that is cancelled has written nothing.
            tokio::select! {
                result = self.writer.write(&bytes[written..]) => match result {
                    Ok(n) if n > 0 => written += n,
                    _ => return (written, Err(End::ClientGone)),
                },
                frame = self.client.next() => if let Some(end) = heard(&self.shared, self.index, &frame) {
                    return (written, Err(end));
                },
                _ = self.script.changed() => if self.shared.lock().is_stopping {
                    return (written, Err(End::Stopped));
                },
            }
        }
        self.last_write = Instant::now();
        (written, Ok(()))
    }

    /// Waits for the time, the script or the client, and answers the client's pings.
    async fn wait(&mut self, time: Duration) -> Result<(), End> {
        let frame = tokio::select! {
            () = tokio::time::sleep(time) => return Ok(()),
            _ = self.script.changed() => return Ok(()),
            frame = self.client.next(), if !self.shared.lock().is_stalled => frame,
        };
        let ping = match &frame {
            Ok(Some((Opcode::Ping, payload))) => Some(payload.clone()),
            _ => None,
        };
        if let Some(end) = heard(&self.shared, self.index, &frame) {
            return Err(end);
        }
        match ping {
            Some(payload) => self.write(&websocket::frame(Opcode::Pong, true, &payload)).await.1,
            None => Ok(()),
        }
    }
}

/// Notes what the client says; an end when it leaves.
fn heard(
    shared: &Shared<State>,
    index: usize,
    frame: &std::io::Result<Option<(Opcode, Vec<u8>)>>,
) -> Option<End> {
    let Ok(Some((opcode, _))) = frame else { return Some(End::ClientGone) };
    let opcode = *opcode;
    shared.progress(|state| {
        state.connections[index].pongs += u64::from(opcode == Opcode::Pong);
        state.connections[index].pings += u64::from(opcode == Opcode::Ping);
    });
    (opcode == Opcode::Close).then_some(End::ClientGone)
}
