//! One stream, many topics: each record in its topic, in order across an outage, and a topic that is not
//! there or refuses us holds back only its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::collections::BTreeSet;

use common::{PARTITIONS, Rig, TOPIC, assert_order, wait_until};
use rdkafka::types::RDKafkaRespErr;
use spillway_daemon::{Config, Daemon, Watch};
use spillway_service::settings::Environment;
use spillway_testkit::kafka::Reader;
use spillway_testkit::upstream::{Feed, Options, Upstream};

const HK: &str = "events.hk";
const FRENCH: &str = "events.french";
const ROUTES: &str = "[[route]]\ntag = 'hk'\ntopic = 'events.hk'\n\
                      [[route]]\npointer = '/data/lang'\nequals = ['fr', 'be']\ntopic = 'events.french'\n";

/// Record `n` goes to the first, the second, or no route.
fn line(n: usize) -> String {
    let (lang, tag) = match n % 3 {
        0 => ("fr", "hk"),
        1 => ("be", "jp"),
        _ => ("en", "kr"),
    };
    format!(
        "{{\"data\":{{\"id\":\"x-{n:06}\",\"lang\":\"{lang}\"}},\"matching_rules\":[{{\"tag\":\"none\"}},{{\"tag\":\"{tag}\"}}]}}"
    )
}

/// The ids of the first `records` records that are due in the topic of remainder `rest`.
fn due(rest: usize, records: usize) -> BTreeSet<String> {
    (0..records).filter(|n| n % 3 == rest).map(|n| format!("x-{n:06}")).collect()
}

/// The rig's topic and the two others, each with a reader.
struct Topics {
    rig: Rig,
    readers: [Reader; 2],
}

impl Topics {
    fn start() -> Self {
        let rig = Rig::start();
        let readers = [(HK, 2), (FRENCH, 3)].map(|(name, partitions)| {
            rig.mock.create_topic(name, partitions, 3).unwrap();
            Reader::start(rig.mock.bootstrap(), name, partitions).unwrap()
        });
        Self { rig, readers }
    }

    fn upstream(&self, records: usize, options: Options) -> Upstream {
        let lines = (0..records).map(|n| bytes::Bytes::from(line(n)));
        Upstream::start(Feed::lines(lines), options).unwrap()
    }

    fn daemon(&self, upstream: &Upstream, more: &str) -> (Daemon, Watch) {
        let more = format!("{more}[admin]\nlisten = 'none'\n");
        let text = self.rig.config_text(&upstream.url(), &more);
        let text = text.replace("[breaker]\n", "[breaker]\npartition_timeout = '1s'\n");
        let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
        let daemon = Daemon::start(config).unwrap();
        let watch = daemon.watch();
        (daemon, watch)
    }

    fn ids(&self, rest: usize) -> BTreeSet<String> {
        let reader = [&self.readers[0], &self.readers[1], &self.rig.reader][rest];
        reader.snapshot().ids().into_keys().map(str::to_owned).collect()
    }

    /// Waits until each topic has all that is due to it, and nothing else.
    fn wait_for_all(&self, records: usize) {
        for rest in 0..3 {
            wait_until("a topic has its records", || self.ids(rest).len() >= due(rest, records).len());
            assert_eq!(self.ids(rest), due(rest, records));
        }
    }

    fn assert_order(&self) {
        for reader in [&self.readers[0], &self.readers[1], &self.rig.reader] {
            assert_order(&reader.snapshot());
        }
    }
}

fn end(daemon: Daemon, watch: Watch) {
    wait_until("nothing is left on disk", || watch.status().spool.records == 0);
    assert_eq!(watch.status().held_partitions, [] as [String; 0]);
    watch.stop();
    drop(watch);
    let counts = daemon.wait().counts;
    assert_eq!((counts.unaccounted, counts.dropped_records()), (0, 0));
}

#[test]
fn each_record_is_in_its_topic_and_in_order_across_an_outage() {
    const RECORDS: usize = 6_000;
    let topics = Topics::start();
    let options = Options { rate: 3_000, pause_at: Some(1_500), ..Options::default() };
    let upstream = topics.upstream(RECORDS, options);
    let (daemon, watch) = topics.daemon(&upstream, ROUTES);
    wait_until("the first records are delivered", || {
        let counts = watch.status().counts;
        counts.acked + counts.replayed == 1_500
    });
    topics.rig.mock.all_down().unwrap();
    upstream.resume();
    wait_until("records are on disk", || watch.status().counts.spooled > 1_000);
    topics.rig.mock.all_up().unwrap();
    topics.wait_for_all(RECORDS);
    topics.assert_order();
    end(daemon, watch);
}

