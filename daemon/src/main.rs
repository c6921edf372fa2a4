//! The program `spillwayd`: arguments, configuration, logging, run, exit code.

mod cli;
mod compare_command;
mod plain;
mod rules_commands;
mod signals;
mod spool_commands;
#[cfg(feature = "top")]
mod top;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use signals::Signals;
use spillway_daemon::{Config, Daemon, Outcome, Reason, Reload};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::settings::{self, Environment, Problems};
use spillway_service::{logging, manual, notify};

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
        #[cfg(feature = "top")]
        Command::Top(command) => top::run(command),
        Command::Spool(command) => spool_commands::run(&command),
        Command::Rules(command) => rules_commands::run(&command),
        Command::Compare(command) => compare_command::run(&command),
        Command::Generate { dir } => generate(&dir),
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

#[expect(clippy::print_stderr, reason = "the answer of a command")]
fn generate(dir: &Path) -> Exit {
    match manual::write(Cli::command(), dir) {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("cannot write to {}: {error}", dir.display());
            Exit::CannotWrite
        }
    }
}

#[expect(clippy::print_stderr, reason = "there is no logging before the configuration is read")]
fn read(path: &Path) -> Option<Config> {
    Config::read(path, &Environment::of_process()).map_err(|problems| eprintln!("{problems}")).ok()
}

#[expect(clippy::print_stderr, reason = "there is no logging before it is set up")]
fn run(path: &Path) -> Exit {
    let (config, reload) = match read_to_run(path) {
        Ok(read) => read,
        Err(problems) => return refuse(&problems),
    };
    if let Err(error) = logging::init(&config.log_level) {
        eprintln!("spillwayd: {}", chain(&error));
        return Exit::Failed;
    }
    let exit = run_with(config, reload);
    logging::flush();
    exit
}

fn read_to_run(path: &Path) -> Result<(Config, Reload), Problems> {
    let (env, text) = (Environment::of_process(), settings::read_text(path)?);
    let config = Config::parse(&path.display().to_string(), &text, &env)?;
    Ok((config, Reload::new(path.to_owned(), env, &text)))
}

/// In the journal each error is an entry of its own, so that `journalctl -p err` has them.
#[expect(clippy::print_stderr, reason = "there is no logging before it is set up")]
fn refuse(problems: &Problems) -> Exit {
    if logging::is_to_journal() && logging::init("info").is_ok() {
        for problem in problems.to_string().lines() {
            tracing::error!(event = "configuration_invalid", "{problem}");
        }
        logging::flush();
    } else {
        eprintln!("{problems}");
    }
    Exit::Config
}

fn run_with(config: Config, reload: Reload) -> Exit {
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
    notify::status("opening the spool");
    let daemon = match Daemon::start(config) {
        Ok(daemon) => daemon,
        Err(error) => {
            tracing::error!(event = "start_failed", error = chain(&error), "cannot start");
            return error.exit();
        }
    };
    notify::ready();
    let outcome = signals.watch(&daemon.watch(), reload, || daemon.wait());
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
