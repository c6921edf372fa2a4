//! `kill -9` of the real daemon at random moments while it reads services that can be resumed, with
//! `journal = "outage"` and with Kafka away part of the time. `SPILLWAY_KILLS` says how often,
//! `SPILLWAY_SEED` when.
//!
//! What is checked, record by record:
//! - Nothing is lost: every record of the service from the first one that it ever served to the daemon is
//!   in Kafka with its bytes, whatever lived and died meanwhile.
//! - A record that was received twice (its copies have different times of receipt) was received again by a
//!   later life, and its first copy within the last [`NOT_KEPT_YET`] of a life that was killed: so long it
//!   may take until it is durable and the place behind it is kept. Records before that are not asked for
//!   again, but for the few that the service itself repeats when it is resumed.
//! - Copies with the same time of receipt were received once and sent twice, when Kafka went away or the
//!   daemon died before it knew the answer. There are none in a run without either.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, and say what can repeat it"
)]

mod rig;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rig::daemon::Daemon;
use rig::{PATIENCE, cases, seed};
use spillway_testkit::kafka::{Mock, Reader, Snapshot};
use spillway_testkit::oracle::sources::{History, judge};
use spillway_testkit::presets::{Again, PRESETS, Preset, Upstreams, Weather};
use spillway_testkit::rng::Rng;
use spillway_testkit::services::Faults;

const KILLS: u64 = 10;
const PARTITIONS: i32 = 3;
/// Records a second of each service.
const RATE: u64 = 500;
/// From the receipt of a record until the place behind it is kept. An outage is noticed after a second
/// without an acknowledgement, or two when it hits the trial after another one; then the disk takes the
/// record, and places are kept every second. What the machine stands still comes on top. Some lives are much longer.
const NOT_KEPT_YET: Duration = Duration::from_secs(4);
/// A step of a life that takes longer is a machine that stands still.
const STEP: Duration = Duration::from_millis(100);

/// A life of the daemon.
#[derive(Debug, Clone, Copy)]
struct Life {
    began_ms: i64,
    killed_ms: i64,
    /// For how long this process or its disk stood still meanwhile: the daemon may have, too.
    stood: Duration,
}

/// What a run has seen.
#[expect(dead_code, reason = "some are only told")]
#[derive(Debug, Default)]
struct Figures {
    records: u64,
    lives: usize,
    outages: u64,
    received_again: usize,
    sent_again: usize,
    /// The oldest first copy of a record that was received again, before the kill.
    oldest: Duration,
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

struct Run {
    mock: Mock,
    upstreams: Upstreams,
    readers: Vec<Reader>,
    dir: tempfile::TempDir,
    rng: Rng,
    lives: Vec<Life>,
    outages: u64,
}

impl Run {
    fn start(seed: u64) -> Self {
        let mock = Mock::start(3).unwrap();
        let resumable: Vec<&'static Preset> =
            PRESETS.iter().filter(|preset| preset.again == Again::Place).collect();
        let reader = |name: &str| {
            mock.create_topic(name, PARTITIONS, 3).unwrap();
            Reader::start(mock.bootstrap(), name, PARTITIONS).unwrap()
        };
        mock.create_topic("events", PARTITIONS, 3).unwrap();
        let readers = resumable.iter().map(|preset| reader(preset.name)).collect();
        let calm = |place| Weather { seed: seed.wrapping_add(place), rate: RATE, faults: Faults::none() };
        let upstreams = Upstreams::start(resumable, calm).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { mock, upstreams, readers, dir, rng: Rng::new(seed), lives: Vec::new(), outages: 0 }
    }

    fn config(&self) -> String {
        format!(
            "{}[kafka]\nbrokers = '{}'\ntopic = 'events'\nlinger = '5ms'\n[delivery]\njournal = 'outage'\n\
             [breaker]\nack_timeout = '1s'\ntrial_timeout = '1s'\npartition_timeout = '1s'\nprobe_wait_max = '200ms'\n[spool]\ndir = '{}'\nfree_floor = 0\n\
             segment_bytes = '1MiB'\n",
            self.upstreams.config(self.dir.path()).unwrap(),
            self.mock.bootstrap(),
            self.dir.path().join("spool").display()
        )
    }

    /// A daemon that lives for a random while, through an outage in two of three lives.
    fn live(&mut self, text: &str) {
        let began_ms = now_ms();
        let daemon = Daemon::start(self.dir.path(), text);
        if self.lives.is_empty() {
            // A service is resumed from the first place that is kept; before, there is none.
            self.first_place(&daemon);
        }
        let longest = if self.rng.chance(0.3) { 10_000 } else { 2_000 };
        let until = Instant::now() + Duration::from_millis(self.rng.below(longest));
        let down = Instant::now() + Duration::from_millis(self.rng.below(1_500));
        let up = down + Duration::from_millis(self.rng.below(2_500));
        let (mut away, with_outage) = (false, self.rng.chance(0.67));
        let mut disk = File::create(self.dir.path().join("step")).unwrap();
        let mut stood = Duration::ZERO;
        while Instant::now() < until {
            let step = Instant::now();
            let now = Instant::now();
            if with_outage && !away && now >= down && now < up {
                self.mock.all_down().unwrap();
                (away, self.outages) = (true, self.outages + 1);
            }
            if away && now >= up {
                self.mock.all_up().unwrap();
                away = false;
            }
            std::thread::sleep(Duration::from_millis(20));
            disk.write_all(b"x").unwrap();
            disk.sync_data().unwrap();
            stood += step.elapsed().saturating_sub(STEP);
        }
        daemon.kill();
        self.lives.push(Life { began_ms, killed_ms: now_ms(), stood });
        // In half of the outages the next life begins in it.
        if away && self.rng.chance(0.5) {
            self.mock.all_up().unwrap();
        }
    }

