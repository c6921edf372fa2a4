//! From HTTP to a real Kafka cluster, and from the spool to it: the daemon beside a bare pipe, in the same
//! process and in turns.
//!
//! Three brokers run on this machine as processes of their own and share its cores; each run has a new
//! topic of 12 partitions and 3 replicas. All send with acks=all, idempotence and lz4. The time of a
//! replay runs from the start of a daemon whose spool was filled while Kafka was away, to the last
//! acknowledgement. For orientation Kafka's own performance test sends the same records, from a Java
//! machine of its own.
//!
//! `cargo bench -p spillway-daemon --bench cluster [-- --quick | --records N --rounds N --bytes N --only NAME]`.
//! It needs a JDK and, once, Maven; see `spillway_testkit::cluster`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its table"
)]

#[path = "common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Clock, Plan, Round, Stage, Target, Took, bare_pipe, config, lines, median, round, through_daemon,
};
use spillway_daemon::Daemon;
use spillway_testkit::cluster::{Cluster, Jvm, Listener, Options};
use spillway_testkit::upstream::{Feed, Upstream};

/// As in the program; the bare pipe has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured beside the bare pipe.
const SUBJECTS: [(&str, Subject); 5] = [
    ("daemon, queue waits", Subject::Direct("[queue]\nspill_at = 2.0\n")),
    ("daemon, as shipped", Subject::Direct("")),
    ("daemon, journal = always", Subject::Direct("[delivery]\njournal = 'always'\n")),
    ("daemon, replay from the spool", Subject::Replay),
    ("kafka-producer-perf-test", Subject::PerfTest),
];

/// Runs that are not measured.
const WARM_UPS: usize = 3;

#[derive(Clone, Copy)]
enum Subject {
    /// The daemon with these lines of configuration.
    Direct(&'static str),
    Replay,
    PerfTest,
}

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this argument; it must not need Java.
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("nothing is measured without cargo bench");
    }
    spillway_daemon::sources::http::choose_cryptography();
    let plan = Plan::from_args(400_000);
    let lines = lines(plan.bytes.unwrap_or(1024), plan.records);
    let field = Field::set(&lines);
    let subjects = SUBJECTS.iter().filter(|(name, _)| name.contains(&plan.only)).collect::<Vec<_>>();
    println!(
        "{} records a round, {} rounds in turns; median records/s, and the median of its share of the\n\
         bare pipe's in the same round, since the brokers get faster and slower from round to round;\n\
         CPU time is that of the process with the subject and the upstream, without the brokers\n",
        plan.records, plan.rounds
    );
    println!(
        "{:<34} {:>12} {:>8} {:>10} {:>18}",
        "", "records/s", "ratio", "cpu us/rec", "slowest - fastest"
    );
    // The brokers' compilers have seen nothing yet.
    for _ in 0..WARM_UPS {
        field.on_topic(|target| bare_pipe(&lines, target));
    }
    let mut pipe = Vec::new();
    let mut measured: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        pipe.push(round(plan.records, || field.on_topic(|target| bare_pipe(&lines, target))));
        for ((_, subject), rounds) in subjects.iter().zip(&mut measured) {
            rounds.push(round(plan.records, || field.on_topic(|target| field.run(*subject, &lines, target))));
        }
    }
    let base = pipe.iter().map(|round| round.rate).collect::<Vec<_>>();
    show("bare pipe", &mut pipe, &base);
    for ((name, _), rounds) in subjects.iter().zip(&mut measured) {
        show(name, rounds, &base);
    }
}

/// One row; `rounds` and `base` are in the order in which they ran. The spread says how far the median can
/// be trusted: a busy machine shows here.
fn show(name: &str, rounds: &mut [Round], base: &[f64]) {
    let mut ratios = rounds.iter().zip(base).map(|(round, base)| round.rate / base).collect::<Vec<_>>();
    ratios.sort_by(f64::total_cmp);
    let Round { rate, cpu_us } = *median(rounds);
    let cpu = if cpu_us > 0.0 { format!("{cpu_us:.1}") } else { "-".to_owned() };
    let spread = format!("{:.0} - {:.0}", rounds[0].rate, rounds[rounds.len() - 1].rate);
    println!("{name:<34} {rate:>12.0} {:>8.2} {cpu:>10} {spread:>18}", ratios[ratios.len() / 2]);
}

