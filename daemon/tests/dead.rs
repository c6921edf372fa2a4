//! Dead letters on the real program: where a refused record goes, what an operator can do with it, and
//! that a kill in the middle of a retry loses none.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::time::Duration;

use common::{PATIENCE, Program, Rig, TOPIC, command, wait_until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};
use spillway_daemon::record::Outgoing;
use spillway_spool::{NewDeadLetter, Spool};
use spillway_testkit::children;
use spillway_testkit::kafka::{ApiKey, Reader, Snapshot};
use spillway_testkit::upstream::Options;

const DEAD: &str = "events.dead";
const DEAD_PARTITIONS: i32 = 2;
const INVALID: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
const URL_OF_NOBODY: &str = "http://127.0.0.1:9/stream";

/// A rig with a dead-letter topic.
fn rig() -> Rig {
    let rig = Rig::start();
    rig.mock.create_topic(DEAD, DEAD_PARTITIONS, 3).unwrap();
    rig
}

/// The configuration with further settings of `[kafka]`.
fn with_kafka(rig: &Rig, url: &str, settings: &str) -> String {
    rig.config_text(url, "").replace("linger = '5ms'\n", &format!("linger = '5ms'\n{settings}\n"))
}

const WITH_TOPIC: &str = "dead_letter_topic = 'events.dead'";
/// Some of the generated records are larger than this, most are not.
const SMALL: &str = "max_record_bytes = 2000";

/// A record of the dead-letter topic.
#[derive(Debug)]
struct Found {
    headers: BTreeMap<String, String>,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    timestamp_ms: i64,
}

/// Reads the first `records` records of the dead-letter topic.
fn read_dead(rig: &Rig, records: usize) -> Vec<Found> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", rig.mock.bootstrap()).set("group.id", "dead-letters");
    let consumer: BaseConsumer = config.set("fetch.wait.max.ms", "10").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..DEAD_PARTITIONS {
        list.add_partition_offset(DEAD, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    wait_until("the dead-letter topic is read", || {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
            let headers = message.headers().unwrap().iter();
            found.push(Found {
                headers: headers.map(|h| (h.key.to_owned(), text(h.value))).collect(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap().to_vec(),
                timestamp_ms: message.timestamp().to_millis().unwrap(),
            });
        }
        found.len() >= records
    });
    found
}

/// Runs `spillwayd spool dead …` on the rig's spool.
fn dead(rig: &Rig, action: &str, more: &[&str]) -> Output {
    let mut command = command();
    children::output(command.args(["spool", "dead", action]).arg(rig.spool_dir()).args(more)).unwrap()
}

/// The same, and expects exit code 0; what it printed.
fn dead_ok(rig: &Rig, action: &str, more: &[&str]) -> String {
    let output = dead(rig, action, more);
    assert!(output.status.success(), "{action} {more:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers of the dead letters, and the ids of their records, as `ls` shows them.
fn listed(rig: &Rig) -> BTreeMap<u64, String> {
    let text = dead_ok(rig, "ls", &[]);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].parse().unwrap(), words[4].to_owned())
    };
    text.lines().skip(1).map(line).collect()
}

/// Puts dead letters into the rig's spool while no daemon runs; the ids of their records.
fn put_letters(rig: &Rig, letters: usize) -> BTreeSet<String> {
    let config =
        spillway_spool::Config { free_floor_bytes: 0, ..spillway_spool::Config::new(rig.spool_dir()) };
    let (spool, _appender, _reader) = Spool::open(config).unwrap();
    let ids: Vec<String> = (0..letters).map(|n| format!("letter-{n}")).collect();
    let envelope = |id: &String| {
        let value = format!("{{\"id\":\"{id}\",\"pad\":\"{}\"}}", "x".repeat(200));
        let outgoing = Outgoing {
            topic: TOPIC,
            source: "test",
            id,
            key: Some(b"k"),
            value: value.as_bytes(),
            timestamp_ms: 1_700_000_000_000,
        };
        let mut bytes = Vec::new();
        outgoing.write_header(&mut bytes);
        bytes.extend_from_slice(value.as_bytes());
        bytes
    };
    let envelopes: Vec<Vec<u8>> = ids.iter().map(envelope).collect();
    let new = |record| NewDeadLetter { record, reason: "Broker: Message size too large", unix_ms: 5 };
    let letters: Vec<_> = envelopes.iter().map(|bytes| new(bytes.as_slice())).collect();
    for batch in letters.chunks(1_000) {
        spool.dead_put_all(batch).unwrap();
    }
    ids.into_iter().collect()
}

