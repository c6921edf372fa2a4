//! The dead letters of a round, as an operator gets at them: with `spillwayd spool dead`, and from the
//! dead-letter topic with another program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use spillway_testkit::cluster::{Cluster, Listener};
use spillway_testkit::kcat;
use spillway_testkit::numbered::Numbered;

use crate::Outcome;

/// The dead letters of a spool, each the bytes that were sent under their own id.
pub(crate) fn of_spool(binary: &Path, spool: &Path, load: Numbered) -> Outcome<BTreeSet<u64>> {
    let listed = run(binary, &["ls"], spool, &[])?;
    // Whatever does not begin with a number is a heading.
    let letters: Vec<String> = String::from_utf8(listed)?
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.parse::<u64>().is_ok())
        .map(str::to_owned)
        .collect();
    if letters.is_empty() {
        return Ok(BTreeSet::new());
    }
    let records = run(binary, &["cat"], spool, &letters)?;
    let mut numbers = BTreeSet::new();
    for line in records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let letter: Value = serde_json::from_slice(line)?;
        let text = |key: &str| letter.get(key).and_then(Value::as_str).unwrap_or_default();
        let n = load.read(text("value").as_bytes())?;
        if text("id") != Numbered::id(n) || text("reason").is_empty() {
            return Err(format!("dead letter of record {n}: id {:?}", text("id")).into());
        }
        numbers.insert(n);
    }
    Ok(numbers)
}

fn run(binary: &Path, command: &[&str], spool: &Path, more: &[String]) -> Outcome<Vec<u8>> {
    let mut program = Command::new(binary);
    program.args(["spool", "dead"]).args(command).arg(spool).args(more).stdin(Stdio::null());
    let output = program.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("spillwayd spool dead {command:?} ended with {}: {said}", output.status).into());
    }
    Ok(output.stdout)
}

/// The dead letters in a topic.
pub(crate) fn of_topic(cluster: &Cluster, topic: &str, load: Numbered) -> Outcome<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    for found in kcat::read(&cluster.bootstrap(Listener::Plain), topic, load)? {
        let n = found.number?;
        if found.id.as_deref() != Some(&Numbered::id(n)) {
            return Err(format!("dead letter of record {n} in {topic}: id {:?}", found.id).into());
        }
        numbers.insert(n);
    }
    Ok(numbers)
}
