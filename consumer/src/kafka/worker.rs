//! A thread that answers one question at a time: what takes its time with the brokers, while the run
//! goes on polling.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// How long it waits for a question before it comes around.
const IDLE: Duration = Duration::from_secs(1);

/// How long the question under way is waited for when the worker is dropped.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// See the module. When it is dropped, it waits a little for the question under way; one that takes longer is left
/// to its thread, which then ends by itself.
#[derive(Debug)]
pub(crate) struct Worker<Q, A> {
    name: &'static str,
    questions: Option<Sender<Q>>,
    answers: Receiver<A>,
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    /// `turned` is called whenever the thread has come around, with a question or without.
    pub(crate) fn start(
        name: &'static str,
        turned: impl Fn() + Send + 'static,
        mut answer: impl FnMut(Q) -> A + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, to_answer) = bounded(1);
        let (answered, answers) = bounded(1);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                match to_answer.recv_timeout(IDLE) {
                    Ok(question) => {
                        if answered.send(answer(question)).is_err() {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                turned();
            }
        })?;
        Ok(Self { name, questions: Some(questions), answers, is_busy: false, thread: Some(thread) })
    }

    /// Whether a question is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Its name when its thread has panicked: that ends in no other way before this is dropped.
    pub(crate) fn panicked(&self) -> Option<&'static str> {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished).then_some(self.name)
    }

    /// Asks, unless a question is under way. Returns whether it was asked.
    pub(crate) fn ask(&mut self, question: Q) -> bool {
        if self.is_busy {
            return false;
        }
        self.is_busy = self.questions.as_ref().is_some_and(|questions| questions.try_send(question).is_ok());
        self.is_busy
    }

    /// The answer to the question that was under way, once it is there.
    pub(crate) fn answer(&mut self) -> Option<A> {
        let answer = self.answers.try_recv().ok()?;
        self.is_busy = false;
        Some(answer)
    }
}

impl<Q, A> Drop for Worker<Q, A> {
    fn drop(&mut self) {
        self.questions = None;
        let deadline = Instant::now() + LAST_ANSWER;
        let ended = loop {
            match self.answers.recv_deadline(deadline) {
                // Nobody wants it any more.
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
        };
        let thread = self.thread.take();
        if !ended {
            tracing::debug!(thread = self.name, "what is under way is not waited for");
        } else if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(event = "thread_panicked", thread = self.name, "a thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_is_answered_at_a_time() {
        let (gate, wait) = bounded::<()>(0);
        let mut worker = Worker::start(
            "test",
            || {},
            move |n: u32| {
                wait.recv().unwrap();
                n * 2
            },
        )
        .unwrap();
        assert!(worker.ask(3));
        assert!(!worker.ask(4), "busy");
        assert_eq!(worker.answer(), None);
        gate.send(()).unwrap();
        let answer = std::iter::repeat_with(|| worker.answer()).find_map(|answer| answer);
        assert_eq!(answer, Some(6));
        assert!(!worker.is_busy());
    }

    #[test]
    fn an_end_does_not_wait_for_an_answer_that_does_not_come() {
        let (hold, held) = bounded::<()>(0);
        let (ended, end) = bounded::<()>(0);
        let mut worker = Worker::start(
            "test",
            || {},
            move |(): ()| {
                let _until_it_ends = &ended;
                assert!(held.recv().is_err());
            },
        )
        .unwrap();
        assert!(worker.ask(()));
        drop(worker);
        // It came back though the question is under way, which ends by itself later, and the thread with it.
        assert_eq!(end.try_recv(), Err(crossbeam_channel::TryRecvError::Empty));
        drop(hold);
        let patience = Duration::from_secs(60);
        assert_eq!(end.recv_timeout(patience), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_thread_that_panics_is_noticed() {
        let (hold, held) = bounded::<()>(0);
        let mut worker = Worker::start(
            "test",
            || {},
            move |(): ()| {
                assert!(held.recv().is_err());
                panic!("as a bug would");
            },
        )
        .unwrap();
        assert!(worker.ask(()));
        assert_eq!(worker.panicked(), None);
        drop(hold);
        let deadline = Instant::now() + Duration::from_secs(60);
        while worker.panicked().is_none() {
            assert!(Instant::now() < deadline, "nobody noticed that the thread panicked");
            std::thread::yield_now();
        }
        assert_eq!(worker.panicked(), Some("test"));
        assert_eq!(worker.answer(), None::<()>);
    }
}
