//! The program `spillwayd`: arguments, configuration, logging, run, exit code.

mod cli;
mod compare_command;
mod plain;
mod rules_commands;
mod signals;
mod spool_commands;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use signals::Signals;
use spillway_daemon::{Config, Daemon, Outcome, Reason, systemd};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::logging;
use spillway_service::settings::Environment;

/// A record's memory is taken on one thread and given back on another, in Rust and inside librdkafka;
/// glibc's arenas make the two wait for each other. `docs/performance.md` has the difference.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let exit = match cli.command {
        Command::Run { config } => run(&config),
        Command::Check { config } => check(&config),
        Command::Spool(command) => spool_commands::run(&command),
        Command::Rules(command) => rules_commands::run(&command),
        Command::Compare(command) => compare_command::run(&command),
    };
    exit.into()
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer of a command")]
fn check(path: &Path) -> Exit {
    let Some(config) = read(path) else { return Exit::Config };
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    println!(
        "{} is valid: {} -> Kafka topic {}, spool in {}",
        path.display(),
        config.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", "),
        config.routes.topics().join(", "),
        config.spool.dir.display()
    );
    Exit::Success
}

#[expect(clippy::print_stderr, reason = "there is no logging before the configuration is read")]
fn read(path: &Path) -> Option<Config> {
    Config::read(path, &Environment::of_process()).map_err(|problems| eprintln!("{problems}")).ok()
}

#[expect(clippy::print_stderr, reason = "there is no logging before it is set up")]
fn run(path: &Path) -> Exit {
    let Some(config) = read(path) else { return Exit::Config };
    if let Err(error) = logging::init(&config.log_level) {
        eprintln!("spillwayd: {}", chain(&error));
        return Exit::Failed;
    }
    for warning in config.warnings() {
        tracing::warn!(event = "configuration_warning", "{warning}");
    }
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(event = "start_failed", %error, "cannot listen to signals");
            return Exit::Failed;
        }
    };
    let daemon = match Daemon::start(config) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(event = "start_failed", error = chain(&error), "cannot start");
            return error.exit();
        }
    };
    systemd::ready();
    let outcome = signals.watch(&daemon.watch(), || daemon.wait());
    report(&outcome)
}

fn report(outcome: &Outcome) -> Exit {
    let Outcome { reason, counts, backlog } = outcome;
    let exit = match reason {
        Reason::Stopped | Reason::Delivered => Exit::Success,
        Reason::Unreachable(cause) => {
            tracing::error!(
                event = "source_unreachable",
                cause,
                "the upstream cannot be reached; check source.url and the network"
            );
            Exit::Unreachable
        }
        Reason::Refused(cause) => {
            tracing::error!(
                event = "source_refused",
                cause,
                "the upstream refuses us; check source.url and the credentials"
            );
            Exit::Refused
        }
        Reason::TaskFailed(_) => Exit::Failed,
    };
    tracing::info!(
        event = "stopped",
        received = counts.received,
        acked = counts.acked,
        spooled = counts.spooled,
        replayed = counts.replayed,
        dropped = counts.dropped_records(),
        on_disk = backlog,
        "stopped"
    );
    exit
}
