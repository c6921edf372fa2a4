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
mod brokers;
mod detached;
mod error;
mod jars;
mod layout;
mod node;
mod tls;
mod wire;

use std::path::{Path, PathBuf};

pub use admin::{Admin, Leader};
pub use brokers::State;
pub use detached::Detached;
pub use error::Error;
pub(crate) use jars::copy_dependencies;
pub use layout::Listener;
pub use node::Jvm;
pub use tls::TlsFiles;
pub use wire::{Network, Wire};

use brokers::Brokers;
use jars::Jars;
use layout::{Block, Layout, PASSWORD, USER};
use node::Guard;
use tls::Tls;

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
    brokers: Brokers,
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
        let (network, tls) = (Network::open(&wires)?, TlsFiles::of(&tls));
        let brokers = Brokers::new(layout, jars, options.jvm);
        let cluster = Self { network, admin, brokers, tls, guard, _ports: ports };
        cluster.admin.connect(&cluster.brokers.layout.inside())?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Addresses for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self, listener: Listener) -> String {
        self.brokers.layout.bootstrap(listener)
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
        self.brokers.jars.classpath()
    }

    /// The folder with the jars.
    #[must_use]
    pub fn kafka_dir(&self) -> &Path {
        self.brokers.jars.dir()
    }

    /// The cluster's own folder, with the brokers' logs (`broker-1/broker.log`).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.brokers.layout.dir
    }

    /// Stops a broker in an orderly way: it hands its leaderships over, as in a rolling restart.
    ///
    /// # Errors
    /// When there is no such broker, or it cannot be signalled.
    pub fn stop(&self, broker: u8) -> Result<(), Error> {
        self.brokers.stop(broker)
    }

    /// Kills a broker with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn kill(&self, broker: u8) -> Result<(), Error> {
        self.brokers.kill(broker)
    }

    /// Freezes a broker with SIGSTOP: connections stand, nothing answers.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn freeze(&self, broker: u8) -> Result<(), Error> {
        self.brokers.freeze(broker)
    }

    /// Lets a frozen broker go on. It returns at once; the broker may have to register again.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn thaw(&self, broker: u8) -> Result<(), Error> {
        self.brokers.thaw(broker)
    }

    /// Starts a broker, after stopping it if it runs, and waits until it takes part. Needs a majority of
    /// brokers that run: after [`Cluster::kill_all`] use [`Cluster::start_all`].
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn restart(&self, broker: u8) -> Result<(), Error> {
        self.brokers.stop(broker)?;
        self.brokers.spawn(broker)?;
        self.brokers.await_ready(&self.admin, &[broker])
    }

    /// Stops all brokers at once.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn stop_all(&self) -> Result<(), Error> {
        self.brokers.stop_all()
    }

    /// Kills all brokers with SIGKILL.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn kill_all(&self) -> Result<(), Error> {
        self.brokers.kill_all()
    }

    /// Freezes all brokers.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn freeze_all(&self) -> Result<(), Error> {
        self.brokers.freeze_all()
    }

    /// Lets all brokers go on.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn thaw_all(&self) -> Result<(), Error> {
        self.brokers.thaw_all()
    }

    /// Starts the brokers that are down, lets the frozen ones go on, and waits until all take part.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_all(&self) -> Result<(), Error> {
        self.brokers.spawn_all()?;
        self.await_all()
    }

    /// Waits until all brokers take part, for example after [`Cluster::thaw_all`].
    ///
    /// # Errors
    /// When one has ended, or it takes more than 3 min.
    pub fn await_all(&self) -> Result<(), Error> {
        let all: Vec<u8> = self.brokers.layout.ids().collect();
        self.brokers.await_ready(&self.admin, &all)
    }

    /// What a broker does.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn state(&self, broker: u8) -> Result<State, Error> {
        self.brokers.state(broker)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard does the same from the pid files; here the processes are reaped as well.
        let _ = self.brokers.kill_all();
        let _ = self.guard.release();
    }
}
