//! A real Apache Kafka cluster for tests: three brokers, KRaft, on loopback, from the jars that Maven
//! brings. It can be broken in the ways a production cluster breaks: brokers stopped, killed, frozen;
//! the network cut or swallowed; leaders moved; users deleted; quotas set.
//!
//! It needs a JDK (17 or newer) and, once, Maven; the tests that use it are behind the cargo feature
//! `kafka`, so that a plain `cargo test` needs neither. The brokers and a temporary folder end with the
//! [`Cluster`], also when the test is killed. Each cluster has ports of its own, so that several can
//! run at a time; each takes about 1 GB of memory.
//!
//! ```no_run
//! use spillway_testkit::cluster::{Cluster, Listener, Options};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::start(Options::default())?;
//! cluster.admin().create_topic("events", 12, 3, &[])?;
//! println!("bootstrap.servers={}", cluster.bootstrap(Listener::Plain));
//! cluster.kill(2)?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod error;
mod jars;
mod layout;
mod node;
mod tls;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use admin::{Admin, Leader};
pub use error::Error;
pub use layout::Listener;
pub use node::Jvm;
pub use tls::TlsFiles;
pub use wire::{Network, Wire};

use jars::Jars;
use layout::{Block, Layout, PASSWORD, USER};
use node::{Guard, Node, answers};
use tls::Tls;

/// About 6 s on a quiet machine; others may be building on this one.
const START_WITHIN: Duration = Duration::from_secs(90);
/// How often a state that is waited for is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its files go. `None`: a temporary folder, removed at the end. A given folder is kept, must
    /// be empty or absent, and holds the brokers' logs.
    pub dir: Option<PathBuf>,
    /// How many brokers: 1 to 6.
    pub brokers: u8,
    /// How [`Listener::Proxied`] looks to clients. `None`: as [`Via::default`].
    pub via: Option<Via>,
    /// How the Java machines are set up.
    pub jvm: Jvm,
}

impl Default for Options {
    fn default() -> Self {
        Self { dir: None, brokers: 3, via: None, jvm: Jvm::default() }
    }
}

/// How [`Listener::Proxied`] looks to clients.
#[derive(Debug, Clone)]
pub struct Via {
    /// The host name that brokers tell their clients. It must resolve to 127.0.0.1 for them.
    pub host: String,
    /// Clients must log in by SASL.
    pub sasl: bool,
}

impl Default for Via {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), sasl: false }
    }
}

/// A running cluster. Brokers count from 1. Dropping it kills the brokers and removes the temporary
/// folder.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the network and the administrator need no farewell from the brokers.
    network: Network,
    admin: Admin,
    nodes: Vec<Mutex<Node>>,
    layout: Layout,
    jvm: Jvm,
    jars: Jars,
    tls: TlsFiles,
    guard: Guard,
    _ports: Block,
}

