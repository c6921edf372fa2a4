//! The table of events, the code, the journal's catalogue and the runbook name the same events.
//!
//! After a change of the table: `SPILLWAY_WRITE=1 cargo test -p spillway-service --test events` writes
//! catalogue and runbook anew.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use spillway_service::events;

/// Where log calls are looked for.
const CODE: &[&str] = &["consumer/src", "daemon/src", "service/src", "spool/src"];
const BEGIN: &str = "<!-- events: made from service/src/events/ -->\n";
const END: &str = "<!-- end of events -->\n";

/// A log call in the code.
#[derive(Debug)]
struct Call {
    place: String,
    level: String,
    /// Its field `event`.
    name: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The calls of `tracing::info!`, `warn!` and `error!` in a text, without librdkafka's own lines that are no trouble.
fn calls(place: &str, text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for (start, _) in text.match_indices("tracing::") {
        let rest = &text[start + "tracing::".len()..];
        let Some((level, arguments)) = rest.split_once("!(") else { continue };
        let client = arguments.strip_prefix("target: \"librdkafka\", ");
        if !["info", "warn", "error"].contains(&level) || (level == "info" && client.is_some()) {
            continue;
        }
        let name = client
            .unwrap_or(arguments)
            .trim_start()
            .strip_prefix("event = \"")
            .and_then(|rest| rest.split('"').next());
        let line = text[..start].lines().count();
        calls.push(Call {
            place: format!("{place}:{line}"),
            level: level.to_uppercase(),
            name: name.map(str::to_owned),
        });
    }
    calls
}

fn all_calls() -> Vec<Call> {
    let root = root();
    let mut files = Vec::new();
    CODE.iter().for_each(|folder| rust_files(&root.join(folder), &mut files));
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        // Unit tests at a file's end log what they like.
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
        calls(path.strip_prefix(&root).unwrap().to_str().unwrap(), &code)
    };
    files.iter().flat_map(read).collect()
}

#[test]
fn every_log_call_has_a_name_of_the_table_and_its_level() {
    let calls = all_calls();
    assert!(calls.len() > 80, "only {} log calls were found", calls.len());
    let mut wrong = Vec::new();
    for call in &calls {
        let known = call.name.as_deref().and_then(events::find);
        if known.is_none_or(|kind| kind.level.as_str() != call.level) {
            let Call { place, level, name } = call;
            wrong.push(format!("{place}: {level} {name:?}"));
        }
    }
    assert!(wrong.is_empty(), "not in the table, or of another level there:\n{}", wrong.join("\n"));
}

#[test]
fn every_event_of_the_table_is_in_the_code() {
    let in_code: BTreeSet<String> = all_calls().into_iter().filter_map(|call| call.name).collect();
    let unused: Vec<_> =
        events::all().map(|kind| kind.name).filter(|name| !in_code.contains(*name)).collect();
    assert!(unused.is_empty(), "nobody logs {unused:?}");
}

/// Compares a file's text with what it should be, or writes it when told to.
fn must_be(path: &Path, is: &str, should: &str) {
    if std::env::var_os("SPILLWAY_WRITE").is_some() {
        std::fs::write(path, should).unwrap();
    } else {
        assert!(is == should, "{} is not what the table says; see the head of this test", path.display());
    }
}

#[test]
fn the_catalogue_is_that_of_the_table() {
    let path = root().join("systemd/spillway.catalog");
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    must_be(&path, &is, &events::catalogue());
}

#[test]
fn the_runbook_has_every_event_of_the_table() {
    let path = root().join("docs/runbook.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = is.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    must_be(&path, &is, &format!("{before}{BEGIN}\n{}\n{END}{after}", events::runbook()));
}

#[test]
fn the_runbook_names_the_events_that_are_never_held_back() {
    let text = std::fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let (_, rest) = text.split_once("What repeats is held back").unwrap();
    let (sentence, _) = rest.split_once("are always written one by one").unwrap();
    let named: BTreeSet<_> = sentence.split('`').filter(|word| events::find(word).is_some()).collect();
    let should: BTreeSet<_> =
        events::all().filter(|kind| !kind.may_be_held_back()).map(|kind| kind.name).collect();
    assert_eq!(named, should);
}

#[test]
fn calls_are_found_as_they_are_written() {
    let text = "tracing::warn!(\n    event = \"a\",\n    \"text\"\n);\n tracing::debug!(\"b\");\n\
                tracing::error!(%error, \"c\"); tracing::info!(target: \"librdkafka\", \"d\");\
                tracing::warn!(target: \"librdkafka\", event = \"e\", \"f\");";
    let found: Vec<_> = calls("x", text).into_iter().map(|call| (call.level, call.name)).collect();
    let call = |level: &str, name: Option<&str>| (level.to_owned(), name.map(str::to_owned));
    assert_eq!(found, [call("WARN", Some("a")), call("ERROR", None), call("WARN", Some("e"))]);
}
