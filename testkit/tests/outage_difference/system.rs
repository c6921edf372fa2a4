//! The whole system, once: an upstream, the real daemon, brokers that may go away, the real consumer, and its
//! store. Each program's state is seen over its admin endpoint.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use spillway_testkit::children;
use spillway_testkit::oracle::{Dedup, Recount};
use spillway_testkit::program::{Launch, Program, Status, build, build_binary};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{self, Feed, Upstream};

use crate::tables::{self, Row};

/// Far above what anything here takes on top of the stream itself; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Brokers that can be taken away, all at once.
pub(crate) trait Brokers {
    fn bootstrap(&self) -> String;
    fn down(&self);
    fn up(&self);
}

/// All brokers are away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    /// When so many records have been served.
    pub(crate) from: u64,
    /// It lasts so long at the least, and until so many records are on disk.
    pub(crate) during: Duration,
    pub(crate) spooled: u64,
}

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) seed: u64,
    pub(crate) records: u64,
    pub(crate) options: tweets::Options,
    /// Records a second.
    pub(crate) rate: u64,
    /// The consumer's patience with stragglers, and with silent partitions.
    pub(crate) delay: &'static str,
    pub(crate) idle_timeout: &'static str,
    /// The consumer's tables.
    pub(crate) tables: String,
    /// More of the daemon's `[kafka]`, and sections after it.
    pub(crate) delivery: &'static str,
    pub(crate) outage: Option<Outage>,
}

/// What the programs said at the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Records that went to the daemon's disk.
    pub(crate) spooled: u64,
    /// How often its breaker opened after the first record.
    pub(crate) opened: usize,
    /// Late events, of the run and of the drain after it.
    pub(crate) late: u64,
}

/// The folders of a run: `daemon`, `consumer`, `store`.
pub(crate) struct System {
    dir: tempfile::TempDir,
    lines: Vec<bytes::Bytes>,
}

