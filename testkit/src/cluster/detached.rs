//! A cluster for a person: it goes on when the command that started it has ended, on fixed ports, and is
//! commanded through its folder. The program `kafka` is its command line.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::admin::Admin;
use super::brokers::{Brokers, State};
use super::error::Error;
use super::jars::{Jars, cache_dir};
use super::layout::{Layout, Listener, PASSWORD, USER};
use super::node::Jvm;
use super::tls::{Tls, TlsFiles};

const BROKERS: u8 = 3;
/// The plain listeners are at 9092, 9192 and 9292; the others of a broker follow its plain one.
const PORTS: (u16, u16) = (9092, 100);

/// A cluster that outlives the process.
#[derive(Debug)]
pub struct Detached {
    brokers: Brokers,
    tls: TlsFiles,
}

impl Detached {
    /// The folder that is used unless another is given: `kafka-cluster` in the target folder.
    #[must_use]
    pub fn default_dir() -> PathBuf {
        cache_dir().with_file_name("kafka-cluster")
    }

    /// The cluster in `dir`, running or not, new or not.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the folder cannot be written.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (jars, tls) = (Jars::get()?, Tls::get()?);
        // The brokers' command lines hold the path, by which they are found again.
        std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let dir = std::fs::canonicalize(dir).map_err(Error::file("find", dir))?;
        let layout = Layout::new(dir, BROKERS, PORTS, None, &tls);
        Ok(Self { brokers: Brokers::new(layout, jars, Jvm::default()), tls: TlsFiles::of(&tls) })
    }

    /// Starts the brokers that are down; formats their storage the first time.
    ///
    /// # Errors
    /// When a port is taken or a broker does not start.
    pub fn up(&self) -> Result<(), Error> {
        let layout = &self.brokers.layout;
        for id in layout.ids() {
            if self.brokers.state(id)? == State::Down {
                free(layout.ports(id))?;
            }
        }
        layout.write_files()?;
        let admin = self.admin()?;
        let fresh = layout.ids().filter(|id| !layout.is_formatted(*id));
        let fresh: Vec<_> = fresh.map(|id| layout.properties_file(id).display().to_string()).collect();
        if !fresh.is_empty() {
            admin.format(&fresh, USER, PASSWORD)?;
        }
        self.brokers.spawn_all()?;
        self.brokers.await_ready(&admin, &layout.ids().collect::<Vec<_>>())
    }

    /// Stops all brokers; their data stays, for the next [`Detached::up`].
    ///
    /// # Errors
    /// When one cannot be signalled.
    pub fn down(&self) -> Result<(), Error> {
        self.brokers.stop_all()
    }

    /// Stops all brokers and removes the folder.
    ///
    /// # Errors
    /// As [`Detached::down`], and when the folder cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        self.brokers.kill_all()?;
        let dir = &self.brokers.layout.dir;
        std::fs::remove_dir_all(dir).map_err(Error::file("remove", dir))
    }

    /// Stops one broker, or all.
    ///
    /// # Errors
    /// When there is no such broker, or it cannot be signalled.
    pub fn stop(&self, broker: Option<u8>) -> Result<(), Error> {
        broker.map_or_else(|| self.brokers.stop_all(), |id| self.brokers.stop(id))
    }

    /// Kills one broker, or all, with SIGKILL.
    ///
    /// # Errors
    /// As [`Detached::stop`].
    pub fn kill(&self, broker: Option<u8>) -> Result<(), Error> {
        broker.map_or_else(|| self.brokers.kill_all(), |id| self.brokers.kill(id))
    }

    /// Freezes one broker, or all, with SIGSTOP.
    ///
    /// # Errors
    /// As [`Detached::stop`].
    pub fn freeze(&self, broker: Option<u8>) -> Result<(), Error> {
        broker.map_or_else(|| self.brokers.freeze_all(), |id| self.brokers.freeze(id))
    }

    /// Lets one broker, or all, go on.
    ///
    /// # Errors
    /// As [`Detached::stop`].
    pub fn thaw(&self, broker: Option<u8>) -> Result<(), Error> {
        broker.map_or_else(|| self.brokers.thaw_all(), |id| self.brokers.thaw(id))
    }

    /// Starts one broker, or all, and waits until it takes part.
    ///
    /// # Errors
    /// When it does not start; one alone waits in vain for a majority.
    pub fn start(&self, broker: Option<u8>) -> Result<(), Error> {
        let Some(id) = broker else { return self.up() };
        self.brokers.spawn(id)?;
        self.brokers.await_ready(&self.admin()?, &[id])
    }

    /// Creates a topic with three replicas, unless it exists; whether it is new.
    ///
    /// # Errors
    /// When the cluster refuses or is down.
    pub fn topic(&self, name: &str, partitions: i32) -> Result<bool, Error> {
        match self.admin()?.create_topic(name, partitions, 3, &[]) {
            Ok(()) => Ok(true),
            Err(error) if error.is_topic_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether `up` was ever called on this folder.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.brokers.layout.ids().any(|id| self.brokers.layout.is_formatted(id))
    }

    /// What each broker does, in order.
    ///
    /// # Errors
    /// When a process cannot be looked at.
    pub fn states(&self) -> Result<Vec<(u8, State)>, Error> {
        self.brokers.layout.ids().map(|id| Ok((id, self.brokers.state(id)?))).collect()
    }

    /// Addresses for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self, listener: Listener) -> String {
        self.brokers.layout.bootstrap(listener)
    }

    /// TLS files for clients.
    #[must_use]
    pub fn tls(&self) -> &TlsFiles {
        &self.tls
    }

    /// A user and its password, for SCRAM and PLAIN.
    #[must_use]
    pub fn user(&self) -> (&str, &str) {
        (USER, PASSWORD)
    }

    /// The cluster's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.brokers.layout.dir
    }

    /// For `java -cp`, to run Kafka's own tools.
    #[must_use]
    pub fn classpath(&self) -> String {
        self.brokers.jars.classpath()
    }

    fn admin(&self) -> Result<Admin, Error> {
        let layout = &self.brokers.layout;
        let admin = Admin::start(&self.brokers.jars.classpath(), &layout.dir.join("admin.log"))?;
        admin.connect(&layout.inside())?;
        Ok(admin)
    }
}

/// An error that names the port, instead of a broker that ends with a page of Java.
fn free(ports: impl Iterator<Item = u16>) -> Result<(), Error> {
    for port in ports {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| Error::Wire { port, source })?;
    }
    Ok(())
}
