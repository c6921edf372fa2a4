//! `kafka`: a real three-broker Kafka cluster for a person to try Spillway with, and to break.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spillway_testkit::cluster::{Detached, Error, Listener, State};

const TOPIC: &str = "events";
const PARTITIONS: i32 = 12;

const AFTER_HELP: &str = "\
A first try:
  kafka up                    start; prints the addresses and the lines for spillwayd.toml
  kafka freeze all            an outage without any TCP error: watch spillwayd spill to disk
  kafka thaw all              and drain again
  kafka kill 2                one broker dies: the others go on, nothing is spilled
  kafka start 2               it comes back
  kafka down                  stop all; the data stays for the next 'up' ('down --clean' removes it)

It needs a JDK of version 17 or newer and, the first time, Maven to fetch Kafka's jars (45 MB).
The cluster takes about 1 GB of memory. Kafka's own tools run with the class path that 'kafka status'
prints, for example:
  java -cp CLASSPATH org.apache.kafka.tools.consumer.ConsoleConsumer \\
      --bootstrap-server 127.0.0.1:9092 --topic events --from-beginning

Exit codes: 0 done; 1 it failed; 64 wrong usage.";

/// A real Apache Kafka cluster of three brokers on 127.0.0.1, to try Spillway with and to break.
#[derive(Debug, Parser)]
#[command(name = "kafka", version, after_help = AFTER_HELP)]
struct Args {
    /// The cluster's folder [default: kafka-cluster in the target folder].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Start the cluster, create the topic "events", and print how to reach it.
    Up,
    /// Stop the cluster.
    Down {
        /// Remove its data too.
        #[arg(long)]
        clean: bool,
    },
    /// Say what each broker does, and how to reach the cluster.
    Status,
    /// Stop a broker in an orderly way: it hands over to the others first.
    Stop(Which),
    /// Kill a broker with SIGKILL.
    Kill(Which),
    /// Freeze a broker with SIGSTOP: its connections stand, nothing answers.
    Freeze(Which),
    /// Let a frozen broker go on.
    Thaw(Which),
    /// Start a broker that is down, and wait until it takes part.
    Start(Which),
    /// Create a topic with three replicas, two of which must have a record before it is acknowledged.
    Topic {
        /// Its name.
        name: String,
        /// How many partitions.
        #[arg(long, default_value_t = PARTITIONS, value_parser = clap::value_parser!(i32).range(1..=10_000))]
        partitions: i32,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct Which {
    /// 1, 2, 3 or "all".
    #[arg(value_name = "BROKER", value_parser = broker)]
    broker: Broker,
}

#[derive(Debug, Clone, Copy)]
struct Broker(Option<u8>);

fn broker(text: &str) -> Result<Broker, String> {
    match text {
        "all" => Ok(Broker(None)),
        "1" | "2" | "3" => Ok(Broker(text.parse().ok())),
        _ => Err("the brokers are 1, 2, 3 and all".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let dir = args.dir.unwrap_or_else(Detached::default_dir);
    match Detached::open(&dir).and_then(|cluster| run(&cluster, args.command)) {
        Ok(text) => {
            // A reader that has gone away changes nothing about the cluster.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = format!("kafka: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(deeper) = cause {
                // Writing to a string cannot fail.
                let _ = write!(text, ": {deeper}");
                cause = deeper.source();
            }
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked and says what there is to say.
fn run(cluster: &Detached, command: Command) -> Result<String, Error> {
    if !cluster.exists() && !matches!(command, Command::Up | Command::Down { .. }) {
        let dir = cluster.dir().display();
        return Err(Error::State(format!("there is no cluster in {dir}; start one with: kafka up")));
    }
    match command {
        Command::Up => {
            let _ =
                writeln!(std::io::stderr(), "starting three brokers; the first time fetches Kafka's jars");
            cluster.up()?;
            cluster.topic(TOPIC, PARTITIONS)?;
            return reach(cluster);
        }
        Command::Down { clean: false } => cluster.down()?,
        Command::Down { clean: true } => {
            cluster.remove()?;
            return Ok(String::new());
        }
        Command::Status => return reach(cluster),
        Command::Stop(which) => cluster.stop(which.broker.0)?,
        Command::Kill(which) => cluster.kill(which.broker.0)?,
        Command::Freeze(which) => cluster.freeze(which.broker.0)?,
        Command::Thaw(which) => cluster.thaw(which.broker.0)?,
        Command::Start(which) => cluster.start(which.broker.0)?,
        Command::Topic { name, partitions } => {
            let new = cluster.topic(&name, partitions)?;
            return Ok(format!("{name}: {}\n", if new { "created" } else { "exists already" }));
        }
    }
    states(cluster)
}

fn states(cluster: &Detached) -> Result<String, Error> {
    let mut text = String::new();
    for (id, state) in cluster.states()? {
        let word = match state {
            State::Down => "down",
            State::Frozen => "frozen",
            State::Silent => "running, does not answer",
            State::Answering => "running",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "broker {id}: {word}");
    }
    Ok(text)
}

fn reach(cluster: &Detached) -> Result<String, Error> {
    let (user, password) = cluster.user();
    Ok(format!(
        "{}
plain      {plain}
TLS        {tls}
SASL       {sasl}   (SCRAM-SHA-512, SCRAM-SHA-256, PLAIN)
SASL, TLS  {sasl_tls}   (the same)
CA file    {ca}
user       {user}, password {password}
logs       {dir}/broker-*/broker.log
classpath  '{classpath}'

In spillwayd.toml:

[kafka]
brokers = \"{plain}\"
topic = \"{TOPIC}\"
",
        states(cluster)?,
        plain = cluster.bootstrap(Listener::Plain),
        tls = cluster.bootstrap(Listener::Tls),
        sasl = cluster.bootstrap(Listener::SaslPlain),
        sasl_tls = cluster.bootstrap(Listener::SaslTls),
        ca = cluster.tls().ca_file.display(),
        dir = cluster.dir().display(),
        classpath = cluster.classpath(),
    ))
}
