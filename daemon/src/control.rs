//! The control socket: how a command asks a running daemon to do something with its spool, which only the
//! daemon may write. `<spool>/control.sock`, for the daemon's own user alone.
//!
//! One line of JSON is the request, an [`Errand`]; lines of JSON come back, each an [`Answer`], the last one
//! when all is durable. One conversation at a time. The socket of a daemon that was killed stays behind and
//! does no harm: nobody answers there, and the next daemon puts its own in its place.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use rustix::event::{PollFd, PollFlags, poll};
use spillway_service::sockets;

use crate::dead::errand::{Answer, Done, Errand, Order};

/// Its name in the spool's folder.
const NAME: &str = "control.sock";
/// For the daemon's own user alone.
const MODE: u32 = 0o600;
/// Longest request: a list of some 50,000 numbers.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// How long either side waits for the other's bytes.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command waits for the next answer. The daemon tells its progress every second, but may be
/// busy with the errand of another command first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The serving side. Dropping it ends its thread and removes the socket.
pub(crate) struct Control {
    path: PathBuf,
    /// Closing it wakes the thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Listens in the spool's folder `dir`; what comes goes to `orders`.
    pub(crate) fn start(dir: &Path, orders: Sender<Order>) -> io::Result<Self> {
        let path = dir.join(NAME);
        let listener = sockets::listen(&path, MODE)?;
        let (wake, woken) = UnixStream::pair()?;
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || serve(&listener, &woken, &orders))?;
        Ok(Self { path, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "control_failed", "the thread of the control socket panicked");
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            // One that stays behind does no harm.
            tracing::debug!(%error, "cannot remove the control socket");
        }
    }
}

fn serve(listener: &UnixListener, woken: &UnixStream, orders: &Sender<Order>) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                tracing::error!(event = "control_failed", %error, "the control socket failed; records flow on");
                return;
            }
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        let served = listener.accept().and_then(|(stream, _)| converse(&stream, orders));
        if let Err(error) = served {
            tracing::debug!(%error, "a conversation on the control socket broke off");
        }
    }
}

fn converse(mut stream: &UnixStream, orders: &Sender<Order>) -> io::Result<()> {
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let failed = |error: String| Answer::Failed { done: Done::default(), error };
    let errand: Errand = match serde_json::from_str(&line) {
        Ok(errand) => errand,
        Err(error) => return say(&mut stream, &failed(format!("the daemon does not understand: {error}"))),
    };
    let stopping = || failed("the daemon is stopping; try again when it has ended".to_owned());
    // Spill must not wait for a command that reads slowly; it says one thing a second.
    let (answers, inbox) = unbounded();
    if orders.send(Order { errand, answers }).is_err() {
        return say(&mut stream, &stopping());
    }
    loop {
        let answer = inbox.recv().unwrap_or_else(|_| stopping());
        say(&mut stream, &answer)?;
        if !matches!(answer, Answer::Progress(_)) {
            return Ok(());
        }
    }
}

fn say(stream: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Why a running daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon listens here.
    #[error("no daemon listens at {path}")]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon does not talk to this user.
    #[error("{path} is for the daemon's own user: run it as that user")]
    Denied {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The conversation broke off. What the daemon was asked may be done or not.
    #[error("the conversation with the daemon at {path} broke off; look with: spillwayd spool dead ls")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon broke it off.
    #[error("the daemon broke off after {} letters: {error}", done.letters)]
    Failed {
        /// What is done.
        done: Done,
        /// The daemon's reason.
        error: String,
    },
}

impl ControlError {
    /// Whether nobody listens: there is no daemon, or it has just been killed.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody { .. })
    }
}

/// Asks the daemon that has the spool in `dir` to do an errand, and waits until it is done and durable.
/// `progress` hears about once a second how far it is.
///
/// # Errors
/// See [`ControlError`].
pub fn ask(dir: &Path, errand: &Errand, mut progress: impl FnMut(&Done)) -> Result<Done, ControlError> {
    let path = dir.join(NAME);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ControlError::Denied { path, source });
        }
        Err(source) => return Err(ControlError::Nobody { path, source }),
    };
    match read_answers(&stream, errand, &mut progress) {
        Ok(Answer::Failed { done, error }) => Err(ControlError::Failed { done, error }),
        Ok(Answer::Finished(done) | Answer::Progress(done)) => Ok(done),
        Err(source) => Err(ControlError::Broken { path, source }),
    }
}

