//! The command line of `spillwayd`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use spillway_daemon::pointer::Pointer;
use spillway_service::units::parse_duration;

#[cfg(feature = "top")]
use crate::top::TopCommand;

/// Streams events into Kafka and loses none while Kafka is away.
#[derive(Debug, Parser)]
#[command(
    name = "spillwayd",
    version,
    after_help = "Exit codes: 0 done, 1 failed or differs, 2 rules would change, 64 wrong usage, 66 input not readable, 69 upstream unreachable, 71 port in use, 73 spool not writable, \
                  75 spool in use by another process, 76 spool from a newer version, 77 upstream refuses us, 78 wrong configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run until SIGTERM or SIGINT; then send what can be sent, put the rest on disk, and exit 0.
    ///
    /// SIGHUP has it read its configuration again: routes, rates and the log level are taken over, and the log says
    /// which of the other settings need a restart.
    Run {
        /// The configuration file; spillwayd.toml in the repository is a commented sample.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file: prints every error with its line, and exits 78 if there is one.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Watch a running daemon in the terminal: flow, breaker, queue, spool, replay, upstreams, partitions.
    ///
    /// It reads the admin endpoint each second and changes nothing. q or Ctrl-C ends it, t changes how long a
    /// column of the plots is. When the daemon is away it says so, and goes on when it is back. In a browser, the
    /// page at the endpoint's address shows the last hour.
    #[cfg(feature = "top")]
    #[command(
        after_help = "Exit codes: 0 done, 64 no terminal, 69 the daemon cannot be seen (--once), 78 wrong configuration.\n\n\
                      Examples:\n  spillwayd top --config /etc/spillway/spillwayd.toml\n  \
                      spillwayd top --url unix:/run/spillway/admin.sock --once"
    )]
    Top(TopCommand),
    /// Look into a spool and handle its dead letters; may be used while a daemon runs.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Bring the rules of X's filtered stream to those of the configuration.
    ///
    /// The configuration's [[rule]] tables say what the account shall have. plan shows the difference, apply
    /// makes it so, list shows what there is. X knows a rule by its value, and cannot change one: another tag
    /// is a deletion and an addition. For as long as that takes, the same rule in parentheses stands in, so that
    /// no post is missed. Rules take effect within about 20 s, without a reconnect.
    ///
    /// Of the account's rules those are ours, and deleted when the configuration does not have them, whose tag
    /// is one of the configuration, or begins with rules.tag_prefix if that is set. All others are left alone,
    /// unless --prune is given. Set tag_prefix if rules of a tag that the configuration no longer names shall
    /// go too.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Compare two topics or recordings of one stream: which records does each miss?
    ///
    /// A and B are files, newline-delimited JSON or, with the ending .sse, the raw bytes of an SSE stream; or
    /// topics, kafka://NAME, which are read from their beginning to where they end now. Records are told by
    /// their ids. Each input is read once, and once more if it has ids that the other lacks.
    ///
    /// Memory: 21 to 41 bytes for each different id, and half as much again for moments while it grows: up to
    /// 60 MB for a million ids. It does not depend on the size of the records.
    #[command(
        after_help = "Exit codes: 0 neither misses an id, 1 they differ, 64 wrong usage, 66 a file cannot be read, \
                      69 a topic cannot be read, 78 wrong configuration.\n\n\
                      Examples:\n  \
                      spillwayd compare east.ndjson west.ndjson --id /data/id --time /data/created_at\n  \
                      spillwayd compare kafka://edge-1 kafka://edge-2 --config spillwayd.toml --common-span"
    )]
    Compare(CompareCommand),
    /// Write the man pages and the shell completions of this program, for a package.
    #[command(hide = true)]
    Generate {
        /// The folder, which exists.
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// The first topic or recording.
    pub(crate) a: String,
    /// The second.
    pub(crate) b: String,
    /// Where the brokers of kafka://… and the way to log in are found: the [kafka] of this configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// JSON pointer to the id, in the records of both; default: the spillway-id header, of topics.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    pub(crate) id: Option<Pointer>,
    /// JSON pointer to the time: RFC 3339, or seconds, milli-, micro- or nanoseconds since 1970; default:
    /// Kafka's timestamp, of topics.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    pub(crate) time: Option<Pointer>,
    /// Width of the windows by which missing records are reported.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = window)]
    pub(crate) window: Duration,
    /// Leave out what is earlier than the other's first record or later than its last.
    #[arg(long)]
    pub(crate) common_span: bool,
    /// As one JSON object, with all windows.
    #[arg(long)]
    pub(crate) json: bool,
}

