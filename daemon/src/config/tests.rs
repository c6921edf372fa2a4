//! Tests of the configuration: the shipped sample, and files with mistakes.

mod sources;

use super::*;

const SAMPLE: &str = include_str!("../../spillwayd.toml");

#[test]
fn the_shipped_sample_is_valid_and_shows_the_defaults() {
    let sample = Config::parse("spillwayd.toml", SAMPLE, &Environment::default()).unwrap();
    let bare = "[source]\ntype = 'http_ndjson'\nurl = 'http://127.0.0.1:8080/stream'\nid = '/data/id'\n[kafka]\nbrokers = '127.0.0.1:9092,127.0.0.1:9192,127.0.0.1:9292'\ntopic = 'events'\n[spool]\ndir = '/var/lib/spillway/spool'\n";
    let bare = Config::parse("bare.toml", bare, &Environment::default()).unwrap();
    assert_eq!(
        format!("{sample:#?}"),
        format!("{bare:#?}"),
        "what the sample sets must be the defaults that it claims"
    );
}

#[test]
fn the_sample_names_every_setting() {
    // Each key of the sample, commented out or not, must be known: uncomment all and parse.
    let all: String = SAMPLE.lines().map(|l| l.strip_prefix("#: ").unwrap_or(l).to_owned() + "\n").collect();
    let problems = Config::parse("all.toml", &all, &Environment::default()).map(|_| ()).unwrap_err();
    let unknown: Vec<_> = problems.list().iter().filter(|p| p.message.contains("unknown setting")).collect();
    // They belong to other sources than the sample's.
    assert_eq!(
        unknown.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(),
        [
            "source.backfill",
            "source.headers",
            "source.send",
            "source.send_secret_file",
            "source.send_secret_credential",
            "source.urls",
            "source.wanted_collections",
            "source.wanted_dids",
            "source.rewind",
            "source.compress",
            "source.zstd_dictionary",
            "source.path",
            "source.follow"
        ]
    );
}

#[test]
fn a_bad_file_gives_every_error_with_its_line() {
    let text = "[source]\ntype = 'htp'\n[kafka]\ntopic = 'no spaces'\ndead_letter_topic = 'a b'\nbrokers = 'b:1'\n[queue]\nmax_records = 0\nspill_at = '70%'\n[spool]\ndir = '/x'\nquota = '1MiB'\n[admin]\nlisten = 'here'\n";
    let problems = Config::parse("bad.toml", text, &Environment::default()).unwrap_err();
    let lines: Vec<_> = problems.list().iter().map(|p| (p.line.unwrap(), p.key.as_str())).collect();
    assert_eq!(
        lines,
        [
            (1, "source.url"),
            (2, "source.type"),
            (4, "kafka.topic"),
            (5, "kafka.dead_letter_topic"),
            (8, "queue.max_records"),
            (9, "queue.spill_at"),
            (12, "spool.quota"),
            (14, "admin.listen")
        ]
    );
}

#[test]
fn options_that_a_promise_depends_on_cannot_be_set() {
    let text = SAMPLE.to_owned() + "\n[kafka.options]\nacks = 1\n\"message.timeout.ms\" = 300000\n";
    let problems = Config::parse("x.toml", &text, &Environment::default()).unwrap_err();
    assert_eq!(problems.list().len(), 2);
    assert!(problems.list().iter().all(|p| p.message.contains("is set by Spillway itself")));
}

#[test]
fn the_dead_letter_topic_is_another_topic() {
    let text = SAMPLE.replace("topic = \"events\"", "topic = \"events\"\ndead_letter_topic = \"events\"");
    let problems = Config::parse("x.toml", &text, &Environment::default()).unwrap_err();
    assert_eq!(
        problems.list().iter().map(|p| p.key.as_str()).collect::<Vec<_>>(),
        ["kafka.dead_letter_topic"]
    );
}

#[test]
fn several_sources_have_names_of_their_own() {
    let sources = |names: [&str; 2]| {
        let one = |name: &str| format!("[[source]]\n{name}type = 'http_ndjson'\nurl = 'http://a/'\n");
        let text = names.map(one).concat() + "[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n";
        Config::parse("x.toml", &text, &Environment::default())
    };
    let config = sources(["name = 'a'\n", "name = 'b'\n"]).unwrap();
    assert_eq!(config.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for same in [["", ""], ["name = 'a'\n", "name = 'a'\n"]] {
        let problems = sources(same).unwrap_err();
        assert_eq!(problems.list().iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["source[1].name"]);
    }
    let none = "source = []\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n";
    assert!(Config::parse("x.toml", none, &Environment::default()).is_err());
}
