//! One member of the group: the real `spillway-consumer` as a process, with signals.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spillway_testkit::children;

use crate::Outcome;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A member has nothing to finish when it is asked to end, but a store that fails may hold it up.
const END_WITHIN: Duration = Duration::from_secs(60);

/// How members are started.
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
}

impl Launch {
    /// The end of what all members said.
    pub(crate) fn tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A process; killed when this is dropped.
pub(crate) struct Member {
    child: Child,
    frozen_until: Option<Instant>,
}

impl Member {
    pub(crate) fn start(launch: &Launch, drain: bool) -> Outcome<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&launch.log)?;
        // It execs the program, which dies with the thread of its run also when the test is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&launch.binary);
        command.args(["run", "--config"]).arg(&launch.config).env("NO_COLOR", "1");
        if drain {
            command.arg("--drain");
        }
        // They would be read as settings.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SPILLWAY_"))
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        Ok(Self { child: children::spawn(&mut command)?, frozen_until: None })
    }

    fn signal(&self, signal: Signal) -> Outcome {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL; returns when it is gone. It may have ended before.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stands still until then.
    pub(crate) fn freeze(&mut self, until: Instant) -> Outcome {
        self.frozen_until = Some(until);
        self.signal(Signal::STOP)
    }

    /// Goes on when its time has come.
    pub(crate) fn thaw(&mut self, now: Instant) -> Outcome {
        if self.frozen_until.take_if(|until| *until <= now).is_some() {
            self.signal(Signal::CONT)?;
        }
        Ok(())
    }

    /// SIGTERM, also to one that stands still; how it ended.
    pub(crate) fn terminate(mut self) -> Outcome<ExitStatus> {
        self.signal(Signal::TERM)?;
        if self.frozen_until.take().is_some() {
            self.signal(Signal::CONT)?;
        }
        self.wait(END_WITHIN)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("a member has not ended within {limit:?}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Gone already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration of all members.
pub(crate) struct Config<'a> {
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) store: &'a str,
    pub(crate) session: Duration,
}

impl Config<'_> {
    /// Writes it, and the secret beside it; where it is.
    pub(crate) fn write(&self, dir: &Path) -> Outcome<PathBuf> {
        let (secret, path) = (dir.join("s3-secret"), dir.join("spillway-consumer.toml"));
        std::fs::write(&secret, "test")?;
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let metrics = "metrics = [\"events\", \"reposts\", \"referencing\", \"unique_actors\"]\n";
        let text = format!(
            "[kafka]\nbrokers = '{}'\ntopic = '{}'\ngroup = '{}'\n\
             [kafka.options]\n'session.timeout.ms' = {}\n'heartbeat.interval.ms' = 500\n\
             'topic.metadata.refresh.interval.ms' = 1000\n\
             [input]\nprofile = 'x_v2'\n[time]\ndelay = '30s'\nidle_timeout = '1s'\nclose_interval = '200ms'\n\
             [store]\nurl = '{}'\nregion = 'us-east-1'\nendpoint = '{}'\naccess_key_id = 'test'\n\
             secret_access_key_file = '{}'\n\
             [[table]]\nname = 'activity'\nwindow = '1m'\n{metrics}\
             [[table]]\nname = 'city_activity'\nwindow = '5m'\ngroup_by = ['place']\n\
             filter = {{ place_type = 'city' }}\n{metrics}\
             [[table]]\nname = 'sliding'\nwindow = '5m'\nslide = '1m'\n{metrics}\
             [[table]]\npreset = 'happiest_hashtags'\nwindow = '5m'\n\
             [log]\nlevel = 'info,object_store=warn'\n",
            self.bootstrap,
            self.topic,
            self.topic,
            self.session.as_millis(),
            self.store,
            self.endpoint,
            secret.display(),
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }
}