/// The cluster, and the records in a file for Kafka's own test.
struct Field {
    cluster: Cluster,
    payload: tempfile::NamedTempFile,
}

impl Field {
    fn set(lines: &[Bytes]) -> Self {
        let cluster = Cluster::start(Options { jvm: Jvm::Fast, ..Options::default() }).unwrap();
        let payload = tempfile::NamedTempFile::new().unwrap();
        // It chooses among them at random: some thousand stand for all.
        let some = lines.iter().take(5_000).flat_map(|line| [line.as_ref(), b"\n"]);
        std::fs::write(payload.path(), some.collect::<Vec<_>>().concat()).unwrap();
        Self { cluster, payload }
    }

    /// Runs with a topic that is there only for the run, so that disks and memory stay as they are.
    fn on_topic<T>(&self, run: impl FnOnce(Target) -> T) -> T {
        let topic = "bench";
        self.cluster.admin().create_topic(topic, 12, 3, &[]).unwrap();
        let result = run(Target { bootstrap: self.cluster.bootstrap(Listener::Plain), topic: topic.into() });
        let ends = self.cluster.admin().end_offsets(topic).unwrap();
        assert!(ends.iter().map(|(_, end)| end).sum::<i64>() > 0, "nothing arrived");
        self.cluster.admin().delete_topic(topic).unwrap();
        result
    }

    fn run(&self, subject: Subject, lines: &[Bytes], target: Target) -> Took {
        match subject {
            Subject::Direct(more) => through_daemon(lines, target, more),
            Subject::Replay => replay(lines, &target),
            Subject::PerfTest => self.perf_test(lines.len(), &target),
        }
    }

    /// By its own clock, without the start of the Java machine.
    fn perf_test(&self, records: usize, target: &Target) -> Took {
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-cp", &self.cluster.classpath()]);
        java.arg("org.apache.kafka.tools.ProducerPerformance").args(["--topic", &target.topic]);
        java.args(["--num-records", &records.to_string(), "--throughput", "-1", "--payload-file"]);
        java.arg(self.payload.path()).arg("--producer-props");
        java.arg(format!("bootstrap.servers={}", target.bootstrap));
        java.args(["acks=all", "enable.idempotence=true", "compression.type=lz4", "linger.ms=25"]);
        // librdkafka's limits, which the others have.
        java.args(["batch.size=1000000", "buffer.memory=67108864"]);
        let output = java.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        // "200000 records sent, 81234.5 records/sec (79.33 MB/sec), ..."; the last line is the sum.
        let rate =
            text.lines().rev().find_map(|line| line.split_once(" records sent, ")?.1.split(' ').next());
        let rate: f64 = rate.and_then(|rate| rate.parse().ok()).unwrap_or_else(|| {
            panic!("the performance test said {text:?} {}", String::from_utf8_lossy(&output.stderr))
        });
        #[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
        Took { wall: Duration::from_secs_f64(records as f64 / rate), cpu: Duration::ZERO }
    }
}

/// Fills a spool while Kafka is away, then times another daemon that drains it.
fn replay(lines: &[Bytes], target: &Target) -> Took {
    // Port 1: nothing listens.
    let away = Target { bootstrap: "127.0.0.1:1".to_owned(), topic: target.topic.clone() };
    let stage = Stage::set(lines, away);
    let all = lines.len() as u64;
    fill(&stage, all);
    let idle = Upstream::start(Feed::lines(Vec::new()), Default::default()).unwrap();
    drain(&idle.url(), target, stage.spool(), all)
}

fn fill(stage: &Stage, all: u64) {
    let daemon = Daemon::start(stage.config("")).unwrap();
    let watch = daemon.watch();
    while watch.status().spool.records < all {
        std::thread::sleep(Duration::from_millis(5));
    }
    watch.stop();
    let outcome = daemon.wait();
    assert_eq!(outcome.backlog, all, "{outcome:?}");
}

fn drain(url: &str, target: &Target, spool: &Path, all: u64) -> Took {
    let clock = Clock::start();
    let daemon = Daemon::start(config(url, target, spool, "")).unwrap();
    let watch = daemon.watch();
    while watch.status().counts.replayed < all {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = clock.stop();
    watch.stop();
    let outcome = daemon.wait();
    assert!(outcome.backlog == 0 && outcome.counts.unaccounted == 0, "{outcome:?}");
    took
}
