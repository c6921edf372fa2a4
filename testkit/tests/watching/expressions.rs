//! What the dashboards and the alert rules ask Prometheus for, as text: expressions, and the series in them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

/// An expression, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Dashboard, panel and query; or the alert's name.
    pub(crate) place: String,
    /// With the variables filled in.
    pub(crate) expression: String,
}

/// What stands for the dashboards' variables.
const VARIABLES: [(&str, &str); 7] = [
    ("$daemon|$consumer", ".*"),
    ("$daemon", ".*"),
    ("$consumer", ".*"),
    ("$table", "city_activity"),
    ("$window", "1s"),
    ("$__rate_interval", "5s"),
    ("$__range", "2m"),
];

/// The files of the dashboards.
pub(crate) fn dashboards() -> Vec<PathBuf> {
    let folder = crate::root().join("ansible/roles/monitoring/files/dashboards");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    files
}

/// All that the dashboards ask, their variables and annotations among it.
pub(crate) fn of_dashboards() -> Vec<Asked> {
    let mut all = Vec::new();
    for path in dashboards() {
        let board: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let uid = board["uid"].as_str().unwrap();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut ask = |place: String, text: &str| {
            let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
            let expression = VARIABLES.iter().fold(text.to_owned(), fill);
            assert!(!expression.contains('$'), "{place} has a variable that is not known: {expression}");
            all.push(Asked { place: format!("{uid}: {place}"), expression });
        };
        for panel in list(&board["panels"]) {
            let (title, targets) = (panel["title"].as_str().unwrap(), list(&panel["targets"]));
            for target in &targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                let reference = target["refId"].as_str().unwrap();
                ask(format!("{title} {reference}"), target["expr"].as_str().unwrap());
            }
        }
        for variable in list(&board["templating"]["list"]).iter().filter(|v| v["type"] == "query") {
            let query = variable["query"]["query"].as_str().unwrap();
            let selector = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
            ask(format!("variable {}", variable["name"]), selector.unwrap().0);
        }
        for annotation in list(&board["annotations"]["list"]) {
            ask("annotation".to_owned(), annotation["expr"].as_str().unwrap());
        }
    }
    all
}

/// The selectors of Spillway's own series in an expression. A matcher of alternatives, `a=~"x|y"`, is taken
/// apart, so that each alternative must exist.
pub(crate) fn selectors(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for (start, _) in expression.match_indices("spillway_") {
        if expression[..start].ends_with(is_name) || expression[..start].ends_with('"') {
            continue;
        }
        let rest = &expression[start..];
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let matchers =
            after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let alternatives = matchers.split(',').map(str::trim).map(taken_apart);
        let combine = |all: Vec<Vec<String>>, each: Vec<String>| -> Vec<Vec<String>> {
            all.iter()
                .flat_map(|before| {
                    each.iter().map(move |one| [&before[..], std::slice::from_ref(one)].concat())
                })
                .collect()
        };
        for matchers in alternatives.fold(vec![Vec::new()], combine) {
            found.insert(format!("{name}{{{}}}", matchers.join(",")));
        }
    }
    found
}

fn taken_apart(matcher: &str) -> Vec<String> {
    let Some((label, words)) = matcher.split_once("=~") else { return vec![matcher.to_owned()] };
    let words = words.trim_matches('"');
    if words.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '|') {
        words.split('|').map(|word| format!("{label}=\"{word}\"")).collect()
    } else {
        vec![matcher.to_owned()]
    }
}

/// The anchors of a Markdown file's headings, as GitHub makes them.
pub(crate) fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '-' || *c == ' ';
    headings
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn selectors_are_found_and_taken_apart() {
    let text = r#"sum(rate(spillway_a_total{x=~"p|q", y!="n"}[5m])) / spillway_b - max by (c) (spillway_b{z=~".*"}) or my_spillway_c"#;
    let found = [
        r#"spillway_a_total{x="p",y!="n"}"#,
        r#"spillway_a_total{x="q",y!="n"}"#,
        "spillway_b{}",
        r#"spillway_b{z=~".*"}"#,
    ];
    assert_eq!(selectors(text), found.map(str::to_owned).into());
    assert_eq!(
        anchors("# A b!\ntext\n#### `c_d` (WARN)\n"),
        ["a-b".to_owned(), "c_d-warn".to_owned()].into()
    );
}
