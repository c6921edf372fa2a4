//! What an operator watches is there: a real Prometheus scrapes the real daemon and the real consumer through an
//! outage of Kafka. Every expression of the dashboards and of the alert rules is evaluated there, every series that
//! they name exists, and what must have data has data. promtool checks the rules, and that each alert of Spillway
//! fires when it must and not otherwise; each names a section of the runbook that exists. Grafana's own types read
//! the dashboards. docs/metrics.md lists the metrics that the programs have.
//!
//! It needs Debian's package `prometheus`, and Python with a package index the first time.
//! After a change of the metrics, `SPILLWAY_WRITE=1` has it write their list anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails loudly")]

mod expressions;
mod prometheus;
mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use expressions::{Asked, anchors, selectors};
use prometheus::{Prometheus, rules};
use rig::Rig;
use serde_json::Value;
use spillway_testkit::children;
use spillway_testkit::python::Venv;

/// Far above what anything here takes; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Expressions that give nothing in this run, and why. All others must give something.
const MAY_BE_EMPTY: [(&str, &str); 6] = [
    ("spillway-operations: Disk full in A", "only while the disk fills for longer"),
    ("spillway-operations: Spool empty in A", "only while it becomes smaller over minutes"),
    ("spillway-operations: Connections B", "only when a connection ends"),
    ("spillway-operations: annotation", "only while an alert fires"),
    ("spillway-cities: annotation", "only while an alert fires"),
    ("spillway-cities: More than an hour before A", "only after an hour"),
];

const BEGIN: &str = "<!-- metrics: made from the programs by testkit/tests/watching -->\n";
const END: &str = "<!-- end of metrics -->\n";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn what_dashboards_and_alerts_ask_for_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path());
    let targets = [("spillwayd", rig.daemon.admin()), ("spillway_consumer", rig.consumer.admin())];
    let prometheus = Prometheus::start(dir.path(), &targets);

    rig.wait_for_flow();
    rig.mock.all_down().unwrap();
    prometheus.until("notice that Kafka is away", || is_active(&prometheus, "SpillwayKafkaAway"));
    rig.wait_for_backlog();
    prometheus.until("see the backlog", || {
        prometheus.instant("spillway_spool_oldest_milliseconds > 1000")[0].is_object()
    });
    rig.mock.all_up().unwrap();
    rig.wait_for_the_end();
    prometheus.until("see the end", || {
        prometheus.instant("spillway_spool_records == 0 and on () spillway_consumer_lag_records == 0")[0]
            .is_object()
    });
    prometheus.until("forget the outage", || !is_active(&prometheus, "SpillwayKafkaAway"));

    let troubles = prometheus.active_alerts();
    let critical = |alert: &&Value| alert["labels"]["severity"] == "critical" && alert["state"] == "firing";
    assert!(!troubles.iter().any(|alert| critical(&alert)), "{troubles:#?}");
    assert_figures(&prometheus, &rig);
    assert_dashboards(&prometheus);
    assert_rules(&prometheus);
    assert_documented(&[&rig.daemon, &rig.consumer].map(|program| program.get("/metrics").unwrap()));
}

fn is_active(prometheus: &Prometheus, name: &str) -> bool {
    prometheus.active_alerts().iter().any(|alert| alert["labels"]["alertname"] == name)
}

/// A few figures whose value is known.
fn assert_figures(prometheus: &Prometheus, rig: &Rig) {
    let value = |expression: &str| {
        let found = prometheus.instant(expression);
        let text = found[0]["value"][1].as_str().unwrap_or_else(|| panic!("{expression}: {found}"));
        text.parse::<f64>().unwrap()
    };
    let status: Value = serde_json::from_str(&rig.daemon.get("/status").unwrap()).unwrap();
    for (path, count) in [("direct", "acked"), ("disk", "replayed")] {
        let expected = status["counts"][count].as_f64().unwrap();
        assert!(expected > 100.0, "{path}: {expected}");
        prometheus.until("see every acknowledgement", || {
            prometheus.instant(&format!("spillway_delivery_seconds_count{{path='{path}'}} == {expected}"))[0]
                .is_object()
        });
    }
    assert!(value("max_over_time(spillway_spool_oldest_milliseconds[5m])") > 1000.0);
    assert!(value("spillway_spool_oldest_milliseconds") < 0.5, "nothing waits any more");
    assert!(value("spillway_logged_events_total{job='spillwayd',event='breaker_open'}") > 0.5);
    let city = "spillway_consumer_window_count{table='city_activity',column='events'}";
    let (cities, in_cities) = (value(&format!("count({city})")), value(&format!("sum({city})")));
    let all = value("spillway_consumer_window_count{table='activity',column='events'}");
    assert!(cities > 1.0 && in_cities > cities && in_cities < all, "{cities} cities, {in_cities} of {all}");
}

fn assert_dashboards(prometheus: &Prometheus) {
    let (mut wrong, mut unused) = (Vec::new(), BTreeSet::from(MAY_BE_EMPTY.map(|(place, _)| place)));
    let all = expressions::of_dashboards();
    assert!(all.len() > 80, "only {} expressions", all.len());
    for Asked { place, expression } in &all {
        let may_be_empty = unused.remove(place.as_str());
        match prometheus.series_of_range(expression) {
            Ok(0) if !may_be_empty => wrong.push(format!("{place} gives nothing: {expression}")),
            Ok(_) => {}
            Err(error) => wrong.push(format!("{place}: {expression}: {error}")),
        }
        wrong.extend(missing(prometheus, place, expression));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unused.is_empty(), "there is no {unused:?} any more");
}

