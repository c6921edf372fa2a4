//! What all rounds share: the cluster, the program, and what this machine lets a test do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use spillway_testkit::cluster::{Cluster, Listener, Options, Via};
use spillway_testkit::disk::Disk;
use spillway_testkit::{kcat, numbered, program};

use crate::Outcome;
use crate::daemon::DRAIN_DEADLINE;
use crate::faults::BROKER_NAME;
use crate::plan::{Kind, Mode};
use crate::topic::Topic;

/// The cluster, the program, and the machine's abilities.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) binary: PathBuf,
    /// The daemon logs in with SCRAM.
    pub(crate) sasl: bool,
    /// The daemon can have mounts of its own.
    pub(crate) namespaces: bool,
    /// The spool can have a disk of its own.
    pub(crate) disks: bool,
    /// Kinds that cannot be done here, and why.
    pub(crate) skipped: Vec<(Kind, String)>,
}

impl World {
    pub(crate) fn start(sasl: bool) -> Outcome<Self> {
        kcat::check()?;
        let binary = program::build()?;
        let mut skipped = Vec::new();
        let namespaces = can_have_namespaces();
        if let Err(why) = &namespaces {
            skipped.push((Kind::Dns, why.clone()));
        }
        let disks = Disk::is_possible();
        if let Err(why) = &disks {
            skipped.extend([Kind::PowerCut, Kind::DiskFull].map(|kind| (kind, why.clone())));
        }
        if !sasl {
            let why = "this seed's daemon does not log in".to_owned();
            skipped.push((Kind::AuthRevoked, why));
        }
        let host = if namespaces.is_ok() { BROKER_NAME } else { "127.0.0.1" };
        let via = Some(Via { host: host.to_owned(), sasl });
        let cluster = Cluster::start(Options { via, ..Options::default() })?;
        let (namespaces, disks) = (namespaces.is_ok(), disks.is_ok());
        Ok(Self { cluster, binary, sasl, namespaces, disks, skipped })
    }

    /// The kinds that can be done here.
    pub(crate) fn possible(&self) -> Vec<Kind> {
        Kind::all().filter(|kind| self.skipped.iter().all(|(skipped, _)| skipped != kind)).collect()
    }

    /// The daemon's configuration.
    pub(crate) fn config(
        &self,
        mode: Mode,
        source: &str,
        topic: &Topic,
        spool: &Path,
        dir: &Path,
    ) -> Outcome<String> {
        let journal = if mode.always { "always" } else { "outage" };
        let order = if mode.fresh { "fresh" } else { "arrival" };
        let letters = topic.letters.as_ref().map(|name| format!("dead_letter_topic = '{name}'\n"));
        let letters = letters.unwrap_or_default();
        let security = if self.sasl { self.credentials(dir)? } else { String::new() };
        Ok(format!(
            "[daemon]\nid = 'chaos'\n{source}\
             [kafka]\nbrokers = '{}'\ntopic = '{}'\n{letters}max_record_bytes = {}\n{security}\
             [delivery]\norder = '{order}'\njournal = '{journal}'\n\
             [spool]\ndir = '{}'\nfree_floor = '8MiB'\nsegment_bytes = '4MiB'\n\
             [shutdown]\ndrain_deadline = '{}ms'\n[log]\nlevel = 'info'\n",
            self.cluster.bootstrap(Listener::Proxied),
            topic.name(),
            numbered::HUGE_BYTES,
            spool.display(),
            DRAIN_DEADLINE.as_millis(),
        ))
    }

    fn credentials(&self, dir: &Path) -> Outcome<String> {
        let (user, password) = self.cluster.user();
        let file = dir.join("password");
        std::fs::write(&file, password)?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(format!(
            "sasl_mechanism = 'SCRAM-SHA-512'\nusername = '{user}'\npassword_file = '{}'\n",
            file.display()
        ))
    }
}

fn can_have_namespaces() -> Result<(), String> {
    let script = "mount --bind /etc/hosts /etc/hosts";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "sh", "-c", script]);
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}
