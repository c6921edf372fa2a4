//! The whole system: an upstream, the real daemon, a mock cluster that goes away, the real consumer with its store.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use spillway_testkit::kafka::Mock;
use spillway_testkit::program::{Launch, Program, build, build_binary};
use spillway_testkit::tweets::{Generator, Options};
use spillway_testkit::upstream::{self, Feed, Upstream};

use crate::PATIENCE;

const PARTITIONS: i32 = 4;
const RECORDS: u64 = 4_000;
/// Records a second: 20 s in all.
const RATE: u64 = 200;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The running system.
pub(crate) struct Rig {
    pub(crate) mock: Mock,
    pub(crate) daemon: Program,
    pub(crate) consumer: Program,
    upstream: Upstream,
}

impl Rig {
    /// Starts it in an empty folder; the stream begins at once.
    pub(crate) fn start(dir: &Path) -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic("events", PARTITIONS, 3).unwrap();
        // Twenty minutes of events that end now: many windows in a short time.
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let options =
            Options { place_share: 0.5, ..Options::ending_at(now, Duration::from_secs(1200), RECORDS) };
        let posts = Generator::new(1, options).take(usize::try_from(RECORDS).unwrap());
        let feed = Feed::lines(posts.map(|post| post.line).collect::<Vec<_>>());
        let pace = upstream::Options { rate: RATE, ..upstream::Options::default() };
        let upstream = Upstream::start(feed, pace).unwrap();
        let consumer = Program::start(&consumer(dir, mock.bootstrap())).unwrap();
        wait(&consumer, "own all partitions", |status| {
            let owned = status["partitions"].as_array()?.len();
            Some(i32::try_from(owned) == Ok(PARTITIONS) && status["not_ready"].as_array()?.is_empty())
        });
        let daemon = Program::start(&daemon(dir, mock.bootstrap(), &upstream.url())).unwrap();
        Self { mock, daemon, consumer, upstream }
    }

    /// Waits until records go to Kafka straight from memory, so that an outage is one.
    pub(crate) fn wait_for_flow(&self) {
        wait(&self.daemon, "reach Kafka", |status| {
            Some(status["breaker"] == "closed" && status["counts"]["acked"].as_u64()? > 100)
        });
    }

    /// Waits until records wait on the daemon's disk.
    pub(crate) fn wait_for_backlog(&self) {
        wait(&self.daemon, "write to its disk", |status| Some(status["spool"]["records"].as_u64()? > 100));
    }

    /// Waits until everything is read and the windows of a city are final.
    pub(crate) fn wait_for_the_end(&self) {
        assert!(self.upstream.wait_finished(PATIENCE), "the stream did not come to its end");
        wait(&self.daemon, "bring everything to Kafka", |status| {
            let delivered = status["counts"]["acked"].as_u64()? + status["counts"]["replayed"].as_u64()?;
            Some(delivered == RECORDS && status["spool"]["records"] == 0)
        });
        wait(&self.consumer, "make windows final", |status| {
            let read = status["counts"]["read"].as_u64()?;
            Some(read >= RECORDS && status["windows"].as_array()?.len() == 2)
        });
    }
}

fn daemon(dir: &Path, bootstrap: &str, url: &str) -> Launch {
    let dir = dir.join("daemon");
    std::fs::create_dir(&dir).unwrap();
    let config = format!(
        "[daemon]\nid = 'edge'\n[source]\ntype = 'http_ndjson'\nurl = '{url}'\nid = '/data/id'\n\
         time = '/data/created_at'\n\
         [breaker]\nack_timeout = '1s'\nprobe_wait_max = '200ms'\n\
         [spool]\ndir = '{}'\nfree_floor = 0\n[kafka]\nbrokers = '{bootstrap}'\ntopic = 'events'\n",
        dir.join("spool").display(),
    );
    Launch { binary: build().unwrap(), dir, config, hosts: None }
}

fn consumer(dir: &Path, bootstrap: &str) -> Launch {
    let store = dir.join("store");
    let dir = dir.join("consumer");
    std::fs::create_dir(&dir).unwrap();
    let config = format!(
        "[kafka]\nbrokers = '{bootstrap}'\ntopic = 'events'\ngroup = 'watched'\n\
         [kafka.options]\n'session.timeout.ms' = 6000\n\
         [time]\ndelay = '1m'\nidle_timeout = '2s'\nclose_interval = '100ms'\n[store]\nurl = '{}'\n\
         [[table]]\npreset = 'city_activity'\nwindow = '1m'\n\
         [[table]]\nname = 'activity'\nwindow = '1m'\nmetrics = ['events', 'reposts', 'unique_actors']\n\
         [[table]]\nname = 'words'\nwindow = '5m'\ngroup_by = ['word']\nmetrics = ['events']\n",
        store.display(),
    );
    let binary = build_binary("spillway-consumer").unwrap();
    Launch { binary, dir, config, hosts: None }
}

/// Polls a program's status until `done` says so.
fn wait(program: &Program, what: &str, done: impl Fn(&Value) -> Option<bool>) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        last = program.get("/status").and_then(|body| serde_json::from_str(&body).ok()).or(last);
        if last.as_ref().and_then(&done) == Some(true) {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("it did not {what}: {last:#?}\n{}", program.tail());
}