fn wait_settled(program: &Program, records: u64) {
    wait_until("every record has its fate", || {
        program.figure("/counts/received") == records && program.figure("/at_risk_records") == 0
    });
}

#[test]
fn a_refused_record_goes_to_the_dead_letter_topic_with_all_its_headers() {
    let rig = rig();
    let upstream = rig.upstream(31, 500, Options { rate: 5_000, ..Options::default() });
    let text = with_kafka(&rig, &upstream.url(), &format!("{WITH_TOPIC}\n{SMALL}"))
        .replace("id = '/data/id'\n", "id = '/data/id'\nkey = '/data/author_id'\nname = 'posts'\n");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_settled(&program, 500);
    let refused = usize::try_from(program.figure("/counts/dead_topic")).unwrap();
    assert!(refused > 0 && refused < 500, "{refused}");
    assert_eq!(program.figure("/counts/acked"), 500 - refused as u64);
    assert_eq!((program.figure("/counts/dead_spool"), program.figure("/spool/dead_letters")), (0, 0));
    let metrics = program.get("/metrics").unwrap();
    for line in [
        format!("spillway_dead_letters_total{{place=\"topic\"}} {refused}"),
        "spillway_dead_letters_total{place=\"spool\"} 0".to_owned(),
        "spillway_dead_letters_waiting 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }

    let found = read_dead(&rig, refused);
    assert!(rig.reader.wait_for(500 - refused as u64, PATIENCE));
    let snapshot = rig.reader.snapshot();
    let mut ids: BTreeSet<String> = snapshot.ids().into_keys().map(str::to_owned).collect();
    for letter in found {
        let json: serde_json::Value = serde_json::from_slice(&letter.value).unwrap();
        let header = |name: &str| letter.headers[name].as_str();
        assert_eq!(header("spillway-id"), json["data"]["id"].as_str().unwrap());
        assert_eq!((header("spillway-source"), header("spillway-topic")), ("posts", TOPIC));
        assert!(header("spillway-reason").to_lowercase().contains("too large"), "{letter:?}");
        let refused_ms: i64 = header("spillway-refused-ms").parse().unwrap();
        assert!((0..60_000).contains(&(refused_ms - letter.timestamp_ms)), "{letter:?}");
        assert_eq!(letter.headers.len(), 5, "{letter:?}");
        assert_eq!(letter.key.unwrap(), json["data"]["author_id"].as_str().unwrap().as_bytes());
        assert!(letter.value.len() > 1_500, "a small record was refused");
        assert!(ids.insert(header("spillway-id").to_owned()), "in both topics, or twice");
    }
    assert_eq!(ids, rig.sent(500).into_iter().map(|sent| sent.id.unwrap()).collect());
    assert!(program.terminate().success());
}

#[test]
fn while_kafka_is_away_a_refused_record_goes_to_the_tree() {
    let rig = rig();
    let upstream = rig.upstream(32, 600, Options { rate: 5_000, pause_at: Some(300), ..Options::default() });
    let text = with_kafka(&rig, &upstream.url(), &format!("{WITH_TOPIC}\n{SMALL}"))
        .replace("ack_timeout = '10s'", "ack_timeout = '1s'");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_settled(&program, 300);
    let in_topic = program.figure("/counts/dead_topic");
    assert!(in_topic > 0 && program.figure("/counts/dead_spool") == 0);

    // From here on nothing is acknowledged, neither there nor there.
    rig.mock.round_trip(-1, Duration::from_secs(12)).unwrap();
    upstream.resume();
    wait_settled(&program, 600);
    assert_eq!(program.figure("/counts/dead_topic"), in_topic);
    let in_tree = program.figure("/counts/dead_spool");
    assert!(in_tree > 0 && program.figure("/spool/dead_letters") == in_tree);
    assert!(program.figure("/breaker_opened") >= 1);
    let letters = listed(&rig);
    assert_eq!(letters.len() as u64, in_tree);
    assert!(dead_ok(&rig, "ls", &[]).to_lowercase().contains("too large"));

    rig.mock.round_trip(-1, Duration::ZERO).unwrap();
    wait_until("the backlog is sent", || program.figure("/spool/records") == 0);
    wait_until("every other record is in the topic", || {
        rig.reader.snapshot().ids().len() as u64 == 600 - in_topic - program.figure("/spool/dead_letters")
    });
    let snapshot = rig.reader.snapshot();
    assert!(letters.values().all(|id| !snapshot.ids().contains_key(id.as_str())), "a letter is in the topic");
    assert!(program.terminate().success());
}

#[test]
fn what_both_topics_refuse_is_kept_in_the_tree_and_can_be_retried() {
    let rig = rig();
    let upstream = rig.upstream(33, 50, Options { rate: 5_000, pause_at: Some(1), ..Options::default() });
    // The first produce request is the record's, the second its dead letter's.
    rig.mock.request_errors(ApiKey::Produce, &[INVALID, INVALID]).unwrap();
    let text = with_kafka(&rig, &upstream.url(), WITH_TOPIC);
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("it is in the tree", || program.figure("/counts/dead_spool") == 1);
    assert_eq!((program.figure("/counts/dead_topic"), program.figure("/spool/dead_letters")), (0, 1));
    let id = rig.sent(1)[0].id.clone().unwrap();
    assert_eq!(listed(&rig), BTreeMap::from([(1, id.clone())]));
    assert!(dead_ok(&rig, "ls", &[]).contains("the dead-letter topic refuses it too"));
    upstream.resume();
    wait_settled(&program, 50);
    assert_eq!(program.figure("/counts/acked"), 49, "one refused record holds nothing up");
    assert_eq!(program.figure("/breaker_opened"), 0, "a refusal is no outage");

    assert!(dead_ok(&rig, "retry", &["1"]).contains("1 records are in the spool again"));
    let verdict = rig.verdict(50);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert!(listed(&rig).is_empty());
    assert_eq!((program.figure("/counts/dead_retried"), program.figure("/spool/dead_letters")), (1, 0));
    assert!(program.terminate().success());
    assert_eq!(rig.reader.snapshot().ids()[id.as_str()], 1);
}

#[test]
fn an_operator_can_look_retry_and_drop_with_and_without_a_daemon() {
    let rig = Rig::start();
    let ids: Vec<String> = put_letters(&rig, 10).into_iter().collect();
    let numbers = |rig: &Rig| -> Vec<u64> { listed(rig).into_keys().collect() };
    let text = rig.config_text(URL_OF_NOBODY, "").replace("[kafka]", "start_timeout = '0'\n[kafka]");
    let start = || Program::start(rig.dir.path(), &text);

    for with_daemon in [false, true] {
        let program = with_daemon.then(start);
        let first = if with_daemon { 6 } else { 1 };
        let all: Vec<u64> = (first..=10).collect();
        assert_eq!(numbers(&rig), all);

        let line = dead_ok(&rig, "cat", &[&first.to_string()]);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        let id = format!("letter-{}", first - 1);
        assert!(ids.contains(&id));
        assert_eq!((json["id"].as_str(), json["topic"].as_str()), (Some(id.as_str()), Some(TOPIC)));
        assert_eq!((json["refused_ms"].as_u64(), json["letter"].as_u64()), (Some(5), Some(first)));
        assert_eq!((json["key"].as_str(), json["source"].as_str()), (Some("k"), Some("test")));
        assert_eq!(json["reason"].as_str(), Some("Broker: Message size too large"));
        let raw = dead_ok(&rig, "cat", &["--raw", &first.to_string()]);
        assert_eq!(raw.trim_end(), json["value"].as_str().unwrap());
        assert_eq!(dead(&rig, "cat", &["99"]).status.code(), Some(1));

        let unconfirmed = dead(&rig, "drop", &["--all"]);
        assert_eq!(unconfirmed.status.code(), Some(64));
        assert!(String::from_utf8(unconfirmed.stderr).unwrap().contains("--yes"));
        assert_eq!(dead(&rig, "drop", &["--yes"]).status.code(), Some(64), "neither numbers nor --all");
        assert_eq!(numbers(&rig), all, "nothing was dropped");

        dead_ok(&rig, "drop", &[&first.to_string(), "--yes"]);
        let partly = dead(&rig, "retry", &[&first.to_string(), &(first + 1).to_string()]);
        assert_eq!(partly.status.code(), Some(1));
        assert!(String::from_utf8(partly.stderr).unwrap().contains(&format!("no dead letter {first}")));
        assert_eq!(numbers(&rig), all[2..]);
        if !with_daemon {
            dead_ok(&rig, "retry", &["3", "4", "5"]);
        }
        if let Some(program) = program {
            dead_ok(&rig, "retry", &["--all"]);
            assert!(numbers(&rig).is_empty());
            assert_eq!(program.figure("/counts/dead_deleted"), 1);
            assert_eq!(program.figure("/counts/dead_retried"), 4);
            assert!(rig.reader.wait_for(8, PATIENCE));
            assert!(program.terminate().success());
        }
    }
    let snapshot = rig.reader.snapshot();
    let expected: BTreeSet<String> =
        ids.into_iter().filter(|id| id != "letter-0" && id != "letter-5").collect();
    assert_eq!(snapshot.ids().into_keys().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    assert_eq!(snapshot.records(), 8, "each once");
    assert!(!rig.spool_dir().join("control.sock").exists(), "an orderly stop removes the socket");
}

#[test]
fn the_socket_of_a_killed_daemon_does_not_matter() {
    let rig = Rig::start();
    put_letters(&rig, 3);
    let text = rig.config_text(URL_OF_NOBODY, "").replace("[kafka]", "start_timeout = '0'\n[kafka]");
    Program::start(rig.dir.path(), &text).kill();
    assert!(rig.spool_dir().join("control.sock").exists());
    dead_ok(&rig, "drop", &["1", "--yes"]);
    let program = Program::start(rig.dir.path(), &text);
    dead_ok(&rig, "drop", &["2", "--yes"]);
    assert_eq!(program.figure("/counts/dead_deleted"), 1, "the daemon did it");
    assert_eq!(listed(&rig).into_keys().collect::<Vec<_>>(), [3]);
    assert!(program.terminate().success());
}

/// Lets a process run in steps until a retry is in the middle of its letters, and leaves it frozen there; how
/// many letters are left.
fn freeze_in_the_middle(rig: &Rig, process: Pid, all: u64) -> u64 {
    let mut left = all;
    wait_until("the retry is under way", || {
        kill_process(process, Signal::STOP).unwrap();
        left = letters_on_disk(rig);
        if left == all {
            kill_process(process, Signal::CONT).unwrap();
        }
        left < all
    });
    left
}

fn letters_on_disk(rig: &Rig) -> u64 {
    let mut letters = 0;
    spillway_spool::inspect::dead(&rig.spool_dir(), |_, _| {
        letters += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    letters
}

#[test]
fn kill_9_during_a_retry_loses_nothing() {
    const LETTERS: usize = 6_000;
    let rig = Rig::start();
    let ids = put_letters(&rig, LETTERS);
    let text = rig.config_text(URL_OF_NOBODY, "").replace("[kafka]", "start_timeout = '0'\n[kafka]");
    let retry = || {
        let mut command = command();
        children::spawn(command.args(["spool", "dead", "retry", "--all"]).arg(rig.spool_dir())).unwrap()
    };

    // The command itself, without a daemon.
    let mut alone = retry();
    let left = freeze_in_the_middle(&rig, Pid::from_child(&alone), LETTERS as u64);
    alone.kill().unwrap();
    alone.wait().unwrap();
    eprintln!("killed the command with {left} letters left");
    assert!(left > 0, "it was too fast to be killed in the middle");

    // A daemon that does it.
    let program = Program::start(rig.dir.path(), &text);
    let all = program.figure("/spool/dead_letters");
    assert!(all > 0 && all <= left, "{all} of {left}");
    let mut asking = retry();
    let left = freeze_in_the_middle(&rig, program.pid(), all);
    program.kill();
    eprintln!("killed the daemon with {left} of {all} letters left");
    assert!(left > 0, "it was too fast to be killed in the middle");
    assert_eq!(asking.wait().unwrap().code(), Some(1), "a retry that broke off must say so");

    let program = Program::start(rig.dir.path(), &text);
    dead_ok(&rig, "retry", &["--all"]);
    wait_until("every record is in the topic", || rig.reader.snapshot().ids().len() == LETTERS);
    wait_until("the spool is empty", || program.figure("/spool/records") == 0);
    assert!(listed(&rig).is_empty());
    assert!(program.terminate().success());
    let snapshot = rig.reader.snapshot();
    assert_eq!(snapshot.missed(), 0);
    assert_eq!(snapshot.ids().into_keys().map(str::to_owned).collect::<BTreeSet<_>>(), ids);
    eprintln!("{} records for {LETTERS} letters", snapshot.records());
}

/// Every id in the topic, the dead-letter topic and the tree; each must be in exactly one of them, once.
fn places(rig: &Rig, dead_reader: &Reader) -> BTreeSet<String> {
    let (topic, letters, tree) = (rig.reader.snapshot(), dead_reader.snapshot(), listed(rig));
    assert_eq!((topic.missed(), letters.missed()), (0, 0));
    let ids = |snapshot: &Snapshot| -> Vec<String> {
        let entries = snapshot.partitions.values().flatten();
        entries.map(|entry| entry.id.as_deref().unwrap().to_owned()).collect()
    };
    let mut places = BTreeSet::new();
    for id in ids(&topic).into_iter().chain(ids(&letters)).chain(tree.into_values()) {
        assert!(!places.contains(&id), "{id} is in two places");
        places.insert(id);
    }
    places
}

#[test]
fn refused_records_of_a_backlog_are_in_exactly_one_place_and_a_topic_that_hangs_is_no_outage() {
    let rig = rig();
    let dead_reader = Reader::start(rig.mock.bootstrap(), DEAD, DEAD_PARTITIONS).unwrap();
    rig.mock.all_down().unwrap();
    let upstream =
        rig.upstream(35, 1_100, Options { rate: 5_000, pause_at: Some(1_000), ..Options::default() });
    let text = with_kafka(&rig, &upstream.url(), &format!("{WITH_TOPIC}\n{SMALL}"))
        .replace("ack_timeout = '10s'", "ack_timeout = '1s'");
    let program = Program::start(rig.dir.path(), &text);
    wait_until("all is on disk", || program.figure("/counts/spooled") == 1_000);
    let opened = program.figure("/breaker_opened");
    // Nobody leads the dead-letter topic: what goes there waits, far longer than breaker.ack_timeout.
    for partition in 0..DEAD_PARTITIONS {
        rig.mock.set_leader(DEAD, partition, None).unwrap();
    }
    rig.mock.all_up().unwrap();
    wait_until("the backlog is sent", || {
        program.figure("/in_flight/replay") == 0 && program.figure("/counts/replayed") > 0
    });
    upstream.resume();
    wait_settled(&program, 1_100);
    wait_until("the backlog is done", || program.figure("/spool/records") == 0);
    assert_eq!(program.figure("/breaker_opened"), opened, "the breaker has nothing to do with it");
    let (topic, tree) = (program.figure("/counts/dead_topic"), program.figure("/counts/dead_spool"));
    assert!(topic == 0 && tree > 0 && program.figure("/counts/replay_refused") > 0, "{topic} {tree}");
    assert_eq!(dead_reader.records(), 0);
    let sent: BTreeSet<String> = rig.sent(1_100).into_iter().map(|sent| sent.id.unwrap()).collect();
    assert!(rig.reader.read_to_end(PATIENCE).unwrap());
    assert_eq!(places(&rig, &dead_reader), sent);
    assert!(program.terminate().success());
}

#[test]
fn a_stop_leaves_every_refused_record_in_one_of_the_places() {
    let rig = rig();
    let dead_reader = Reader::start(rig.mock.bootstrap(), DEAD, DEAD_PARTITIONS).unwrap();
    let upstream = rig.upstream(34, 400, Options { rate: 5_000, pause_at: Some(200), ..Options::default() });
    let text = with_kafka(&rig, &upstream.url(), &format!("{WITH_TOPIC}\n{SMALL}"));
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    // In the middle of it, and the dead-letter topic's producer is at work: a stop waits for it two seconds only.
    wait_until("half of it is in, and letters in their topic", || {
        program.figure("/counts/received") == 200 && program.figure("/counts/dead_topic") > 0
    });
    upstream.resume();
    assert!(program.terminate().success());
    assert!(dead_reader.read_to_end(PATIENCE).unwrap() && rig.reader.read_to_end(PATIENCE).unwrap());
    assert!(dead_reader.snapshot().records() > 0);
    let places = places(&rig, &dead_reader);
    let received = places.len();
    let sent: Vec<String> = rig.sent(received).into_iter().map(|sent| sent.id.unwrap()).collect();
    assert!((200..=400).contains(&received), "{received}");
    assert!(sent[..received].iter().all(|id| places.contains(id)), "what was received is somewhere");
}

#[test]
fn the_help_teaches() {
    for (command_name, words) in [
        ("ls", &["spillway-id"][..]),
        ("cat", &["--raw", "DIR"]),
        ("retry", &["--all", "no record is lost", "Examples:"]),
        ("drop", &["--yes", "Keep a copy first"]),
    ] {
        let output = children::output(command().args(["spool", "dead", command_name, "--help"])).unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for word in words {
            assert!(help.contains(word), "{word:?} is not in: {help}");
        }
    }
}