    /// Waits until the place behind some record of each source is kept: the first one is at once.
    fn first_place(&self, daemon: &Daemon) {
        daemon.wait_status("a second of records is acknowledged", |status| {
            let sources = status["sources"].as_array().unwrap();
            sources.iter().all(|source| source["received"].as_u64() >= Some(RATE / 2))
                && status["counts"]["acked"].as_u64() >= Some(2 * RATE)
        });
    }

    /// Lets the last daemon deliver all that there is, and judges.
    fn finish(self, text: &str) -> Vec<(&'static str, Figures)> {
        self.mock.all_up().unwrap();
        let daemon = Daemon::start(self.dir.path(), text);
        assert!(self.upstreams.wait_calm(PATIENCE), "{}", daemon.log_tail());
        self.upstreams.finish();
        let mut figures = Vec::new();
        for (case, reader) in self.upstreams.0.iter().zip(&self.readers) {
            let topic = whole(case.preset.name, || case.history(), reader, &daemon);
            figures.push((case.preset.name, self.figures(&case.history(), &topic)));
        }
        assert!(daemon.terminate().success());
        figures
    }

    fn figures(&self, history: &History, topic: &Snapshot) -> Figures {
        let numbers: HashMap<u64, u64> = history.records.iter().map(|r| (r.hash, r.number)).collect();
        // By record, and for each receipt how many copies there are.
        let mut receipts: BTreeMap<u64, BTreeMap<i64, usize>> = BTreeMap::new();
        for entry in topic.partitions.values().flatten() {
            let times = receipts.entry(numbers[&entry.hash]).or_default();
            *times.entry(entry.timestamp_ms.unwrap()).or_default() += 1;
        }
        let mut figures = Figures {
            records: receipts.len() as u64,
            lives: self.lives.len() + 1,
            outages: self.outages,
            ..Figures::default()
        };
        for (number, times) in receipts {
            figures.sent_again += times.values().map(|copies| copies - 1).sum::<usize>();
            figures.received_again += times.len() - 1;
            let ordered: BTreeSet<i64> = times.keys().copied().collect();
            for pair in ordered.into_iter().collect::<Vec<_>>().windows(2) {
                let age =
                    self.age(pair[0], pair[1]).unwrap_or_else(|wrong| panic!("record {number}: {wrong}"));
                figures.oldest = figures.oldest.max(age);
            }
        }
        figures
    }

    /// How long before the end of its life the first of two receipts was; the second must be of a later
    /// life.
    fn age(&self, first_ms: i64, second_ms: i64) -> Result<Duration, String> {
        let of = |ms: i64| self.lives.iter().rposition(|life| life.began_ms <= ms && ms <= life.killed_ms);
        // What belongs to no life that was killed belongs to the last one.
        let (first, second) = (of(first_ms), of(second_ms).unwrap_or(self.lives.len()));
        let Some(first) = first.filter(|first| *first < second) else {
            return Err("received twice by one life".to_owned());
        };
        let Life { killed_ms, stood, .. } = self.lives[first];
        let age = Duration::from_millis(u64::try_from(killed_ms - first_ms).unwrap());
        if age > NOT_KEPT_YET + stood {
            return Err(format!("received again, {age:?} before the kill; it stood still for {stood:?}"));
        }
        Ok(age)
    }
}

/// Waits until nothing is missing in the topic, and nothing strange is in it.
fn whole(name: &str, history: impl Fn() -> History, reader: &Reader, daemon: &Daemon) -> Snapshot {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(reader.read_to_end(PATIENCE).unwrap());
        let topic = reader.snapshot();
        assert_eq!(topic.missed(), 0, "the mock forgot records: the test sends too much or too fast");
        let arrived: Vec<u64> = topic.partitions.values().flatten().map(|entry| entry.hash).collect();
        let verdict = judge(&history(), &arrived);
        assert!(verdict.torn.is_empty() && verdict.foreign.is_empty(), "{name}: {verdict:?}");
        assert!(verdict.messages.is_empty(), "{name}: {:?}", verdict.messages);
        if verdict.lost.is_empty() {
            return topic;
        }
        let lost = &verdict.lost;
        assert!(Instant::now() < deadline, "{name}: lost {} {lost:?}\n{}", lost.len(), daemon.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_resumed_service_loses_nothing_and_repeats_only_what_was_not_durable() {
    let seed = seed("kill -9, resumed services");
    let began = Instant::now();
    let mut run = Run::start(seed);
    let text = run.config();
    for _ in 0..cases("SPILLWAY_KILLS", KILLS) {
        run.live(&text);
    }
    for (name, figures) in run.finish(&text) {
        eprintln!("{name}: {figures:?}");
        assert!(figures.records > 1_000);
    }
    eprintln!("took {:?}", began.elapsed());
}
