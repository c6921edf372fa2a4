//! What the tests against a mock cluster share: a topic to fill, a consumer to run over it, and its
//! tables as plain rows.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod hook;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use spillway_consumer::store::StoreSettings;
use spillway_consumer::{Config, Control, Error, ID_HEADER, Summary, run};
use spillway_service::kafka::KafkaSettings;
use spillway_testkit::kafka::Mock;
use spillway_testkit::oracle::{Dedup, Recount};
use spillway_testkit::tweets::{Generator, Options};
use tempfile::TempDir;

pub(crate) const TOPIC: &str = "events";
pub(crate) const GROUP: &str = "test";
/// Long enough for a slow machine; nothing waits this long unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with one topic, and a store.
pub(crate) struct Rig {
    pub(crate) mock: Mock,
    pub(crate) producer: BaseProducer,
    pub(crate) dir: TempDir,
    pub(crate) partitions: i32,
}

/// A record to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rec {
    pub(crate) partition: i32,
    pub(crate) id: Option<String>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl Rig {
    pub(crate) fn new(partitions: i32) -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic(TOPIC, partitions, 3).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap())
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { mock, producer, dir: tempfile::tempdir().unwrap(), partitions }
    }

    /// Sends records and waits until they are stored.
    pub(crate) fn send(&self, records: impl IntoIterator<Item = Rec>) -> usize {
        let mut sent = 0;
        for rec in records {
            let mut record = BaseRecord::<(), [u8]>::to(TOPIC).partition(rec.partition).payload(&rec.value);
            if let Some(id) = &rec.id {
                record =
                    record.headers(OwnedHeaders::new().insert(Header { key: ID_HEADER, value: Some(id) }));
            }
            if let Some(ms) = rec.timestamp_ms {
                record = record.timestamp(ms);
            }
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
            self.producer.poll(Duration::ZERO);
            sent += 1;
        }
        self.producer.flush(PATIENCE).unwrap();
        assert_eq!(self.producer.in_flight_count(), 0);
        sent
    }

    /// Fills a partition with more than the mock keeps of it. Returns the first offset that is left.
    pub(crate) fn overflow(&self, partition: i32) -> i64 {
        for batch in 0..8_u32 {
            self.send((0..100_u32).map(|i| {
                let n = batch * 100 + i;
                let mut record = rec(partition, n, i64::from(n), "ann");
                let text = record.value.split_off(record.value.len() - 4);
                record.value.extend(std::iter::repeat_n(b' ', 10_000));
                record.value.extend(text);
                record
            }));
        }
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.mock.bootstrap()).create().unwrap();
        let (low, high) = client.fetch_watermarks(TOPIC, partition, PATIENCE).unwrap();
        assert!(low > 10 && high >= 800, "{low} {high}");
        low
    }

    /// Spreads lines over the partitions by their id, as the daemon does with a key.
    pub(crate) fn send_lines<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>, with_ids: bool) -> usize {
        let record = |line: &[u8]| {
            let id = tweet_id(line);
            let spread = spillway_testkit::hash(id.as_deref().unwrap_or("").as_bytes());
            let partition = i32::try_from(spread % u64::from(self.partitions.unsigned_abs())).unwrap();
            Rec { partition, id: id.filter(|_| with_ids), value: line.to_vec(), timestamp_ms: None }
        };
        self.send(lines.into_iter().map(record))
    }

    /// A configuration for this rig that closes windows soon.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(
            KafkaSettings::plain(self.mock.bootstrap()),
            TOPIC,
            GROUP,
            StoreSettings::local(self.dir.path()),
        );
        // The mock lets a group that had members wait this long for them to come back.
        config.kafka.options.push(("session.timeout.ms".into(), "3000".into()));
        config.kafka.options.push(("heartbeat.interval.ms".into(), "500".into()));
        config.time.close_interval = Duration::from_millis(20);
        config.time.idle_timeout = Duration::from_secs(1);
        config
    }

    /// Reads all there is.
    pub(crate) fn drain(&self) -> Summary {
        let control = Control::new();
        control.drain();
        run(self.config(), &control).unwrap()
    }

    /// Starts a run in the background.
    pub(crate) fn start(&self, config: Config) -> Running {
        let control = Control::new();
        let inner = control.clone();
        let (ended, end) = bounded(1);
        let thread = std::thread::spawn(move || {
            let outcome = run(config, &inner);
            // A test that has given up does not listen.
            let _ = ended.send(outcome);
        });
        Running { control, thread, end }
    }

    pub(crate) fn store(&self) -> &Path {
        self.dir.path()
    }
}

/// A run in the background.
pub(crate) struct Running {
    pub(crate) control: Control,
    thread: JoinHandle<()>,
    end: Receiver<Result<Summary, Error>>,
}