/// The last answer.
fn read_answers(
    mut stream: &UnixStream,
    errand: &Errand,
    progress: &mut dyn FnMut(&Done),
) -> io::Result<Answer> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    let mut request = serde_json::to_vec(errand)?;
    request.push(b'\n');
    stream.write_all(&request)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Answer::Progress(done) => progress(&done),
            last => return Ok(last),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::dead::errand::{Action, Selection};

    fn errand() -> Errand {
        Errand { action: Action::Retry, letters: Selection::Ids(vec![3, 5]) }
    }

    fn done(letters: u64) -> Done {
        Done { letters, missing: vec![5], damaged: Vec::new() }
    }

    #[test]
    fn the_lines_are_fixed() {
        let line = |value: &dyn erased::Line| value.line();
        assert_eq!(line(&errand()), r#"{"action":"retry","letters":{"ids":[3,5]}}"#);
        let all = Errand { action: Action::Drop, letters: Selection::All };
        assert_eq!(line(&all), r#"{"action":"drop","letters":"all"}"#);
        assert_eq!(
            line(&Answer::Finished(done(1))),
            r#"{"finished":{"letters":1,"missing":[5],"damaged":[]}}"#
        );
        let failed = Answer::Failed { done: Done::default(), error: "no".to_owned() };
        assert_eq!(
            line(&failed),
            r#"{"failed":{"done":{"letters":0,"missing":[],"damaged":[]},"error":"no"}}"#
        );
        assert_eq!(serde_json::from_str::<Errand>(r#"{"action":"drop","letters":"all"}"#).unwrap(), all);
        for wrong in ["", "{}", r#"{"action":"drop"}"#, r#"{"action":"eat","letters":"all"}"#] {
            assert!(serde_json::from_str::<Errand>(wrong).is_err(), "{wrong}");
        }
    }

    mod erased {
        pub(super) trait Line {
            fn line(&self) -> String;
        }
        impl<T: serde::Serialize> Line for T {
            fn line(&self) -> String {
                serde_json::to_string(self).unwrap()
            }
        }
    }

    #[test]
    fn an_errand_goes_there_and_its_answers_come_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path(), &errand(), |_| {}).unwrap_err().is_nobody());
        let (orders, inbox) = unbounded::<Order>();
        let control = Control::start(dir.path(), orders).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().mode() & 0o777, 0o600);
        let daemon = std::thread::spawn(move || {
            let order = inbox.recv().unwrap();
            order.answers.send(Answer::Progress(done(1))).unwrap();
            order.answers.send(Answer::Finished(done(2))).unwrap();
            let second = inbox.recv().unwrap();
            second.answers.send(Answer::Failed { done: done(1), error: "full".to_owned() }).unwrap();
            // The third is taken and never answered: the daemon ends.
            drop(inbox.recv().unwrap());
            order.errand
        });
        let mut told = Vec::new();
        assert_eq!(ask(dir.path(), &errand(), |done| told.push(done.letters)).unwrap(), done(2));
        assert_eq!(told, [1]);
        let failed = ask(dir.path(), &errand(), |_| {}).unwrap_err();
        assert_eq!(failed.to_string(), "the daemon broke off after 1 letters: full");
        let stopping = ask(dir.path(), &errand(), |_| {}).unwrap_err();
        assert!(stopping.to_string().contains("stopping"), "{stopping}");
        assert_eq!(daemon.join().unwrap(), errand());
        let stopped = ask(dir.path(), &errand(), |_| {}).unwrap_err();
        assert!(stopped.to_string().contains("stopping"), "{stopped}");
        drop(control);
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn what_is_no_errand_is_told_so_and_the_next_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let (orders, inbox) = unbounded::<Order>();
        let _control = Control::start(dir.path(), orders).unwrap();
        for wrong in ["hello\n", "\n", "{\"action\":\"retry\"}\n"] {
            let mut stream = UnixStream::connect(dir.path().join(NAME)).unwrap();
            stream.write_all(wrong.as_bytes()).unwrap();
            let mut answer = String::new();
            BufReader::new(&stream).read_line(&mut answer).unwrap();
            assert!(answer.contains("does not understand"), "{wrong:?}: {answer}");
        }
        // One that goes away without a word is no harm either.
        drop(UnixStream::connect(dir.path().join(NAME)).unwrap());
        let daemon = std::thread::spawn(move || {
            inbox.recv().unwrap().answers.send(Answer::Finished(done(2))).unwrap();
        });
        assert_eq!(ask(dir.path(), &errand(), |_| {}).unwrap(), done(2));
        daemon.join().unwrap();
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join(NAME)).unwrap());
        assert!(ask(dir.path(), &errand(), |_| {}).unwrap_err().is_nobody());
        let (orders, inbox) = unbounded::<Order>();
        let _control = Control::start(dir.path(), orders).unwrap();
        let daemon = std::thread::spawn(move || {
            inbox.recv().unwrap().answers.send(Answer::Finished(done(2))).unwrap();
        });
        assert_eq!(ask(dir.path(), &errand(), |_| {}).unwrap(), done(2));
        daemon.join().unwrap();
    }
}
