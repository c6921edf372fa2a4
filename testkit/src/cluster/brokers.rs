//! All brokers of a cluster and what can be done to them, whoever started them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::admin::Admin;
use super::error::Error;
use super::jars::Jars;
use super::layout::Layout;
use super::node::{Jvm, Node, answers};

/// About 7 s on a quiet machine, over a minute beside five builds.
const START_WITHIN: Duration = Duration::from_secs(180);
/// How often a state that is waited for is looked at.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) layout: Layout,
    pub(super) jars: Jars,
    nodes: Vec<Mutex<Node>>,
    jvm: Jvm,
}

impl Brokers {
    pub(super) fn new(layout: Layout, jars: Jars, jvm: Jvm) -> Self {
        let nodes = layout.ids().map(|id| Mutex::new(Node::new(&layout, id))).collect();
        Self { layout, jars, nodes, jvm }
    }

    pub(super) fn stop(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.stop()
    }

    pub(super) fn kill(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.kill()
    }

    pub(super) fn freeze(&self, broker: u8) -> Result<(), Error> {
        let mut node = self.node(broker)?;
        node.freeze(true)?;
        node.await_frozen(true)
    }

    pub(super) fn thaw(&self, broker: u8) -> Result<(), Error> {
        let mut node = self.node(broker)?;
        node.freeze(false)?;
        node.await_frozen(false)
    }

    /// Starts the process, unless it runs, and lets it go on if it was frozen.
    pub(super) fn spawn(&self, broker: u8) -> Result<(), Error> {
        self.thaw(broker)?;
        self.node(broker)?.spawn(&self.jars.classpath(), self.jvm)
    }

    pub(super) fn stop_all(&self) -> Result<(), Error> {
        // All are told before any is waited for: the last ones have no one to hand over to.
        self.each(Node::ask_to_end)?;
        self.each(Node::stop)
    }

    pub(super) fn kill_all(&self) -> Result<(), Error> {
        self.each(Node::strike)?;
        self.each(Node::kill)
    }

    pub(super) fn freeze_all(&self) -> Result<(), Error> {
        self.each(|node| node.freeze(true))?;
        self.each(|node| node.await_frozen(true))
    }

    pub(super) fn thaw_all(&self) -> Result<(), Error> {
        self.each(|node| node.freeze(false))?;
        self.each(|node| node.await_frozen(false))
    }

    pub(super) fn spawn_all(&self) -> Result<(), Error> {
        self.layout.ids().try_for_each(|id| self.spawn(id))
    }

    /// Waits until these brokers answer and take part.
    pub(super) fn await_ready(&self, admin: &Admin, wanted: &[u8]) -> Result<(), Error> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            wanted.iter().try_for_each(|id| self.node(*id)?.check())?;
            let seen = match self.missing(admin, wanted) {
                Ok(missing) if missing.is_empty() => return Ok(()),
                Ok(missing) => format!("missing {missing:?}"),
                Err(error @ Error::Admin(_)) => return Err(error),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(Error::Late {
                    what: format!("brokers {wanted:?}"),
                    seconds: START_WITHIN.as_secs(),
                    seen,
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Which of `wanted` do not answer, or are not let in by the controller. The controller alone does
    /// not tell: it takes a killed broker for alive until its session has timed out.
    fn missing(&self, admin: &Admin, wanted: &[u8]) -> Result<Vec<u8>, Error> {
        let silent = |id: &u8| !answers(self.layout.inside_of(*id));
        let silent: Vec<u8> = wanted.iter().copied().filter(silent).collect();
        if !silent.is_empty() {
            return Ok(silent);
        }
        let seen = admin.brokers()?;
        Ok(wanted.iter().copied().filter(|id| !seen.contains(&i32::from(*id))).collect())
    }

    /// Whether a broker's process runs, and whether it is frozen.
    pub(super) fn state(&self, broker: u8) -> Result<State, Error> {
        let mut node = self.node(broker)?;
        Ok(match (node.pid()?, node.is_frozen()?) {
            (None, _) => State::Down,
            (Some(_), true) => State::Frozen,
            (Some(_), false) if answers(self.layout.inside_of(broker)) => State::Answering,
            (Some(_), false) => State::Silent,
        })
    }

    fn node(&self, broker: u8) -> Result<MutexGuard<'_, Node>, Error> {
        let index = usize::from(broker).checked_sub(1);
        let node = index.and_then(|i| self.nodes.get(i)).ok_or(Error::NoBroker(broker))?;
        Ok(node.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn each(&self, act: impl Fn(&mut Node) -> Result<(), Error>) -> Result<(), Error> {
        self.nodes.iter().try_for_each(|node| act(&mut node.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What a broker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no process.
    Down,
    /// Its process is frozen.
    Frozen,
    /// Its process runs but does not answer: it starts, stops, or waits for a majority.
    Silent,
    /// It answers.
    Answering,
}