impl Running {
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut(&spillway_consumer::Progress) -> bool) {
        assert!(
            self.control.wait_until(PATIENCE, condition),
            "waiting for {what}: {:?}",
            self.control.progress()
        );
    }

    pub(crate) fn stop(self) -> Summary {
        self.control.stop();
        self.end().unwrap()
    }

    pub(crate) fn drain(self) -> Summary {
        self.control.drain();
        self.end().unwrap()
    }

    pub(crate) fn end(self) -> Result<Summary, Error> {
        let outcome = match self.end.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.control.progress()),
            outcome => outcome,
        };
        self.thread.join().unwrap();
        outcome.unwrap()
    }
}

/// The counts of a row: events, reposts, referencing, unique actors.
pub(crate) type Counts = [i64; 4];
/// Rows by window start (seconds since 1970) and group ("" without one).
pub(crate) type Rows = BTreeMap<(i64, String), Counts>;

/// The rows of a final table. Fails when a row comes twice or a window is not five minutes long.
pub(crate) fn rows(store: &Path, table: &str) -> Rows {
    let mut rows = Rows::new();
    for batch in spillway_consumer::read::read_table(store, table).unwrap() {
        let starts = batch.column_by_name("window_start").unwrap().as_primitive::<TimestampMicrosecondType>();
        let ends = batch.column_by_name("window_end").unwrap().as_primitive::<TimestampMicrosecondType>();
        let groups = batch.column_by_name("place").map(|column| column.as_string::<i32>());
        let counts = ["events", "reposts", "referencing", "unique_actors"]
            .map(|name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            assert_eq!(ends.value(i) - starts.value(i), 300_000_000);
            assert_eq!(starts.value(i) % 300_000_000, 0);
            let key = (starts.value(i) / 1_000_000, groups.map_or(String::new(), |g| g.value(i).to_owned()));
            let before = rows.insert(key.clone(), counts.map(|column| column.value(i)));
            assert_eq!(before, None, "{key:?} is there twice");
        }
    }
    rows
}

/// `/data/id` of a line, as the daemon takes it.
pub(crate) fn tweet_id(line: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    value.pointer("/data/id")?.as_str().map(str::to_owned)
}

/// A tweet at `secs` seconds after 2026-11-01T00:00:00Z.
pub(crate) fn tweet(id: u32, secs: i64, author: &str) -> Vec<u8> {
    let time = chrono::DateTime::from_timestamp(START + secs, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.000Z");
    format!(r#"{{"data":{{"id":"{id}","author_id":"{author}","created_at":"{time}","text":"t"}}}}"#)
        .into_bytes()
}

/// 2026-11-01T00:00:00Z.
pub(crate) const START: i64 = 1_793_491_200;

/// The record of a tweet, with its id as the daemon sets it.
pub(crate) fn rec(partition: i32, id: u32, secs: i64, author: &str) -> Rec {
    Rec {
        partition,
        id: Some(id.to_string()),
        value: tweet(id, secs, author),
        timestamp_ms: Some((START + secs) * 1000),
    }
}

/// The events of `activity` by window start, in seconds after [`START`].
pub(crate) fn activity(store: &Path) -> Vec<(i64, i64)> {
    rows(store, "activity").into_iter().map(|((start, _), counts)| (start - START, counts[0])).collect()
}

/// An hour of generated tweets, some twice, and their recount by the oracle.
pub(crate) fn hour(seed: u64, records: u64) -> (Vec<Vec<u8>>, Recount) {
    let window = Duration::from_secs(300);
    let options = Options {
        repeat_share: 0.02,
        ..Options::ending_at(START * 1000, Duration::from_secs(3600), records)
    };
    let mut recount = Recount::new(window, Dedup::ById);
    let lines: Vec<_> = Generator::new(seed, options)
        .take(usize::try_from(records).unwrap())
        .map(|t| t.line.to_vec())
        .collect();
    for line in &lines {
        recount.add(line);
    }
    (lines, recount)
}

/// The tables are the recount's.
pub(crate) fn assert_recount(store: &Path, recount: &Recount) {
    let four = |c: &spillway_testkit::oracle::Counts| -> Counts {
        [c.events, c.reposts, c.referencing, c.unique_actors]
    };
    let all: Rows =
        recount.activity().iter().map(|(start, c)| ((start / 1_000_000, String::new()), four(c))).collect();
    assert_eq!(rows(store, "activity"), all);
    let cities: Rows = recount
        .city_activity()
        .iter()
        .map(|((start, city), c)| ((start / 1_000_000, city.clone()), four(c)))
        .collect();
    assert!(cities.len() > 50, "{} rows", cities.len());
    assert_eq!(rows(store, "city_activity"), cities);
}
