//! Tests of the settings reader: every error at once, each at its line.

use std::time::Duration;

use super::*;

#[derive(Debug, PartialEq)]
struct Sample {
    url: String,
    wait: Duration,
    size: Size,
    order: u8,
    options: Vec<(String, String)>,
    routes: Vec<String>,
}

fn build(root: &Section<'_>) -> Sample {
    let source = root.section("source");
    let queue = root.section("queue");
    Sample {
        url: source.require("url", "\"http://localhost/\""),
        wait: source.get("wait", Duration::from_secs(1)),
        size: queue.within("max_bytes", Size(1 << 20), Size(1024)..=Size(1 << 30)),
        order: queue.choice("order", &[("arrival", 1), ("fresh", 2)]),
        options: root.string_map("options"),
        routes: root.sections("route").iter().map(|r| r.require("topic", "\"events\"")).collect(),
    }
}

fn env(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn problems(text: &str, environment: &Environment) -> Vec<String> {
    let problems = parse("f.toml", text, environment, build).unwrap_err();
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_good_file_gives_its_values() {
    let text = "[source]\nurl = 'u'\nwait = '250ms'\n[queue]\nmax_bytes = '2MiB'\norder = 'fresh'\n[options]\nlinger = 5\n[[route]]\ntopic = 'a'\n[[route]]\ntopic = 'b'\n";
    let expected = Sample {
        url: "u".into(),
        wait: Duration::from_millis(250),
        size: Size(2 << 20),
        order: 2,
        options: vec![("linger".into(), "5".into())],
        routes: vec!["a".into(), "b".into()],
    };
    assert_eq!(parse("f.toml", text, &env(&[]), build).unwrap(), expected);
}

#[test]
fn every_error_comes_at_once_with_its_line() {
    let text = "[source]\nurll = 'u'\nwait = 10\n\n[queue]\nmax_bytes = '1B'\norder = 'stale'\n[[route]]\ntopics = 'a'\n[extra]\n";
    assert_eq!(
        problems(text, &env(&[])),
        [
            "f.toml:1: source.url: missing; add it, for example: url = \"http://localhost/\"",
            "f.toml:2: source.urll: unknown setting; did you mean \"url\"?; remove it or correct its name",
            "f.toml:3: source.wait: must be a duration in quotes with its unit, such as \"250ms\", \"10s\", \"5m\", \"2h\" or \"7d\"",
            "f.toml:6: queue.max_bytes: 1 B is out of range; use 1.0 KiB to 1.0 GiB",
            "f.toml:7: queue.order: \"stale\" is unknown; use one of \"arrival\", \"fresh\"",
            "f.toml:8: route[0].topic: missing; add it, for example: topic = \"events\"",
            "f.toml:9: route[0].topics: unknown setting; did you mean \"topic\"?; remove it or correct its name",
            "f.toml:10: extra: unknown setting; remove it or correct its name",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    assert_eq!(problems("[source]\nurl = \n[queue\n", &env(&[]))[0].split(": ").next(), Some("f.toml:2"));
}

#[test]
fn the_environment_overrides_and_its_errors_are_told() {
    let text = "[source]\nurl = 'u'\n";
    let good = parse("f.toml", text, &env(&[("SPILLWAY_SOURCE_URL", "v"), ("HOME", "/")]), build).unwrap();
    assert_eq!(good.url, "v");
    assert_eq!(
        problems(text, &env(&[("SPILLWAY_SOURCE_WAIT", "soon"), ("SPILLWAY_QUEUE_ORDR", "fresh")])),
        [
            "f.toml:1: source.wait: SPILLWAY_SOURCE_WAIT=\"soon\" is not a duration in quotes with its unit, such as \"250ms\", \"10s\", \"5m\", \"2h\" or \"7d\"",
            "f.toml: environment variable SPILLWAY_QUEUE_ORDR overrides no setting; did you mean \"SPILLWAY_QUEUE_ORDER\"?",
        ]
    );
}

#[test]
fn the_environment_knows_what_it_overrides() {
    let env = env(&[("SPILLWAY_SOURCE_URL", ""), ("SPILLWAY_QUEUE_MAX_BYTES", "1KiB")]);
    assert!(env.overrides("source.url") && env.overrides("queue.max_bytes"));
    assert!(!env.overrides("source.wait") && !env.overrides("source[1].url") && !env.overrides("source"));
}

#[test]
fn an_inline_secret_is_refused_and_not_repeated() {
    let text = "password = 'hunter2'\n";
    let problems = parse("f.toml", text, &env(&[]), |root| root.secret("password")).unwrap_err().to_string();
    assert!(problems.starts_with("f.toml:1: password: a secret does not belong here"), "{problems}");
    assert!(!problems.contains("hunter2"));
}

#[test]
fn a_section_knows_its_line() {
    let text = "[source]\nurl = 'u'\n\n[[route]]\ntopic = 'a'\n# between\n[[route]]\ntopic = 'b'\n";
    let lines = parse("f.toml", text, &env(&[]), |root| {
        let _: String = root.section("source").get("url", String::new());
        let routes = root.sections("route");
        let lines: Vec<_> = routes.iter().map(|r| (r.line(), r.get("topic", String::new()))).collect();
        (root.section("absent").line(), lines)
    });
    assert_eq!(lines.unwrap(), (None, vec![(Some(4), "a".to_owned()), (Some(7), "b".to_owned())]));
}

#[test]
fn a_table_may_be_there_once_or_several_times() {
    let urls = |text: &str, environment: &Environment| {
        let build = |root: &Section<'_>| -> Vec<String> {
            root.one_or_more("source").iter().map(|s| s.get("url", "none".to_owned())).collect()
        };
        parse("f.toml", text, environment, build)
    };
    assert_eq!(urls("", &env(&[])).unwrap(), ["none"]);
    let overridden = env(&[("SPILLWAY_SOURCE_URL", "b")]);
    assert_eq!(urls("[source]\nurl = 'a'\n", &overridden).unwrap(), ["b"]);
    let two = "[[source]]\nurl = 'a'\n[[source]]\nurl = 'c'\n";
    assert_eq!(urls(two, &env(&[])).unwrap(), ["a", "c"]);
    let problem = urls("[[source]]\nurl = 'a'\nulr = 'b'\n", &env(&[])).unwrap_err().to_string();
    assert!(problem.contains("f.toml:3: source[0].ulr: unknown setting"), "{problem}");
}

#[test]
fn a_list_of_strings_may_be_a_single_one() {
    let words = |text: &str| parse("f.toml", text, &env(&[]), |root| root.one_or_more_strings("w"));
    assert_eq!(words("w = 'a'\n").unwrap(), ["a"]);
    assert_eq!(words("w = ['a', 'b']\n").unwrap(), ["a", "b"]);
    assert!(words("").unwrap().is_empty());
    assert!(words("w = 3\n").is_err() && words("w = [3]\n").is_err());
}
