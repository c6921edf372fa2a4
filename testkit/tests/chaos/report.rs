//! What is told: a line for each disturbance while it runs, and a table at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use spillway_testkit::oracle::chaos::{Allowance, Verdict};

use crate::plan::{Kind, Mode, Step};
use crate::world::World;

/// Prints a line at once: the test harness would keep it until the end.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        // Nobody is there to be told that standard error is closed.
        let _ = writeln!(std::io::stderr(), "chaos: {}", format_args!($($what)*));
    }};
}
pub(crate) use say;

/// One disturbance that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbance {
    pub(crate) step: Step,
    /// From its beginning until the breaker opened.
    pub(crate) opened: Option<Duration>,
    /// From its end, or the daemon's start, until the first record was acknowledged.
    pub(crate) recovered: Duration,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match self.opened {
            Some(after) => write!(f, "breaker open after {} ms, ", after.as_millis())?,
            None => write!(f, "breaker stayed closed, ")?,
        }
        write!(f, "first record {} ms after its end", self.recovered.as_millis())
    }
}

/// A round that was judged.
#[derive(Debug)]
pub(crate) struct RoundReport {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) mode: Mode,
    pub(crate) served: u64,
    pub(crate) verdict: Verdict,
    pub(crate) allowances: Vec<Allowance>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) rss_max_kib: u64,
    pub(crate) slowest_stop: Duration,
}

impl fmt::Display for RoundReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, seed, mode, served, verdict: v, .. } = self;
        writeln!(
            f,
            "round {number} (seed {seed}; {mode}): {served} served, {} delivered, {} dead letters, {} lost, {} lost and allowed {:?}, {} duplicates, {} out of order, {} explained; {} MiB, slowest stop {} ms",
            v.delivered,
            v.dead,
            v.lost.len(),
            v.allowed_records(),
            v.allowed,
            v.duplicates,
            v.disorder.len(),
            v.explained.len(),
            self.rss_max_kib / 1024,
            self.slowest_stop.as_millis(),
        )?;
        if v.is_good() {
            return Ok(());
        }
        let mut some = |what: &str, list: &[String]| {
            let shown = list.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
            if list.is_empty() { Ok(()) } else { writeln!(f, "  {what} ({}): {shown}", list.len()) }
        };
        some("lost", &texts(&v.lost))?;
        some("never served", &texts(&v.unknown))?;
        some("under a wrong id", &texts(&v.misnamed))?;
        some("in several partitions", &texts(&v.scattered))?;
        some("refused wrongly, or taken wrongly", &texts(&v.misjudged))?;
        some("corrupt", &v.corrupt)?;
        some("counted wrongly", &v.overcounted)?;
        some("out of order", &v.disorder.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>())?;
        some("allowances", &self.allowances.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>())
    }
}

fn texts(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(ToString::to_string).collect()
}

/// The sum of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    rounds: Vec<RoundReport>,
}

impl Summary {
    pub(crate) fn add(&mut self, round: RoundReport) {
        self.rounds.push(round);
    }

    fn sum(&self, of: impl Fn(&RoundReport) -> u64) -> u64 {
        self.rounds.iter().map(of).sum()
    }

    /// The table.
    pub(crate) fn tell(&self, world: &World, took: Duration) {
        say!(
            "{} rounds in {} s, login {}",
            self.rounds.len(),
            took.as_secs(),
            if world.sasl { "SCRAM-SHA-512" } else { "none" }
        );
        say!(
            "{:<20} {:>5}  {:<26} first record after its end, ms",
            "fault",
            "times",
            "breaker open after, ms"
        );
        for (kind, all) in self.by_kind() {
            let opened = spread(all.iter().filter_map(|d| d.opened));
            let recovered = spread(all.iter().map(|d| d.recovered));
            say!("{:<20} {:>5}  {opened:<26} {recovered}", kind.name(), all.len());
        }
        for (kind, why) in &world.skipped {
            say!("SKIPPED {}: {why}", kind.name());
        }
        say!("records served          {}", self.sum(|r| r.served));
        say!("delivered               {}", self.sum(|r| r.verdict.delivered));
        say!("dead letters            {}", self.sum(|r| r.verdict.dead));
        say!("lost                    {}", self.sum(|r| r.verdict.lost.len() as u64));
        let mut allowed: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, n) in self.rounds.iter().flat_map(|r| &r.verdict.allowed) {
            *allowed.entry(reason).or_default() += n;
        }
        say!("lost, and allowed to be {} {allowed:?}", allowed.values().sum::<u64>());
        say!("duplicates              {}", self.sum(|r| r.verdict.duplicates));
        say!("order violations        {}", self.sum(|r| r.verdict.disorder.len() as u64));
        say!("explained by a repeat   {}", self.sum(|r| r.verdict.explained.len() as u64));
        say!(
            "most memory             {} MiB",
            self.rounds.iter().map(|r| r.rss_max_kib / 1024).max().unwrap_or(0)
        );
        say!(
            "slowest stop            {} ms",
            self.rounds.iter().map(|r| r.slowest_stop.as_millis()).max().unwrap_or(0)
        );
    }

    fn by_kind(&self) -> BTreeMap<Kind, Vec<Disturbance>> {
        let mut by_kind: BTreeMap<Kind, Vec<Disturbance>> = BTreeMap::new();
        for disturbance in self.rounds.iter().flat_map(|round| &round.disturbances) {
            for kind in disturbance.step.fault.iter().chain(&disturbance.step.blow) {
                by_kind.entry(*kind).or_default().push(*disturbance);
            }
        }
        by_kind
    }
}

/// Least, median and most, in milliseconds.
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut ms: Vec<u128> = times.map(|time| time.as_millis()).collect();
    ms.sort_unstable();
    match (ms.first(), ms.get(ms.len() / 2), ms.last()) {
        (Some(least), Some(median), Some(most)) => format!("{least} / {median} / {most}"),
        _ => "-".to_owned(),
    }
}