impl Cluster {
    /// Starts a cluster and waits until all brokers take part and answer.
    ///
    /// # Errors
    /// When Java or Maven is missing or a broker does not start; the error says what to do, or shows the
    /// broker's log.
    pub fn start(options: Options) -> Result<Self, Error> {
        let (jars, tls) = (Jars::get()?, Tls::get()?);
        let brokers = options.brokers.clamp(1, 6);
        let ports = Block::reserve(brokers)?;
        let temporary = options.dir.is_none();
        let dir = options.dir.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("spillway-kafka-{}-{}", std::process::id(), ports.first))
        });
        let via = Some(options.via.unwrap_or_default());
        let layout = Layout::new(dir, brokers, (ports.first, Layout::STEP), via, &tls);
        layout.write_files()?;
        let guard = Guard::start(&layout.dir, temporary)?;
        let admin = Admin::start(&jars.classpath(), &layout.dir.join("admin.log"))?;
        admin.format(&layout.all_properties(), USER, PASSWORD)?;
        let wires: Vec<_> = layout.ids().map(|id| layout.wire(id)).collect();
        let nodes = layout.ids().map(|id| Mutex::new(Node::new(&layout, id))).collect();
        let (network, tls) = (Network::open(&wires)?, TlsFiles::of(&tls));
        let cluster =
            Self { network, admin, nodes, layout, jvm: options.jvm, jars, tls, guard, _ports: ports };
        cluster.admin.connect(&cluster.layout.inside())?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Addresses for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self, listener: Listener) -> String {
        self.layout.bootstrap(listener)
    }

    /// The authority that signed the brokers' certificates, PEM.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.tls.ca()
    }

    /// All TLS files for clients.
    #[must_use]
    pub fn tls(&self) -> &TlsFiles {
        &self.tls
    }

    /// A user and its password, for SCRAM and PLAIN. The administrator makes others, for SCRAM.
    #[must_use]
    pub fn user(&self) -> (&str, &str) {
        (USER, PASSWORD)
    }

    /// The administrator.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The network behind [`Listener::Proxied`].
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// For `java -cp`, to run Kafka's own tools.
    #[must_use]
    pub fn classpath(&self) -> String {
        self.jars.classpath()
    }

    /// The folder with the jars.
    #[must_use]
    pub fn kafka_dir(&self) -> &Path {
        self.jars.dir()
    }

    /// The cluster's own folder, with the brokers' logs (`broker-1/broker.log`).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Stops a broker in an orderly way: it hands its leaderships over, as in a rolling restart.
    ///
    /// # Errors
    /// When there is no such broker, or it cannot be signalled.
    pub fn stop(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.stop()
    }

    /// Kills a broker with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn kill(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.kill()
    }

    /// Freezes a broker with SIGSTOP: connections stand, nothing answers.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn freeze(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.signal(Signal::STOP)
    }

    /// Lets a frozen broker go on. It returns at once; the broker may have to register again.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn thaw(&self, broker: u8) -> Result<(), Error> {
        self.node(broker)?.signal(Signal::CONT)
    }

    /// Starts a broker, after stopping it if it runs, and waits until it takes part. Needs a majority of
    /// brokers that run: after [`Cluster::kill_all`] use [`Cluster::start_all`].
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn restart(&self, broker: u8) -> Result<(), Error> {
        {
            let mut node = self.node(broker)?;
            node.stop()?;
            node.spawn(&self.jars.classpath(), self.jvm)?;
        }
        self.await_brokers(&[broker])
    }

    /// Stops all brokers at once.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn stop_all(&self) -> Result<(), Error> {
        // All are told before any is waited for: the last ones have no one to hand over to.
        self.each(|node| node.signal(Signal::CONT))?;
        self.each(|node| node.signal(Signal::TERM))?;
        self.each(Node::stop)
    }

    /// Kills all brokers with SIGKILL.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn kill_all(&self) -> Result<(), Error> {
        self.each(|node| node.signal(Signal::KILL))?;
        self.each(Node::kill)
    }

    /// Freezes all brokers.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn freeze_all(&self) -> Result<(), Error> {
        self.each(|node| node.signal(Signal::STOP))
    }

    /// Lets all brokers go on.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn thaw_all(&self) -> Result<(), Error> {
        self.each(|node| node.signal(Signal::CONT))
    }

    /// Starts the brokers that are down, lets the frozen ones go on, and waits until all take part.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_all(&self) -> Result<(), Error> {
        self.thaw_all()?;
        self.each(|node| node.spawn(&self.jars.classpath(), self.jvm))?;
        self.await_all()
    }

    /// Waits until all brokers take part, for example after [`Cluster::thaw_all`].
    ///
    /// # Errors
    /// When one has ended, or it takes more than 90 s.
    pub fn await_all(&self) -> Result<(), Error> {
        self.await_brokers(&self.layout.ids().collect::<Vec<_>>())
    }

    fn await_brokers(&self, wanted: &[u8]) -> Result<(), Error> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            wanted.iter().try_for_each(|id| self.node(*id)?.check())?;
            let seen = match self.missing(wanted) {
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
    fn missing(&self, wanted: &[u8]) -> Result<Vec<u8>, Error> {
        let silent = |id: &u8| !answers(self.layout.inside_of(*id));
        let silent: Vec<u8> = wanted.iter().copied().filter(silent).collect();
        if !silent.is_empty() {
            return Ok(silent);
        }
        let seen = self.admin.brokers()?;
        Ok(wanted.iter().copied().filter(|id| !seen.contains(&i32::from(*id))).collect())
    }

    /// Whether a broker's process runs and is not frozen.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn is_running(&self, broker: u8) -> Result<bool, Error> {
        let mut node = self.node(broker)?;
        Ok(node.pid()?.is_some() && !node.is_frozen()?)
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

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard does the same from the pid files; here the processes are reaped as well.
        let _ = self.kill_all();
        let _ = self.guard.release();
    }
}
