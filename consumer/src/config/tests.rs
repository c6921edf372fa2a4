//! Tests of the configuration: the shipped sample, and every error at once.

use super::*;
use crate::archive::Field;
use crate::metrics::{Kind, Plan};
use crate::tables::Top;

const SAMPLE: &str = include_str!("../../spillway-consumer.toml");

fn env(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse("c.toml", text, &env(&[])).unwrap_err();
    problems.to_string().lines().map(str::to_owned).collect()
}

/// The sample with the lines that show defaults switched on.
fn with_defaults() -> String {
    let setting = |line: &str| {
        line.strip_prefix("# ")
            .is_some_and(|rest| rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
    };
    let secretive = [
        "ca_file",
        "cert_file",
        "key_file",
        "key_password_file",
        "instance_id",
        "username",
        "password_file",
        "region",
        "endpoint",
        "access_key_id",
        "secret_access_key_file",
        "\"socket",
    ];
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if setting(line) && !secretive.iter().any(|key| rest.starts_with(key)) => rest.to_owned(),
        _ => line.to_owned(),
    };
    SAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_sample_is_good_and_gives_the_standard_tables() {
    let config = Config::parse("spillway-consumer.toml", SAMPLE, &env(&[])).unwrap();
    assert_eq!(config.tables, Config::standard_tables());
    assert_eq!((config.topic.as_str(), config.group.as_str()), ("events", "spillway-consumer"));
    assert_eq!(config.store.url, StoreUrl::Local("spillway-store".into()));
    assert_eq!(config.time, TimeSettings::default());
}

#[test]
fn what_the_sample_calls_defaults_are_the_defaults() {
    let text = with_defaults();
    assert!(
        text.contains("\ndelay = ") && text.contains("\nlevel = ") && text.contains("\ntls = "),
        "{text}"
    );
    let config = Config::parse("c.toml", &text, &env(&[])).unwrap();
    assert_eq!(config.time, TimeSettings::default());
    assert_eq!(config.log_level, "info");
    assert!(!config.kafka.security().tls && config.kafka.security().sasl.is_none());
}

#[test]
fn the_environment_overrides() {
    let env = env(&[
        ("SPILLWAY_KAFKA_BROKERS", "k:1"),
        ("SPILLWAY_TIME_DELAY", "7s"),
        ("SPILLWAY_STORE_URL", "file:///x"),
    ]);
    let config = Config::parse("c.toml", SAMPLE, &env).unwrap();
    assert_eq!(config.kafka.brokers, "k:1");
    assert_eq!(config.time.delay, Duration::from_secs(7));
    assert_eq!(config.store.url, StoreUrl::Local("/x".into()));
}

#[test]
fn every_error_comes_at_once_with_its_line() {
    let text = "[kafka]\nbroker = 'k:1'\n[kafka.options]\n'group.id' = 'x'\n[input]\nprofile = 'x_v3'\n[time]\ndelay = '2d'\n[store]\nurl = 'gs://x'\n\
                [[table]]\nname = 'A B'\nwindow = '1500ms'\n[[table]]\nname = 'b'\ngroup_by = ['town']\nfilter = { places = 'x' }\nmetrics = ['event']\n[log]\nlevel = 'a=b=c'\n";
    let problems = problems(text);
    let expected = [
        "c.toml:1: kafka.brokers: missing;",
        "c.toml:1: kafka.topic: missing;",
        "c.toml:2: kafka.broker: unknown setting; did you mean \"brokers\"?",
        "c.toml:3: kafka.options: \"group.id\" is set by Spillway itself",
        "c.toml:6: input.profile: \"x_v3\" is unknown; use one of \"x_v2\", \"x_v1\", \"wikimedia\", \"mastodon\", \"bluesky\", \"custom\"",
        "c.toml:8: time.delay: 48 h 00 m is out of range; use 0 ms to 24 h 00 m",
        "c.toml:10: store.url: \"gs://x\" is no store;",
        "c.toml:12: table[0].name: \"A B\" is no table name;",
        "c.toml:16: table[1].group_by: use one of [\"none\"], [\"place\"]",
        "c.toml:17: table[1].filter.places: unknown setting",
        "c.toml:18: table[1].metrics: \"event\" is unknown; use some of \"events\"",
        "c.toml:20: log.level: must be error, warn",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(expected) {
        assert!(problem.starts_with(start), "{problem} should begin with {start}");
    }
}

#[test]
fn tables_are_checked_each_and_together() {
    let head = "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[store]\nurl = 'x'\n";
    let one = |table: &str| problems(&format!("{head}{table}"));
    assert_eq!(one(""), ["c.toml: table: there is no table; add a [[table]]"]);
    assert!(
        one("[[table]]\nname = 'a'\n[[table]]\nname = 'a'\n")[0]
            .starts_with("c.toml:9: table[1].name: there are two tables named \"a\"")
    );
    assert!(
        one("[[table]]\nname = 'a'\nwindow = '1500ms'\n")[0]
            .starts_with("c.toml:8: table[0].window: the window of \"a\"")
    );
    assert!(
        one("[[table]]\nname = 'a'\nmetrics = []\n")[0]
            .starts_with("c.toml:8: table[0].metrics: the metrics of \"a\"")
    );
    assert!(one("[[table]]\nwindow = '5m'\n")[0].starts_with("c.toml:6: table[0].name: missing;"));
}

#[test]
fn a_table_says_what_it_counts_of_which_events_and_when() {
    let text = "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[store]\nurl = 'x'\n[[table]]\nname = 'a'\nwindow = '15m'\n\
                slide = '30s'\ngroup_by = ['folded_tag']\nfilter = { lang = ['en', 'no'], kind = 'original', tag = 'x' }\n\
                metrics = ['smiles', 'unique_actors']\nexact_actors = 5000\ntop = { by = 'smiles', n = 3 }\ncsv = true\n";
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let table = Table {
        name: "a".into(),
        window: Duration::from_secs(900),
        slide: Duration::from_secs(30),
        group_by: By::FoldedTag,
        filter: Filter {
            langs: list(&["en", "no"]),
            kinds: vec![crate::event::Kind::Original],
            tags: list(&["x"]),
            ..Filter::default()
        },
        plan: Plan::new(vec![Kind::Smiles, Kind::UniqueActors]).exact_up_to(5000),
        top: Some(Top { by: "smiles".into(), n: 3 }),
        csv: true,
    };
    assert_eq!(Config::parse("c.toml", text, &env(&[])).unwrap().tables, [table]);
}

#[test]
fn a_preset_is_a_table_of_which_each_setting_can_be_another() {
    let head = "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[store]\nurl = 'x'\n";
    let text = format!(
        "{head}[[table]]\npreset = 'happiest_hashtags'\n[[table]]\npreset = 'happiest_hashtags_sliding'\n\
         [[table]]\npreset = 'sentiment_extremes'\nname = 'extremes_1m'\nwindow = '1m'\n\
         [[table]]\npreset = 'word_polarity'\nslide = '1m'\ntop = {{ by = 'sentiment_count', n = 100 }}\n\
         [[table]]\npreset = 'city_activity'\nfilter = {{ lang = 'en' }}\n"
    );
    let preset = |name: &str| crate::preset(name).unwrap();
    let minute = Duration::from_secs(60);
    let city = Filter { langs: vec!["en".into()], ..Filter::place_type("city") };
    let expected = [
        preset("happiest_hashtags"),
        preset("happiest_hashtags_sliding"),
        Table { name: "extremes_1m".into(), window: minute, slide: minute, ..preset("sentiment_extremes") },
        Table {
            slide: minute,
            top: Some(Top { by: "sentiment_count".into(), n: 100 }),
            ..preset("word_polarity")
        },
        Table { filter: city, ..preset("city_activity") },
    ];
    assert_eq!(Config::parse("c.toml", &text, &env(&[])).unwrap().tables, expected);
    let one = |table: &str| problems(&format!("{head}[[table]]\n{table}\n")).join("\n");
    assert!(
        one("preset = 'city_activity'\n[[table]]\npreset = 'city_activity'").contains("there are two tables")
    );
    assert!(
        one("preset = 'x'").starts_with("c.toml:7: table[0].preset: \"x\" is unknown; use one of \"city_")
    );
    assert!(
        one("name = 'a'\nslide = '7m'").starts_with("c.toml:8: table[0].slide: the slide of \"a\" must be")
    );
    assert!(
        one("name = 'a'\ntop = { by = 'events' }")
            .starts_with("c.toml:8: table[0].top: the top of \"a\" must")
    );
    assert!(one("name = 'a'\ngroup_by = ['tag']\ntop = { n = 3 }").contains("table[0].top.by: missing"));
    assert!(
        one("name = 'a'\nfilter = { kind = 'x' }").starts_with("c.toml:8: table[0].filter.kind: \"x\" is")
    );
}

#[test]
fn records_of_any_shape_are_told_where_the_parts_of_an_event_stand() {
    let tail = "[store]\nurl = 'x'\n[[table]]\nname = 'a'\n";
    let parse = |custom: &str| {
        let text =
            format!("[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[input]\nprofile = 'custom'\n{custom}{tail}");
        Config::parse("c.toml", &text, &env(&[]))
    };
    let config = parse(
        "[input.custom]\nid = '/nr'\ntime = '/at/s'\ntime_form = 'seconds'\nactor = '/who'\nkind = '/what'\n\
         tags = '/tags/*/name'\n[input.custom.kinds]\nrepost = ['share', 'boost']\nreply = 'answer'\n",
    );
    let Profile::Custom(custom) = config.unwrap().profile else { panic!("another profile") };
    let record = br#"{"nr":7,"at":{"s":1.5},"who":"ann","what":"boost","tags":[{"name":"a"},{"name":"b"}]}"#;
    let needs = crate::event::Needs { actor: true, lists: true };
    let Ok(crate::event::Message::Event(event)) = custom.read(record, needs) else { panic!("no event") };
    assert_eq!((event.id.as_ref(), event.time, event.kind), ("7", 1_500_000, crate::event::Kind::Repost));
    assert_eq!((event.actor.as_deref(), event.tags.len(), event.text), (Some("ann"), 2, None));

    let problems = |custom: &str| parse(custom).unwrap_err().to_string();
    let missing = problems("");
    assert!(missing.contains("input.custom.id: missing") && missing.contains("input.custom.time: missing"));
    let wrong = problems(
        "[input.custom]\nid = 'nr'\ntime = '/t/*/s'\ntext = '/x'\nbody = '/y'\n[input.custom.kinds]\nlike = 'l'\nquote = 'q'\n",
    );
    for said in [
        "c.toml:7: input.custom.id: \"nr\" is no JSON pointer",
        "c.toml:8: input.custom.time: must lead to one value",
        "c.toml:10: input.custom.body: unknown setting",
        "input.custom.kinds: says what words mean",
        "c.toml:12: input.custom.kinds.like: unknown setting",
    ] {
        assert!(wrong.contains(said), "{said}: {wrong}");
    }
}

#[test]
fn an_archive_is_a_table_of_events() {
    let head = "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[store]\nurl = 'x'\n";
    let text = format!(
        "{head}[[table]]\npreset = 'company_archive'\nfilter = {{ lang = 'en' }}\n\
         [[table]]\nname = 'all'\nkind = 'events'\n\
         [[table]]\nname = 'few'\nkind = 'events'\ncolumns = ['id', 'tags']\npartition_by = 'none'\n"
    );
    let config = Config::parse("c.toml", &text, &env(&[])).unwrap();
    let english = Filter { langs: vec!["en".into()], ..Filter::default() };
    let expected = [
        Archive { filter: english, ..crate::preset_archive("company_archive").unwrap() },
        Archive::new("all"),
        Archive { columns: vec![Field::Id, Field::Tags], partition: None, ..Archive::new("few") },
    ];
    assert_eq!((config.tables.len(), config.archives.as_slice()), (0, expected.as_slice()));
    let one = |table: &str| problems(&format!("{head}[[table]]\nkind = 'events'\n{table}\n")).join("\n");
    assert!(one("").starts_with("c.toml:6: table[0].name: missing"));
    assert!(one("name = 'a'\ncolumns = ['x']").starts_with("c.toml:9: table[0].columns: \"x\" is unknown"));
    assert!(one("name = 'a'\ncolumns = []").starts_with("c.toml:9: table[0].columns: the columns of \"a\""));
    assert!(
        one("name = 'a'\npartition_column = 'dt'").starts_with("c.toml:9: table[0].partition_column: \"dt\"")
    );
    assert!(one("name = 'a'\nwindow = '5m'").contains("table[0].window: unknown setting"));
}

#[test]
fn settings_of_s3_are_checked() {
    let head = "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[[table]]\nname = 'a'\n[store]\n";
    let one = |store: &str| problems(&format!("{head}{store}"));
    assert!(
        one("url = 'x'\nregion = 'eu-west-1'\n")[0]
            .starts_with("c.toml:8: store.region: belongs to a store on S3")
    );
    if cfg!(feature = "s3") {
        assert!(
            one("url = 's3://b'\nendpoint = 'minio:9000'\n")[0]
                .starts_with("c.toml:8: store.endpoint: must begin with")
        );
        assert!(
            one("url = 's3://b'\naccess_key_id = 'AK'\n")[0]
                .starts_with("c.toml:8: store.access_key_id: needs secret_access_key_file")
        );
        assert!(
            one("url = 's3://b'\nsecret_access_key = 'x'\n")[0].contains("a secret does not belong here")
        );
    }
}

#[test]
fn an_access_key_is_read_from_its_file() {
    if !cfg!(feature = "s3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "hunter2\n").unwrap();
    let text = format!(
        "[kafka]\nbrokers = 'k:1'\ntopic = 't'\n[[table]]\nname = 'a'\n[store]\nurl = 's3://b/p'\naccess_key_id = 'AK'\nsecret_access_key_file = '{}'\n",
        file.display()
    );
    let key = Config::parse("c.toml", &text, &env(&[])).unwrap().store.access_key.unwrap();
    assert_eq!((key.id.as_str(), key.secret.reveal()), ("AK", "hunter2"));
}
