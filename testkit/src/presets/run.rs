//! One run: a daemon that reads all fakes, until everything has gone wrong that was to, and the judgement
//! of each topic.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Case, Upstreams};
use crate::kafka::{self, Reader};
use crate::oracle::sources::Verdict;
use crate::program::{self, Launch, Program};

/// How often a daemon that is not done yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the last records may take to their topics, far above what they need.
const SETTLE: Duration = Duration::from_secs(60);

/// Why a run is no good.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon could not be run.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// A topic could not be read.
    #[error(transparent)]
    Reader(#[from] kafka::Error),
    /// Some faults never came.
    #[error("after {0:?} not all faults have happened, or somebody is not connected")]
    NotCalm(Duration),
    /// Something is not as it must be.
    #[error("{name}: {wrong:#?}")]
    Wrong {
        /// The source.
        name: &'static str,
        /// All of it.
        wrong: Vec<String>,
    },
    /// The daemon did not end well.
    #[error("the daemon ended with {0}")]
    End(std::process::ExitStatus),
}

/// What one source went through.
#[derive(Debug)]
pub struct Outcome {
    /// The source.
    pub name: &'static str,
    /// What went wrong, by kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// Records in Kafka.
    pub records: u64,
    /// What the oracle says.
    pub verdict: Verdict,
    /// What the daemon says of the source.
    pub status: Value,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, faults, records, verdict, status } = self;
        let of = |key: &str| status.get(key).map(Value::to_string).unwrap_or_default();
        let count: usize = faults.values().sum();
        write!(
            f,
            "{name}: {count} faults {faults:?}; {records} records in Kafka, {} connections, {} recognised as repeated, {} repeated by one connection, {} torn, {} too long; {} gaps of {} ms reported, {} records missed",
            of("connects"),
            of("duplicates"),
            verdict.duplicates,
            of("torn"),
            of("too_long"),
            of("gaps"),
            of("gap_ms"),
            verdict.missed().len()
        )
    }
}

/// Runs the daemon of `launch` on the fakes; `readers` read their topics, in their order. All faults must
/// have happened after `patience`; what was served last must be in Kafka a minute later.
///
/// # Errors
/// When anything is not as it must be.
pub fn run(
    upstreams: &Upstreams,
    readers: &[Reader],
    launch: &Launch,
    patience: Duration,
) -> Result<Vec<Outcome>, Failure> {
    let program = Program::start(launch)?;
    if !upstreams.wait_calm(patience) {
        return Err(Failure::NotCalm(patience));
    }
    upstreams.finish();
    let deadline = Instant::now() + SETTLE;
    let mut outcomes = Vec::new();
    for (case, reader) in upstreams.0.iter().zip(readers) {
        outcomes.push(judge(case, reader, launch, &program, deadline)?);
    }
    let status = program.terminate(SETTLE)?.status;
    if status.success() { Ok(outcomes) } else { Err(Failure::End(status)) }
}

/// Waits until nothing is wrong; what still is at the deadline is an error.
fn judge(
    case: &Case,
    reader: &Reader,
    launch: &Launch,
    program: &Program,
    deadline: Instant,
) -> Result<Outcome, Failure> {
    let name = case.preset.name;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let at_end = reader.read_to_end(left.max(LOOK_EVERY))?;
        let status: Value =
            program.get("/status").and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        // A log that cannot be read tells of no gaps, which is wrong enough.
        let log = std::fs::read_to_string(launch.log()).unwrap_or_default();
        let topic = reader.snapshot();
        let (verdict, wrong) = case.check(&topic, &status, &log);
        if at_end && wrong.is_empty() {
            let faults = case.faults.clone();
            let own =
                status["sources"].as_array().and_then(|all| all.iter().find(|source| source["name"] == name));
            let status = own.cloned().unwrap_or_default();
            return Ok(Outcome { name, faults, records: topic.records() as u64, verdict, status });
        }
        if left.is_zero() {
            return Err(Failure::Wrong { name, wrong });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