fn pointer(text: &str) -> Result<Pointer, &'static str> {
    Pointer::parse(text).ok_or("a JSON pointer begins with a slash, such as /data/id")
}

fn window(text: &str) -> Result<Duration, &'static str> {
    let window = parse_duration(text).filter(|window| !window.is_zero());
    window.ok_or("a duration has a unit, such as 30s, 5m or 2h, and is not 0")
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Show what apply would do; changes nothing.
    #[command(
        after_help = "Exit codes: 0 nothing to do, 2 there is something to do, 69 X cannot be reached, 77 X refuses us."
    )]
    Plan {
        #[command(flatten)]
        target: RulesTarget,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Ask X whether it would take the new rules, then carry the plan out and show the result.
    #[command(
        after_help = "Exit codes: 0 the account has the configuration's rules, 1 X refuses a rule, 64 not confirmed, \
                      69 X cannot be reached, 77 X refuses us."
    )]
    Apply {
        #[command(flatten)]
        target: RulesTarget,
        /// Do not ask; needed where there is no terminal to ask on.
        #[arg(long)]
        yes: bool,
        /// Change tags without rules that stand in: a minute faster, but posts may be missed.
        #[arg(long)]
        at_once: bool,
    },
    /// All rules of the account: id, tag, value.
    List {
        #[command(flatten)]
        place: RulesPlace,
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RulesPlace {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The source that reads X's stream; needed when there are several it could be.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RulesTarget {
    #[command(flatten)]
    pub(crate) place: RulesPlace,
    /// Also delete rules that are not ours.
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// What is in it: records, bytes, segments, times.
    Stat(Dir),
    /// A line for each frame.
    Ls(Dir),
    /// The records, as they will be sent: one JSON line each, with topic, id, key and value.
    Cat {
        #[command(flatten)]
        dir: Dir,
        /// The first record to print, by its number in the spool.
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// How many records to print.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Print only the values, each followed by a newline.
        #[arg(long)]
        raw: bool,
    },
    /// Check every frame; prints each bad range and exits 1 if there is one.
    Verify(Dir),
    /// The dead letters: records that Kafka refused for themselves.
    ///
    /// Kafka has said of each of them that it will not take it: too large, or invalid. Everything else flows on
    /// without it. Find out why (ls, cat), remove the cause, for example by raising the topic's
    /// max.message.bytes and kafka.max_record_bytes, then send them again (retry); or give them up (drop).
    ///
    /// All four work while the daemon runs and while it does not. With kafka.dead_letter_topic set, dead
    /// letters go to that topic, and only those that it refuses too, or that come while Kafka is away, are here.
    #[command(subcommand)]
    Dead(DeadCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// A line for each dead letter: number, time, bytes, topic, spillway-id, reason.
    Ls(Dir),
    /// Dead letters as one JSON line each, with the record and why it was refused.
    Cat {
        #[command(flatten)]
        dir: Dir,
        /// Their numbers, as ls shows them.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
        /// Print only the values, each followed by a newline.
        #[arg(long)]
        raw: bool,
    },
    /// Send records again: to the topic that they were meant for, with the same key, headers and spillway-id.
    ///
    /// They go to the end of the spool, and from there to Kafka: at once when a daemon runs, else when the
    /// next one starts. What is refused again is a dead letter again, with a new number. If this command or
    /// the daemon is killed, no record is lost; some may be sent twice, with the same spillway-id.
    #[command(
        after_help = "Examples:\n  spillwayd spool dead retry /var/lib/spillway/spool 17 18\n  spillwayd spool dead retry /var/lib/spillway/spool --all"
    )]
    Retry {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        which: Which,
    },
    /// Delete dead letters for good. Asks for --yes.
    #[command(after_help = "Keep a copy first:  spillwayd spool dead cat DIR 17 18 > letters.ndjson")]
    Drop {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        which: Which,
        /// Really delete them.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// Their numbers, as ls shows them.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,
    /// All that there are now.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// The spool's folder: spool.dir of the configuration.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
