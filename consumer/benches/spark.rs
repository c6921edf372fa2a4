//! The table `city_activity` by spillway-consumer and by Spark Structured Streaming, on the same topic of a
//! real cluster, in turns: events per second, and CPU seconds per million events.
//!
//! Each is a program of its own that reads what the topic holds from the beginning, writes every window to a
//! folder, and ends. The time is that of the whole process and its children, the start included; how much
//! the start is shows a topic with few events. Spark has two threads and one batch, which is its best case.
//! The tables are compared row by row: what is faster must also be the same.
//!
//! `cargo bench -p spillway-consumer --bench spark [-- --events N --rounds N --program PATH]`. It needs a JDK of
//! version 17 or 21, Python and, once, Maven. `--program`: a spillway-consumer that is built already.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its table"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::spark::Spark;
use spillway_testkit::tweets::{Generator, Options as Posts};
use spillway_testkit::{children, hash, program, python::Venv};

const PARTITIONS: u8 = 12;
/// Enough for every partition, too few to take time.
const FEW: usize = 1_000;
/// Of event time; the posts of both topics are spread over it.
const SPAN: Duration = Duration::from_secs(3_600);

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this argument; it must not need Java.
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("nothing is measured without cargo bench");
    }
    let (events, rounds) = (number("--events", 1_000_000), number("--rounds", 3));
    let field = Field::set();
    field.fill("few", FEW);
    field.fill("many", events);
    println!("{events} events a round, {rounds} rounds in turns\n");
    println!("{:<22} {:>12} {:>12} {:>26}", "", "events/s", "CPU s", "CPU s per million events");
    let start = field.round("few", 0);
    // Seconds: a rate of so few events would say nothing.
    for (name, Took { wall, cpu }) in [("the start: ours", start[0]), ("the start: Spark", start[1])] {
        println!("{name:<22} {:>12} {cpu:>12.2} {:>26}", format!("in {wall:.1} s"), "-");
    }
    let measured: Vec<_> = (1..=rounds).map(|round| field.round("many", round)).collect();
    for (at, name) in ["ours", "Spark local[2]"].into_iter().enumerate() {
        for round in &measured {
            show(name, events, round[at]);
        }
    }
    let ratio = |of: fn(&Took) -> f64| median(measured.iter().map(|[ours, spark]| of(spark) / of(ours)));
    println!("\nSpark's CPU seconds / ours: {:.1} (median)", ratio(|took| took.cpu));
    println!("Spark's time / ours: {:.1} (median)", ratio(|took| took.wall));
    // What a longer topic would show.
    let net = |at: usize| median(measured.iter().map(move |round| round[at].cpu - start[at].cpu));
    println!("CPU seconds without the start, Spark's / ours: {:.1}", net(1) / net(0));
}

fn given(name: &str) -> Option<String> {
    let args: Vec<String> = std::env::args().collect();
    args.get(args.iter().position(|argument| argument == name)? + 1).cloned()
}

fn number(name: &str, usual: usize) -> usize {
    given(name).map_or(usual, |text| text.parse().unwrap())
}

/// What a run took, in seconds.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn show(name: &str, events: usize, took: Took) {
    let (rate, millions) = (events as f64 / took.wall, events as f64 / 1e6);
    println!("{name:<22} {rate:>12.0} {:>12.2} {:>26.2}", took.cpu, took.cpu / millions);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The cluster and the two programs.
struct Field {
    cluster: Cluster,
    program: PathBuf,
    spark: Spark,
    duckdb: Venv,
    dir: tempfile::TempDir,
}

impl Field {
    fn set() -> Self {
        let build = || program::build_binary("spillway-consumer").unwrap();
        Self {
            program: given("--program").map_or_else(build, PathBuf::from),
            spark: Spark::get().unwrap(),
            duckdb: Venv::get("duckdb", &["duckdb==2.0.0"]).unwrap(),
            cluster: Cluster::start(Options::default()).unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn bootstrap(&self) -> String {
        self.cluster.bootstrap(Listener::Plain)
    }

    /// Posts of an hour that ends now; what is delivered twice is so in the same partition.
    fn fill(&self, topic: &str, events: usize) {
        self.cluster.admin().create_topic(topic, PARTITIONS.into(), 3, &[]).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("linger.ms", "25").set("acks", "all");
        config.set("compression.type", "lz4").set("enable.idempotence", "true");
        let producer: BaseProducer = config.create().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let posts = Posts::ending_at(now.try_into().unwrap(), SPAN, events.try_into().unwrap());
        for post in Generator::new(1, posts).take(events) {
            let partition = i32::try_from(hash(post.id.as_bytes()) % u64::from(PARTITIONS)).unwrap();
            let header = Header { key: "spillway-id", value: Some(&post.id) };
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&post.line);
            record = record.headers(OwnedHeaders::new().insert(header));
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        let ends = self.cluster.admin().end_offsets(topic).unwrap();
        assert_eq!(ends.iter().map(|(_, end)| end).sum::<i64>(), i64::try_from(events).unwrap());
    }

    /// Ours and Spark's, of which the rows must be equal.
    fn round(&self, topic: &str, round: usize) -> [Took; 2] {
        let dir = self.dir.path().join(format!("{topic}-{round}"));
        let (ours, theirs) = (dir.join("ours"), dir.join("spark"));
        std::fs::create_dir_all(&dir).unwrap();
        let took = [self.ours(topic, &dir, &ours), self.spark(topic, &dir, &theirs)];
        let compare = std::fs::read_to_string(published("compare.py")).unwrap();
        let tables = [ours.join("tables/city_activity"), theirs.join("city_activity")];
        // It fails when a row differs.
        let said = self.duckdb.run(&compare, &[&tables[0], &tables[1]]).unwrap();
        println!("{topic}: {}", String::from_utf8_lossy(&said).trim());
        std::fs::remove_dir_all(&dir).unwrap();
        took
    }

    fn ours(&self, topic: &str, dir: &Path, store: &Path) -> Took {
        let (config, group) = (dir.join("consumer.toml"), dir.file_name().unwrap().to_string_lossy());
        let text = format!(
            "[kafka]\nbrokers = '{}'\ntopic = '{topic}'\ngroup = '{group}'\n[input]\nprofile = 'x_v2'\n\
             [store]\nurl = '{}'\n[[table]]\npreset = 'city_activity'\n[log]\nlevel = 'warn'\n",
            self.bootstrap(),
            store.display()
        );
        std::fs::write(&config, text).unwrap();
        measure(Command::new(&self.program).args(["run", "--drain", "--config"]).arg(config))
    }

    fn spark(&self, topic: &str, dir: &Path, out: &Path) -> Took {
        let mut command = self.spark.submit(2);
        command.args(["--driver-memory", "3g", "--conf", "spark.sql.shuffle.partitions=2"]);
        command.arg(published("tables.py")).args(["--brokers", &self.bootstrap(), "--topic", topic]);
        command.args(["--once", "--table", "city_activity", "--records-per-batch", "100000000"]);
        command.arg("--out").arg(out).arg("--checkpoint").arg(dir.join("state"));
        measure(&mut command)
    }
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("spark").join(name)
}

fn measure(command: &mut Command) -> Took {
    let (began, before) = (Instant::now(), children_cpu());
    let output = children::output(command.stdin(Stdio::null())).unwrap();
    let took = Took { wall: began.elapsed().as_secs_f64(), cpu: children_cpu() - before };
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

/// CPU seconds of all children that have ended, theirs included. Linux tells them in hundredths.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name may have blanks; it ends with the last parenthesis, and the state is field 3.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
    (ticks(16) + ticks(17)) / 100.0
}
