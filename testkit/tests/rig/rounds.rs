//! A daemon with `journal = "always"` under load, interrupted again and again at random moments, with
//! Kafka away part of the time; and the judgement at the end: everything that was promised is there.
//!
//! A record of the HTTP stream is promised once `/status` has counted it as spooled, in the order of
//! receipt, in an answer that was complete before the interruption began. All lines of a file are promised.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use spillway_testkit::kafka::Snapshot;
use spillway_testkit::rng::Rng;

use super::daemon::{Daemon, config};
use super::load::{Lines, Stream, copies};
use super::{Cluster, PATIENCE, TOPIC};

/// What is read.
pub enum Input {
    Stream(Stream),
    File(Lines),
}

/// One daemon after another on the same spool.
pub struct Rounds<'a> {
    pub dir: &'a Path,
    pub spool: &'a Path,
    pub input: Input,
    pub rng: Rng,
    /// Added to the configuration before `[spool]`, and within `[spool]`.
    pub delivery: String,
    pub limits: String,
}

/// What a test with interruptions has seen.
#[derive(Debug, Default)]
pub struct Figures {
    pub rounds: u64,
    pub sent: usize,
    pub promised: usize,
    pub lost: usize,
    pub duplicates: usize,
    pub without_kafka: u64,
    pub took: Duration,
}

impl Rounds<'_> {
    /// Runs `rounds` daemons and interrupts each; `interrupt` ends the daemon, by whatever means.
    pub fn run(mut self, rounds: u64, mut interrupt: impl FnMut(Daemon)) -> Figures {
        let began = Instant::now();
        let cluster = Cluster::start();
        let text = self.config(&cluster);
        let mut figures = Figures { rounds, ..Figures::default() };
        let mut promised: Vec<u64> = Vec::new();
        for round in 0..rounds {
            let before = self.connections();
            if let Input::File(lines) = &self.input {
                lines.allow(cluster.reader.records());
            }
            let daemon = Daemon::start(self.dir, &text);
            figures.without_kafka += u64::from(self.trouble(&cluster));
            let spooled = self.work(&daemon);
            interrupt(daemon);
            cluster.mock.all_up().unwrap();
            promised.extend(self.promised(before, spooled, round));
        }
        let before = self.connections();
        let daemon = Daemon::start(self.dir, &text);
        promised.extend(self.finish(&daemon, before));
        let snapshot = judge(&cluster, &daemon, &promised, &mut figures);
        assert!(daemon.terminate().success(), "the last daemon stops in order");
        figures.sent = self.sent();
        figures.duplicates = snapshot.records() - copies(&snapshot).len();
        figures.took = began.elapsed();
        figures
    }

    fn config(&self, cluster: &Cluster) -> String {
        let source = match &self.input {
            Input::Stream(stream) => stream.source(),
            Input::File(lines) => lines.source(),
        };
        let more = format!("[delivery]\njournal = 'always'\n{}", self.delivery);
        let text = config(&source, cluster.mock.bootstrap(), self.spool, &more);
        format!("{text}free_floor = 0\nsegment_bytes = '1MiB'\n{}", self.limits)
    }

    /// In a third of the rounds Kafka is away; in another it goes down and comes back.
    fn trouble(&mut self, cluster: &Cluster) -> bool {
        let away = self.rng.chance(0.33);
        if away || self.rng.chance(0.5) {
            cluster.mock.all_down().unwrap();
        }
        if !away {
            cluster.mock.all_up().unwrap();
        }
        away
    }

    /// Lets the daemon work for a random while, and returns how many records it then says are on disk.
    fn work(&mut self, daemon: &Daemon) -> u64 {
        let until = Instant::now() + Duration::from_millis(self.rng.below(2_000));
        let target = 1 + self.rng.below(2_000);
        let mut spooled = 0;
        // As much as the seed says, or as long; but never without a single record.
        daemon.wait_status("records are accepted", |status| {
            assert_sound(status, daemon);
            spooled = status["counts"]["spooled"].as_u64().unwrap();
            spooled > 0 && (spooled >= target || Instant::now() >= until)
        });
        spooled
    }

    fn connections(&self) -> usize {
        match &self.input {
            Input::Stream(stream) => stream.upstream.connections().len(),
            Input::File(_) => 0,
        }
    }

    /// The records that a daemon has promised: the first `spooled` of its connection.
    fn promised(&self, before: usize, spooled: u64, round: u64) -> Vec<u64> {
        let Input::Stream(stream) = &self.input else { return Vec::new() };
        assert!(stream.upstream.wait_connections(before + 1, PATIENCE));
        let start: u64 = stream.upstream.connections()[..before].iter().map(|c| c.served).sum();
        // Noted after it was written: the daemon may have it on disk before.
        let noted = stream.upstream.wait_served(start + spooled, PATIENCE);
        assert!(noted, "round {round}: more on disk than was served");
        let connections = stream.upstream.connections();
        assert_eq!(connections.len(), before + 1, "round {round}: one connection a daemon");
        assert!(spooled <= connections[before].served, "round {round}: more on disk than was served");
        let range = usize::try_from(start).unwrap()..usize::try_from(start + spooled).unwrap();
        stream.served()[range].to_vec()
    }

    /// Ends the load and waits until all of it has passed through; returns what is promised by that.
    fn finish(&mut self, daemon: &Daemon, before: usize) -> Vec<u64> {
        let Input::Stream(stream) = &self.input else {
            let Input::File(lines) = &mut self.input else { return Vec::new() };
            return lines.finish();
        };
        assert!(stream.upstream.wait_connections(before + 1, PATIENCE));
        stream.upstream.pause();
        let served = || stream.upstream.connections()[before].served;
        let drained = |status: &Value| is_drained(status) && status["counts"]["received"] == served();
        daemon.wait_status("the rest is delivered", drained);
        self.promised(before, served(), u64::MAX)
    }

    fn sent(&self) -> usize {
        match &self.input {
            Input::Stream(stream) => stream.served().len(),
            Input::File(lines) => usize::try_from(lines.written()).unwrap(),
        }
    }
}