/// The topic is not there from the start, or is gone in full flow; then it is there again.
fn one_topic_away(error: RDKafkaRespErr, from_the_start: bool, more: &str) {
    const RECORDS: usize = 6_000;
    let topics = Topics::start();
    let options = Options { rate: 3_000, pause_at: Some(3_000), ..Options::default() };
    let upstream = topics.upstream(RECORDS, options);
    // The mock looks at a topic's error only when it tells of the topic, so its leader goes, too: the third
    // broker, which leads nothing else.
    let mock = &topics.rig.mock;
    for (topic, partitions) in [(TOPIC, PARTITIONS), (FRENCH, 3), (HK, 2)] {
        let leader = |partition| if topic == HK { 3 } else { 1 + partition % 2 };
        (0..partitions).for_each(|p| mock.set_leader(topic, p, Some(leader(p))).unwrap());
    }
    let fail = || {
        mock.topic_error(HK, error).unwrap();
        mock.broker_down(3).unwrap();
    };
    if from_the_start {
        fail();
    }
    let (daemon, watch) = topics.daemon(&upstream, &format!("{more}{ROUTES}"));
    if !from_the_start {
        wait_until("the first records are in", || topics.ids(0).len() == due(0, 3_000).len());
        fail();
        upstream.resume();
    }
    let served = if from_the_start { 3_000 } else { RECORDS };
    for rest in [1, 2] {
        wait_until("the others have theirs", || topics.ids(rest) == due(rest, served));
    }
    // Held, let go for a look, and held again.
    wait_until("the topic is held, and no other", || {
        let held = watch.status().held_partitions;
        !held.is_empty() && held.iter().all(|place| place.starts_with("events.hk/"))
    });
    mock.topic_error(HK, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    mock.broker_up(3).unwrap();
    upstream.resume();
    topics.wait_for_all(RECORDS);
    if !more.contains("fresh") {
        topics.assert_order();
    }
    end(daemon, watch);
}

#[test]
fn a_topic_that_does_not_exist_holds_back_only_its_own_records() {
    one_topic_away(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, true, "");
}

#[test]
fn nor_with_a_journal_one_that_is_deleted_in_full_flow() {
    let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    one_topic_away(gone, false, "[delivery]\njournal = 'always'\n");
}

#[test]
fn a_topic_that_refuses_us_in_full_flow_holds_back_only_its_own_records() {
    one_topic_away(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false, "");
}

#[test]
fn nor_with_fresh_records_first() {
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    one_topic_away(refused, false, "[delivery]\norder = 'fresh'\n");
}

#[test]
fn what_waits_on_disk_for_a_topic_that_is_no_longer_configured_still_goes_there() {
    const RECORDS: usize = 3_000;
    let topics = Topics::start();
    topics.rig.mock.all_down().unwrap();
    let upstream = topics.upstream(RECORDS, Options::default());
    let (daemon, watch) = topics.daemon(&upstream, ROUTES);
    wait_until("all is on disk", || watch.status().counts.spooled == RECORDS as u64);
    watch.stop();
    drop(watch);
    assert_eq!(daemon.wait().backlog, RECORDS as u64);
    topics.rig.mock.all_up().unwrap();
    let (daemon, watch) = topics.daemon(&upstream, "");
    topics.wait_for_all(RECORDS);
    topics.assert_order();
    end(daemon, watch);
}

#[test]
fn a_source_can_have_a_topic_of_its_own() {
    let topics = Topics::start();
    let upstreams = [0, 1].map(|_| topics.upstream(300, Options::default()));
    let second = "[[source]]\nname = 'other'\ntype = 'http_ndjson'\nid = '/data/id'\nurl = ";
    let more =
        format!("{second}'{}'\n[[route]]\nsource = 'other'\ntopic = 'events.hk'\n", upstreams[1].url());
    let text = topics.rig.config_text(&upstreams[0].url(), &format!("{more}[admin]\nlisten = 'none'\n"));
    let config =
        Config::parse("test.toml", &text.replacen("[source]", "[[source]]", 1), &Environment::default());
    let daemon = Daemon::start(config.unwrap()).unwrap();
    let watch = daemon.watch();
    let all: BTreeSet<_> = (0..300).map(|n| format!("x-{n:06}")).collect();
    wait_until("both topics have all", || topics.ids(0) == all && topics.ids(2) == all);
    end(daemon, watch);
}