impl System {
    pub(crate) fn new(plan: &Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["daemon", "consumer"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let records = usize::try_from(plan.records).unwrap();
        let posts = Generator::new(plan.seed, plan.options.clone()).take(records);
        Self { dir, lines: posts.map(|post| post.line).collect() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Serves the stream, takes the brokers away and brings them back when the plan says so, and returns when
    /// all windows are final.
    pub(crate) fn run(self, brokers: &impl Brokers, plan: &Plan) -> (Self, Outcome) {
        let options = upstream::Options { rate: plan.rate, ..upstream::Options::default() };
        let upstream = Upstream::start(Feed::lines(self.lines.clone()), options).unwrap();
        let consumer = Program::start(&self.consumer(&brokers.bootstrap(), plan)).unwrap();
        let partitions = u64::try_from(plan.partitions).unwrap();
        wait(&consumer, "own all partitions", |status| {
            let owned = status["partitions"].as_array()?.len() as u64;
            Some(owned == partitions && status["not_ready"].as_array()?.is_empty())
        });
        // It connects, and the stream begins.
        let mut daemon = Program::start(&self.daemon(&upstream, &brokers.bootstrap(), plan)).unwrap();
        if let Some(outage) = plan.outage {
            suffer(outage, &upstream, brokers, &mut daemon);
        }
        let took = Duration::from_secs(plan.records / plan.rate);
        assert!(upstream.wait_finished(took + PATIENCE), "the stream did not come to its end");
        let last = wait_daemon(&mut daemon, "bring everything to Kafka", |status| {
            status.received == plan.records && status.is_idle()
        });
        wait(&consumer, "read everything", |status| {
            let read = status["counts"]["read"].as_u64()?;
            Some(read >= plan.records && status["lag"]["processed"].as_u64()? == 0)
        });
        let late = consumer_status(&consumer).and_then(|status| status["counts"]["late"].as_u64()).unwrap();
        daemon.terminate(PATIENCE).unwrap();
        consumer.terminate(PATIENCE).unwrap();
        let late = late + self.drain(&brokers.bootstrap(), plan);
        let opened = last.history.iter().filter(|change| change.to == "open").count();
        (self, Outcome { spooled: last.spooled, opened, late })
    }

    fn daemon(&self, upstream: &Upstream, bootstrap: &str, plan: &Plan) -> Launch {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        // Only an outage is to open the breaker: without one, no slowness of this machine may.
        let silence = if plan.outage.is_some() { "1s" } else { "60s" };
        let config = format!(
            "[daemon]\nid = 'edge'\n[source]\ntype = 'http_ndjson'\nurl = '{}'\nid = '/data/id'\n\
             [breaker]\nack_timeout = '{silence}'\nprobe_wait_max = '200ms'\n\
             [spool]\ndir = '{}'\nfree_floor = 0\n\
             [kafka]\nbrokers = '{bootstrap}'\ntopic = '{}'\n{}",
            upstream.url(),
            self.folder("daemon").join("spool").display(),
            plan.topic,
            plan.delivery,
        );
        let binary = BINARY.get_or_init(|| build().unwrap()).clone();
        Launch { binary, dir: self.folder("daemon"), config, hosts: None }
    }

    fn consumer(&self, bootstrap: &str, plan: &Plan) -> Launch {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        let config = format!(
            "[kafka]\nbrokers = '{bootstrap}'\ntopic = '{0}'\ngroup = '{0}'\n\
             [kafka.options]\n'session.timeout.ms' = 6000\n\
             [time]\ndelay = '{1}'\nidle_timeout = '{2}'\nclose_interval = '100ms'\n[store]\nurl = '{3}'\n{4}",
            plan.topic,
            plan.delay,
            plan.idle_timeout,
            self.folder("store").display(),
            plan.tables,
        );
        let build = || build_binary("spillway-consumer").unwrap();
        Launch {
            binary: BINARY.get_or_init(build).clone(),
            dir: self.folder("consumer"),
            config,
            hosts: None,
        }
    }

    /// Closes the windows that are still open; how many events were late for that.
    fn drain(&self, bootstrap: &str, plan: &Plan) -> u64 {
        let launch = self.consumer(bootstrap, plan);
        let path = launch.dir.join("drain.toml");
        std::fs::write(&path, launch.config + "\n[admin]\nlisten = 'none'\n").unwrap();
        let mut command = Command::new(&launch.binary);
        command.args(["run", "--drain", "--config"]).arg(&path).stdin(Stdio::null());
        let output = children::output(&mut command).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let late = said.lines().find_map(|line| line.strip_prefix("late")).unwrap();
        late.trim().replace(',', "").parse().unwrap()
    }

    /// The rows of a final table, in the order of its windows and groups.
    pub(crate) fn rows(&self, table: &str) -> Vec<Row> {
        tables::rows(&self.folder("store"), table)
    }

    /// The events that a table of windows has counted.
    pub(crate) fn events(&self, table: &str) -> i64 {
        self.rows(table).iter().map(|row| row.number("events")).sum()
    }

    /// The tables as another program counts them, from the stream itself.
    pub(crate) fn recount(&self, window: Duration) -> Recount {
        let mut recount = Recount::new(window, Dedup::ById);
        self.lines.iter().for_each(|line| {
            recount.add(line);
        });
        recount
    }
}

/// Takes the brokers away and brings them back.
fn suffer(outage: Outage, upstream: &Upstream, brokers: &impl Brokers, daemon: &mut Program) {
    assert!(upstream.wait_served(outage.from, PATIENCE), "the stream does not flow");
    brokers.down();
    let began = Instant::now();
    // The stream goes on meanwhile, and the daemon takes it to its disk.
    wait_daemon(daemon, "live through the outage", |status| {
        began.elapsed() >= outage.during && status.breaker == "open" && status.spooled >= outage.spooled
    });
    brokers.up();
}

fn consumer_status(program: &Program) -> Option<Value> {
    serde_json::from_str(&program.get("/status")?).ok()
}

/// Polls the consumer's status until `done` says so.
fn wait(program: &Program, what: &str, done: impl Fn(&Value) -> Option<bool>) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        last = consumer_status(program).or(last);
        if last.as_ref().and_then(&done) == Some(true) {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("the consumer did not {what}: {last:#?}\n{}", program.tail());
}

fn wait_daemon(program: &mut Program, what: &str, done: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE + Duration::from_secs(120);
    loop {
        let status = program.status().unwrap();
        if done(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "the daemon did not {what}: {status:?}\n{}", program.tail());
        std::thread::sleep(LOOK_EVERY);
    }
}