fn is_drained(status: &Value) -> bool {
    let zero = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64) == Some(0);
    zero("/spool/records") && zero("/queue/records") && zero("/in_flight/direct") && zero("/in_flight/replay")
}

/// What must hold at every moment.
fn assert_sound(status: &Value, daemon: &Daemon) {
    assert_eq!(status["counts"]["unaccounted"], 0, "{status:#}");
    assert_eq!(status["at_risk_records"], 0, "a journal has nothing at risk\n{status:#}");
    let lost = &status["spool"]["quarantined_records"];
    assert_eq!(*lost, 0, "an interruption is no damage\n{status:#}\n{}", daemon.log_tail());
}

fn judge(cluster: &Cluster, daemon: &Daemon, promised: &[u64], figures: &mut Figures) -> Snapshot {
    let wanted: HashSet<u64> = promised.iter().copied().collect();
    figures.promised = wanted.len();
    assert!(figures.promised > 0, "a test without a promise shows nothing");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(cluster.reader.read_to_end(PATIENCE).unwrap(), "{TOPIC} cannot be read to its end");
        let snapshot = cluster.reader.snapshot();
        assert_eq!(snapshot.missed(), 0, "the mock forgot records: the test sends too much or too fast");
        let there = copies(&snapshot);
        let lost: Vec<_> = wanted.iter().filter(|hash| !there.contains_key(hash)).collect();
        figures.lost = lost.len();
        if lost.is_empty() {
            return snapshot;
        }
        // A followed file is read on at its own pace; anything that is still missing then is lost.
        assert!(Instant::now() < deadline, "{figures:#?}\n{}", daemon.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
}
