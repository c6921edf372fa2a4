//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// The rate above which the mock cluster's counts cannot be trusted.
pub(crate) const TRUSTED_RATE_MAX: u64 = 20_000;

const AFTER_HELP: &str = "\
Examples:
  spillway-demo                                   60,000 posts, all brokers down for 10 s: about 40 s
  spillway-demo --records 15000 --outage 3        the short version
  spillway-demo --order fresh                     new records overtake the backlog
  spillway-demo --journal always                  every record is on disk before it is sent
  spillway-demo --input recording.ndjson          a recording of X's stream instead of made-up posts
  spillway-demo --records 15000 --keep            Kafka stays up afterwards, for spillway-consumer rebuild

Exit codes: 0 nothing lost and every window right; 1 not so, or the run failed; 64 wrong usage;
73 the folder cannot be used.";

/// Shows an outage survived: a stream of posts, the daemon, Kafka (in-process, nothing to install), the
/// consumer, and an independent recount of all that was sent.
#[derive(Debug, Clone, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How many posts to make up.
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(3..=100_000_000))]
    pub(crate) records: u64,

    /// Records a second. The in-process cluster can be trusted up to about 20,000.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,

    /// How long all brokers stay away; 0 for no outage.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) outage: Duration,

    /// The same seed makes up the same posts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Serve this recording (X's v2 stream: one JSON object a line) instead of made-up posts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["records", "seed"])]
    pub(crate) input: Option<PathBuf>,

    /// Where the tables, the spool, the configurations and report.json go. What an earlier demo left
    /// there is replaced; a folder with anything else in it is refused.
    #[arg(long, value_name = "DIR", default_value = "spillway-demo-out")]
    pub(crate) out: PathBuf,

    /// Keep Kafka up after the report, until Enter is pressed or the input ends: for further commands.
    #[arg(long)]
    pub(crate) keep: bool,

    /// The order in which Kafka gets records after an outage.
    #[arg(long, value_enum, default_value_t = Order::Arrival)]
    pub(crate) order: Order,

    /// Which records go to disk.
    #[arg(long, value_enum, default_value_t = Journal::Outage)]
    pub(crate) journal: Journal,
}

/// The order in which Kafka gets records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// As they came, across the outage too.
    Arrival,
    /// New ones first, the backlog beside them.
    Fresh,
}

impl Order {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Fresh => "fresh",
        }
    }
}

/// Which records go to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Journal {
    /// Those that cannot be sent.
    Outage,
    /// All, before they are sent.
    Always,
}

impl Journal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Always => "always",
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err("must be 0 to 3600".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once(&"spillway-demo").chain(args))
    }

    #[test]
    fn the_definition_is_sound_and_the_defaults_are_those_documented() {
        Args::command().debug_assert();
        let args = parse(&[]).unwrap();
        assert_eq!(
            (args.records, args.rate, args.outage, args.seed),
            (60_000, 2_000, Duration::from_secs(10), 1)
        );
        assert_eq!((args.order, args.journal), (Order::Arrival, Journal::Outage));
        assert_eq!(args.out, PathBuf::from("spillway-demo-out"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            ["--rate", "0"],
            ["--records", "2"],
            ["--outage", "-1"],
            ["--outage", "nan"],
            ["--outage", "1e9"],
            ["--order", "any"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
        assert!(parse(&["--input", "f", "--records", "10"]).is_err());
        assert_eq!(parse(&["--outage", "0.5"]).unwrap().outage, Duration::from_millis(500));
    }
}
