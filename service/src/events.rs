//! Every kind of event that the programs log, in one table: its name, its MESSAGE_ID, its level, what it
//! means and what an operator does about it.
//!
//! The journal's catalogue and the list in the runbook are made from it, and a test compares all three with
//! the code. An id is never changed and never used again: people have written it into their alerts.

mod consumer;
mod kafka;
mod service;
mod sources;
mod spool;

use std::fmt::Write as _;

use tracing::Level;

/// One kind of event.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name: the field `event` of a log call, `SPILLWAY_EVENT` in the journal.
    pub name: &'static str,
    /// `MESSAGE_ID` in the journal: 32 hexadecimal digits.
    pub id: &'static str,
    /// ERROR: loss, or an operator is needed. WARN: nothing is lost. INFO: as it should be.
    pub level: Level,
    /// What has happened, in a few words.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What an operator does; empty for INFO.
    pub action: &'static str,
}

const fn info(name: &'static str, id: &'static str, title: &'static str, meaning: &'static str) -> Kind {
    Kind { name, id, level: Level::INFO, title, meaning, action: "" }
}

const fn warn(
    name: &'static str,
    id: &'static str,
    title: &'static str,
    meaning: &'static str,
    action: &'static str,
) -> Kind {
    Kind { name, id, level: Level::WARN, title, meaning, action }
}

const fn error(
    name: &'static str,
    id: &'static str,
    title: &'static str,
    meaning: &'static str,
    action: &'static str,
) -> Kind {
    Kind { name, id, level: Level::ERROR, title, meaning, action }
}

/// Events of which each single one is told: it says what no later one says again, such as what is missing for
/// good, or which setting is wrong.
const NEVER_HELD_BACK: &[&str] = &[
    "source_gap",
    "records_missed",
    "lost_at_shutdown",
    "unaccounted",
    "spool_damaged",
    "spool_dropped_oldest",
    "spool_segment_unreadable",
    "configuration_invalid",
    "configuration_warning",
    "stopped",
    "run_failed",
];

/// The table in its parts, each with a heading.
const PARTS: &[(&str, &[Kind])] = &[
    ("The service", service::EVENTS),
    ("Kafka", kafka::EVENTS),
    ("Upstreams", sources::EVENTS),
    ("The spool", spool::EVENTS),
    ("The consumer", consumer::EVENTS),
];

impl Kind {
    /// Whether repeated events of this kind may be held back and summed up.
    #[must_use]
    pub fn may_be_held_back(&self) -> bool {
        !NEVER_HELD_BACK.contains(&self.name)
    }
}

/// All kinds.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    PARTS.iter().flat_map(|(_, kinds)| *kinds)
}

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    all().find(|kind| kind.name == name)
}

/// The journal's catalogue, in the format of `journalctl --update-catalog`.
#[must_use]
pub fn catalogue() -> String {
    let mut text = String::from(
        "# Explanations of Spillway's events for journalctl -x. Made from the table in service/src/events/,\n\
         # and compared with it by a test; docs/runbook.md has the same texts.\n",
    );
    for kind in all() {
        let Kind { name, id, level, title, meaning, action } = kind;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n-- {id}\nSubject: {title}\nDefined-By: Spillway\n\
             Documentation: file:///usr/share/doc/spillway/runbook.md\n\n{}\n",
            wrap(&format!("{level} {name}. {meaning}"), 78)
        );
        if !action.is_empty() {
            let _ = writeln!(text, "\n{}", wrap(&format!("What to do: {action}"), 78));
        }
    }
    text
}

/// The runbook's list: each WARN and ERROR with what to do, then a table of what is no trouble.
#[must_use]
pub fn runbook() -> String {
    let mut text = String::new();
    for (heading, kinds) in PARTS {
        let _ = writeln!(text, "### {heading}\n");
        for Kind { name, level, title, meaning, action, .. } in
            kinds.iter().filter(|kind| kind.level != Level::INFO)
        {
            let body = wrap(&format!("{title}. {meaning} **Do:** {action}"), 118);
            let _ = writeln!(text, "#### `{name}` ({level})\n\n{body}\n");
        }
    }
    text.push_str("### No trouble\n\n| INFO | what it means |\n|---|---|\n");
    for Kind { name, title, meaning, .. } in all().filter(|kind| kind.level == Level::INFO) {
        let _ = writeln!(text, "| `{name}` | {title}. {meaning} |");
    }
    text
}

/// Breaks a text into lines of at most `width` characters, where words allow it.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_ids_are_well_formed_and_taken_once() {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for kind in all() {
            let is_name = kind.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let is_id = kind.id.len() == 32
                && kind.id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            assert!(is_name && is_id, "{kind:?}");
            assert!(names.insert(kind.name) && ids.insert(kind.id), "{kind:?} is there twice");
            assert_eq!(kind.level == Level::INFO, kind.action.is_empty(), "{kind:?}");
        }
        assert!(NEVER_HELD_BACK.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn what_each_says_of_its_own_is_never_held_back() {
        let may_be_held_back = |name: &str| find(name).unwrap().may_be_held_back();
        for name in ["source_gap", "spool_damaged", "spool_dropped_oldest", "configuration_invalid"] {
            assert!(!may_be_held_back(name), "{name}");
        }
        for name in ["source_disconnected", "breaker_open", "late_event"] {
            assert!(may_be_held_back(name), "{name}");
        }
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("unbreakable a", 3), "unbreakable\na");
    }
}
