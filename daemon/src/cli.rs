//! The command line of `spillwayd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Streams events into Kafka and loses none while Kafka is away.
#[derive(Debug, Parser)]
#[command(
    name = "spillwayd",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 64 wrong usage, 69 upstream unreachable, 71 port in use, 73 spool not writable, \
                  75 spool in use by another process, 76 spool from a newer version, 77 upstream refuses us, 78 wrong configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run until SIGTERM or SIGINT; then send what can be sent, put the rest on disk, and exit 0.
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
    /// Look into a spool. Reads only, and may be used while a daemon runs.
    #[command(subcommand)]
    Spool(SpoolCommand),
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
}

#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// The spool's folder: spool.dir of the configuration.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
