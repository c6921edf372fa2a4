//! Rules and plans as a person or a program reads them.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use spillway_daemon::config::RuleConfig;
use spillway_daemon::rules::{Complaint, Plan, Retag, Rule, Step, Waiting};
use spillway_service::units::show_duration;

use crate::plain::plain;

const NO_TAG: &str = "-";

/// A table of id, tag and value.
pub(super) fn rules(rules: &[Rule], out: &mut dyn Write) -> io::Result<()> {
    let width = |texts: &mut dyn Iterator<Item = usize>, least| texts.max().unwrap_or_default().max(least);
    let ids = width(&mut rules.iter().map(|rule| rule.id.chars().count()), 2);
    let tags = width(&mut rules.iter().map(|rule| tag(rule.tag.as_deref()).chars().count()), 3);
    writeln!(out, "{:<ids$}  {:<tags$}  value", "id", "tag")?;
    for rule in rules {
        let Rule { id, value, tag: name } = rule;
        writeln!(out, "{:<ids$}  {:<tags$}  {}", plain(id), tag(name.as_deref()), plain(value))?;
    }
    Ok(())
}

pub(super) fn rules_json(rules: &[Rule], out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, rules)?;
    writeln!(out)
}

/// A line for each rule that is not as it shall be, and the counts.
pub(super) fn plan(plan: &Plan, file: &Path, out: &mut dyn Write) -> io::Result<()> {
    for rule in &plan.add {
        let place = format!("{}:{}", file.display(), rule.line);
        writeln!(out, "+ {:<24}  {}  ({place})", tag(rule.tag.as_deref()), plain(&rule.value))?;
    }
    for retag in &plan.retag {
        let (old, new) = (tag(retag.rule.tag.as_deref()), tag(retag.wanted.tag.as_deref()));
        let place = format!("{}:{}", file.display(), retag.wanted.line);
        writeln!(out, "~ {:<24}  {}  ({place})", format!("{old} -> {new}"), plain(&retag.rule.value))?;
    }
    for (sign, rules) in [('-', &plan.delete), ('?', &plan.foreign)] {
        for rule in rules {
            let mark = if sign == '?' { "  (not ours: left alone)" } else { "" };
            let name = tag(rule.tag.as_deref());
            writeln!(out, "{sign} {name:<24}  {}{mark}", plain(&rule.value))?;
        }
    }
    writeln!(
        out,
        "{} to add, {} to retag, {} to delete, {} unchanged, {} not ours",
        plan.add.len(),
        plan.retag.len(),
        plan.delete.len(),
        plan.unchanged.len(),
        plan.foreign.len()
    )?;
    if plan.after() == 0 {
        writeln!(out, "The account will have no rule: X then refuses the stream (409).")?;
    }
    Ok(())
}

/// What a person should know of the work before saying yes.
pub(super) fn steps(steps: &[Step], out: &mut dyn Write) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Exchange(retags) => writeln!(
                out,
                "{} to retag: until that is in force, the same rules in parentheses stand in",
                retags.len()
            )?,
            Step::Replace(retags) => writeln!(
                out,
                "{} to retag with nothing that stands in: posts that no other rule matches may be missed",
                retags.len()
            )?,
            Step::Add(_) | Step::Delete(_) => {}
        }
    }
    Ok(())
}

/// Says on standard error what is waited for.
#[expect(clippy::print_stderr, reason = "the answer of a command")]
pub(super) fn waiting(waiting: Waiting) {
    let (what, time) = match waiting {
        Waiting::ForStandIns(time) => ("the rules that stand in", time),
        Waiting::ForNewTags(time) => ("the rules with their new tags", time),
    };
    eprintln!("waiting {} until {what} are in force", show_duration(time));
}

#[derive(Serialize)]
struct Change<'a> {
    value: &'a str,
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_tag: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    line: usize,
}

#[derive(Serialize)]
struct Changes<'a> {
    add: Vec<Change<'a>>,
    retag: Vec<Change<'a>>,
    delete: &'a [Rule],
    unchanged: &'a [Rule],
    not_ours: &'a [Rule],
}

impl<'a> Change<'a> {
    fn addition(rule: &'a RuleConfig) -> Self {
        let RuleConfig { value, tag, line } = rule;
        Self { value, tag: tag.as_deref(), old_tag: None, id: None, line: *line }
    }

    fn retag(retag: &'a Retag) -> Self {
        let old = &retag.rule;
        Self { old_tag: Some(old.tag.as_deref()), id: Some(&old.id), ..Self::addition(&retag.wanted) }
    }
}

pub(super) fn plan_json(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let changes = Changes {
        add: plan.add.iter().map(Change::addition).collect(),
        retag: plan.retag.iter().map(Change::retag).collect(),
        delete: &plan.delete,
        unchanged: &plan.unchanged,
        not_ours: &plan.foreign,
    };
    serde_json::to_writer_pretty(&mut *out, &changes)?;
    writeln!(out)
}

/// What X says against rules, each with its place in the configuration.
pub(super) fn complaints(
    complaints: &[Complaint],
    rules: &[RuleConfig],
    file: &Path,
    out: &mut dyn Write,
) -> io::Result<()> {
    for Complaint { value, text, .. } in complaints {
        let Some(value) = value else {
            writeln!(out, "X says: {}", plain(text))?;
            continue;
        };
        let line = rules.iter().find(|rule| rule.value == value.trim()).map(|rule| rule.line);
        match line {
            Some(line) => write!(out, "{}:{line}: ", file.display())?,
            None => write!(out, "a rule of the account: ")?,
        }
        writeln!(out, "{}\n    X says: {}", plain(value), plain(text))?;
    }
    Ok(())
}

pub(super) fn done(before: &Plan, after: &Plan, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "done: {} added, {} retagged, {} deleted; the account has {} rules. They take effect within about 20 s.",
        before.add.len(),
        before.retag.len(),
        before.delete.len(),
        after.before()
    )
}

fn tag(tag: Option<&str>) -> String {
    tag.map_or_else(|| NO_TAG.to_owned(), plain)
}
