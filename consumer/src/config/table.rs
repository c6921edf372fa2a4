//! `[[table]]`: one table of windows or of events, from a preset or from nothing.

use std::time::Duration;

use spillway_service::settings::Section;

use crate::archive::{Archive, FIELDS, PartitionBy};
use crate::event;
use crate::filter::Filter;
use crate::metrics::{By, KINDS, Plan, groups};
use crate::presets::{PRESETS, preset, preset_archive};
use crate::tables::{Table, TableFault, Top};

/// All tables: those of windows, and those of events.
pub(super) fn tables(root: &Section<'_>) -> (Vec<Table>, Vec<Archive>) {
    if !root.has("table") {
        root.problem("table", &TableFault::None.to_string());
    }
    let sections = root.sections("table");
    let (mut tables, mut archives) = (Vec::new(), Vec::new());
    for section in &sections {
        let name = if is_archive(section) {
            archives.push(archive(section));
            archives.last().map(|archive| &archive.name)
        } else {
            tables.push(table(section));
            tables.last().map(|table| &table.name)
        };
        let named = |name: &String| tables.iter().map(|table| &table.name).filter(|n| *n == name).count();
        let kept =
            |name: &String| archives.iter().map(|archive| &archive.name).filter(|n| *n == name).count();
        if let Some(name) = name.filter(|name| !name.is_empty() && named(name) + kept(name) > 1) {
            section.problem("name", &TableFault::Twice(name.clone()).to_string());
        }
    }
    (tables, archives)
}

/// `kind = "events"`, or a preset that is of events.
fn is_archive(section: &Section<'_>) -> bool {
    let preset: Option<String> = section.optional("preset");
    let is_preset = preset.is_some_and(|name| preset_archive(&name).is_some());
    match section.choice("kind", &[("windows", Some(false)), ("events", Some(true))]) {
        _ if !section.has("kind") => is_preset,
        kind => kind.unwrap_or(is_preset),
    }
}

fn archive(section: &Section<'_>) -> Archive {
    let preset: Option<String> = section.optional("preset");
    let base = preset.and_then(|name| preset_archive(&name)).unwrap_or_else(|| Archive::new(""));
    let columns = section.strings("columns");
    let archive = Archive {
        name: name(section, &base.name),
        filter: filter(&section.section("filter"), base.filter),
        columns: match section.has("columns") {
            true => columns.iter().filter_map(|name| known(section, "columns", name, &FIELDS)).collect(),
            false => base.columns,
        },
        partition: partition(section, base.partition),
    };
    match archive.check() {
        Ok(()) => {}
        Err(TableFault::Name(name)) if name.is_empty() && !section.has("name") => {}
        Err(TableFault::Columns(_)) if archive.columns.is_empty() && !columns.is_empty() => {}
        Err(fault @ TableFault::Columns(_)) => section.problem("columns", &fault.to_string()),
        Err(fault @ TableFault::Partition(_)) => section.problem("partition_column", &fault.to_string()),
        Err(fault) => section.problem("name", &fault.to_string()),
    }
    archive
}

fn partition(section: &Section<'_>, base: Option<PartitionBy>) -> Option<PartitionBy> {
    let by =
        section.choice("partition_by", &[("rule", Some(false)), ("folded_rule", Some(true)), ("none", None)]);
    let column: Option<String> = section.optional("partition_column");
    let is_folded = if section.has("partition_by") { by } else { base.as_ref().map(|base| base.is_folded) };
    let column = column.or(base.map(|base| base.column)).unwrap_or_else(|| "rule".to_owned());
    is_folded.map(|is_folded| PartitionBy { column, is_folded })
}

fn table(section: &Section<'_>) -> Table {
    let base = base(section);
    let window = section.get("window", base.window);
    // A window of another length slides by its length, unless it is said otherwise.
    let slide = if section.has("window") { window } else { base.slide };
    let table = Table {
        name: name(section, &base.name),
        window,
        slide: section.get("slide", slide),
        group_by: group_by(section, base.group_by),
        filter: filter(&section.section("filter"), base.filter),
        plan: plan(section, base.plan),
        top: top(section, base.top),
        csv: section.get("csv", base.csv),
    };
    if let Err(fault) = table.check() {
        report(section, &table, &fault);
    }
    table
}