/// Series that an expression names and that never were.
fn missing(prometheus: &Prometheus, place: &str, expression: &str) -> Vec<String> {
    let absent = selectors(expression).into_iter().filter(|selector| prometheus.series(selector) == 0);
    absent.map(|selector| format!("{place}: there is no {selector}")).collect()
}

fn assert_rules(prometheus: &Prometheus) {
    let groups = prometheus.ask("rules", &[("type", "alert")]).unwrap();
    let rules: Vec<&Value> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let (runbook, mut wrong) = (anchors(&read("docs/runbook.md")), Vec::new());
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        let query = rule["query"].as_str().unwrap();
        if rule["health"] != "ok" {
            wrong.push(format!("{name}: {}", rule["lastError"]));
        }
        wrong.extend(missing(prometheus, name, query));
        if !name.starts_with("Spillway") {
            continue;
        }
        let is_complete = ["summary", "description"].iter().all(|key| rule["annotations"][key].is_string());
        let has_severity =
            ["warning", "critical"].iter().any(|severity| rule["labels"]["severity"] == *severity);
        if !is_complete || !has_severity {
            wrong.push(format!("{name} lacks a summary, a description or a severity"));
        }
        let section =
            rule["annotations"]["runbook"].as_str().and_then(|text| text.strip_prefix("docs/runbook.md#"));
        for anchor in section.map_or(vec![String::new()], |section| filled_in(prometheus, section, query)) {
            if !runbook.contains(&anchor) {
                wrong.push(format!("{name}: docs/runbook.md has no section {anchor:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rules.len() > 45, "only {} rules", rules.len());
}

/// The sections that an annotation can name: one for each event that the alert is about.
fn filled_in(prometheus: &Prometheus, section: &str, query: &str) -> Vec<String> {
    if !section.contains("{{") {
        return vec![section.to_owned()];
    }
    let logged =
        selectors(query).into_iter().filter(|selector| selector.starts_with("spillway_logged_events"));
    let series = logged.flat_map(|selector| {
        let found = prometheus.ask("series", &[("match[]", &selector)]).unwrap();
        found.as_array().cloned().unwrap()
    });
    let fill = |series: Value| {
        let label = |name: &str| series[name].as_str().unwrap().to_owned();
        section
            .replace("{{ $labels.event }}", &label("event"))
            .replace("{{ $labels.level | toLower }}", &label("level").to_lowercase())
    };
    series.map(fill).collect()
}

/// The metrics that the programs have are those of the list in the documentation.
fn assert_documented(scrapes: &[String]) {
    let mut metrics = BTreeMap::new();
    for scrape in scrapes {
        let mut help = "";
        for line in scrape.lines() {
            if let Some((_, text)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                help = text.trim_end_matches('.');
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                metrics.insert(name, (kind, help));
            }
        }
    }
    assert!(metrics.len() > 80, "only {} metrics", metrics.len());
    let row = |(name, (kind, help)): (&String, &(&str, &str))| format!("| `{name}` | {kind} | {help} |\n");
    let list: String = metrics.iter().map(row).collect();
    let (path, is) = (root().join("docs/metrics.md"), read("docs/metrics.md"));
    let (before, rest) = is.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let should = format!("{before}{BEGIN}\n| metric | type | what |\n|---|---|---|\n{list}\n{END}{after}");
    if std::env::var_os("SPILLWAY_WRITE").is_some() {
        std::fs::write(path, should).unwrap();
    } else {
        assert!(is == should, "docs/metrics.md does not list the metrics; see the head of this test");
    }
}

/// Runs a program; what it printed.
fn run(command: &mut Command) -> String {
    let output = children::output(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
    said
}

#[test]
fn each_alert_is_tested_by_promtool() {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules();
    let (mut tested, mut alerts) = (String::new(), BTreeSet::new());
    for name in ["hosts", "kafka", "spillwayd", "spillway_consumer"] {
        let file = rules.join(name).with_extension("yml");
        run(Command::new("promtool").args(["check", "rules"]).arg(&file));
        let text = std::fs::read_to_string(file).unwrap();
        alerts
            .extend(text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)));
    }
    for name in ["rules_test.yml", "rules_spillway_test.yml"] {
        let text = read(&format!("ansible/tests/{name}"));
        let file = dir.path().join(name);
        std::fs::write(&file, text.replace("/etc/prometheus/rules", &rules.display().to_string())).unwrap();
        run(Command::new("promtool").args(["test", "rules"]).arg(&file));
        tested += &text;
    }
    for alert in &alerts {
        let fires = format!("        alertname: {alert}\n        exp_alerts:\n          - exp_labels: {{");
        assert!(tested.contains(&fires), "no test has {alert} fire");
        let does_not = format!(", alertname: {alert}}}\n");
        assert!(tested.contains(&does_not), "no test has {alert} not fire");
    }
    assert!(alerts.len() > 45, "only {} alerts", alerts.len());
}

#[test]
fn the_dashboards_are_as_they_are_made_and_as_grafana_reads_them() {
    let made = root().join("ansible/roles/monitoring/files/dashboards/make.py");
    run(Command::new("python3").env("PYTHONDONTWRITEBYTECODE", "1").arg(made).arg("--check"));
    let grafana = Venv::get("grafana", &["grafana-foundation-sdk==1769699379!11.6.0"]).unwrap();
    let files = expressions::dashboards();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    grafana.run(include_str!("schema.py"), &files).unwrap();
}