/// The preset, or a table that counts events and has no name.
fn base(section: &Section<'_>) -> Table {
    let plain = || Table::new("", Duration::from_secs(300), By::None, Filter::default());
    let Some(name) = section.optional::<String>("preset") else { return plain() };
    preset(&name).unwrap_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|name| format!("{name:?}")).collect();
        section.problem("preset", &format!("{name:?} is unknown; use one of {}", names.join(", ")));
        // Said once: it needs no name beside that.
        Table { name, ..plain() }
    })
}

fn name(section: &Section<'_>, base: &str) -> String {
    if base.is_empty() {
        section.require("name", "\"activity\"")
    } else {
        section.get("name", base.to_owned())
    }
}

fn report(section: &Section<'_>, table: &Table, fault: &TableFault) {
    let key = match fault {
        // Said already.
        TableFault::Name(name) if name.is_empty() && !section.has("name") => return,
        TableFault::Metrics(_) if table.plan.kinds().is_empty() && !section.strings("metrics").is_empty() => {
            return;
        }
        TableFault::Name(_) if !section.has("name") => "preset",
        TableFault::Name(_) | TableFault::Twice(_) => "name",
        TableFault::Window(_) => "window",
        TableFault::Slide { .. } => "slide",
        TableFault::Top { .. } => "top",
        TableFault::Metrics(_) | TableFault::Columns(_) | TableFault::Partition(_) | TableFault::None => {
            "metrics"
        }
    };
    section.problem(key, &fault.to_string());
}

fn group_by(section: &Section<'_>, default: By) -> By {
    let names = section.strings("group_by");
    let known = |name: &str| groups::NAMES.iter().find(|(known, _)| *known == name).map(|(_, by)| *by);
    match &names[..] {
        [] => default,
        [one] if known(one).is_some() => known(one).unwrap_or(default),
        _ => {
            let lists: Vec<_> = groups::NAMES.iter().map(|(name, _)| format!("[{name:?}]")).collect();
            section.problem("group_by", &format!("use one of {}", lists.join(", ")));
            default
        }
    }
}

fn filter(section: &Section<'_>, base: Filter) -> Filter {
    let list = |key: &str, base: Vec<String>| {
        if section.has(key) { section.one_or_more_strings(key) } else { base }
    };
    let kinds = section.one_or_more_strings("kind");
    let kinds: Vec<_> = kinds.iter().filter_map(|name| known(section, "kind", name, &event::KINDS)).collect();
    Filter {
        places: list("place", base.places),
        place_types: list("place_type", base.place_types),
        langs: list("lang", base.langs),
        tags: list("tag", base.tags),
        rules: list("rule", base.rules),
        kinds: if kinds.is_empty() { base.kinds } else { kinds },
    }
}

fn plan(section: &Section<'_>, base: Plan) -> Plan {
    let exact_max = section.within("exact_actors", base.exact_max() as u64, 2_048..=1_000_000);
    let kinds = section.strings("metrics");
    let plan = match section.has("metrics") {
        true => Plan::new(kinds.iter().filter_map(|name| known(section, "metrics", name, &KINDS)).collect()),
        false => base,
    };
    plan.exact_up_to(usize::try_from(exact_max).unwrap_or(usize::MAX))
}

fn top(section: &Section<'_>, base: Option<Top>) -> Option<Top> {
    let asked = section.has("top");
    let inner = section.section("top");
    match (asked, base) {
        (false, base) => base,
        (true, base) => {
            let n = base.as_ref().map_or(10, |base| base.n as u64);
            let n = usize::try_from(inner.within("n", n, 1..=1_000_000)).unwrap_or(usize::MAX);
            let by = match base {
                Some(base) => inner.get("by", base.by),
                None => inner.require("by", "\"events\""),
            };
            Some(Top { by, n })
        }
    }
}

fn known<T: Copy>(section: &Section<'_>, key: &str, name: &str, all: &[(&str, T)]) -> Option<T> {
    let found = all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<_> = all.iter().map(|(name, _)| format!("{name:?}")).collect();
        section.problem(key, &format!("{name:?} is unknown; use some of {}", names.join(", ")));
    }
    found
}
