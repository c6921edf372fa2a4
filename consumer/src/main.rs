//! The program: arguments, configuration, logging, run, exit code.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use spillway_consumer::{Config, Control, CopiesTold, Summary, Until, run};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::settings::{self, Environment, Problems};
use spillway_service::{logging, manual, units};

mod compact_command;
mod rebuild_command;
mod reload;
mod show_command;
mod status_line;
mod warden;

use reload::Reload;
use warden::Warden;

/// Turns a Kafka topic into tables of time windows, written as Parquet to a folder or to S3.
///
/// Events are counted in windows of event time. A window is written once, when it is complete, and
/// never changed. Progress is kept beside the tables, so the program can be stopped, killed and started
/// again at any time: nothing is lost and nothing is counted twice. Several of them with the same
/// configuration share the topic's partitions.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the topic and write the tables.
    ///
    /// Runs until SIGTERM or SIGINT. Windows that are open then are not written; the next start reads
    /// their events again. SIGHUP has the log level read again, and names what else has changed.
    Run {
        /// The configuration; spillway-consumer.toml in the source explains every setting.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Read what the topic holds now, close every window, print a summary, and end.
        ///
        /// For input that has an end; every member of the group should do it. An event that comes later for a window closed in this way is late.
        #[arg(long)]
        drain: bool,
    },
    /// Show a table: its newest periods, as a table, as bars, or as CSV.
    ///
    /// Reads the store only: final objects, each period once, in its newest version.
    Show(show_command::Arguments),
    /// Count periods again with their late events, which the log has kept, and write new versions of them.
    ///
    /// What exists is not changed; docs/reading.md says how readers tell versions apart. Consumers may run meanwhile.
    Rebuild(rebuild_command::Arguments),
    /// Put the final objects of each day that is over together into one, beside them.
    ///
    /// Nothing is removed. Consumers may run meanwhile.
    Compact(compact_command::Arguments),
    /// Check a configuration and report every error in it, each with its line.
    ///
    /// Secrets are read; neither Kafka nor the store is contacted.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write the man pages and the shell completions of this program, for a package.
    #[command(hide = true)]
    Generate {
        /// The folder, which exists.
        dir: PathBuf,
    },
}

const EXIT_CODES: &str = "\
Exit codes:
   0  stopped as asked, or drained        73  the store cannot be used, or an object differs
   1  failed                              77  Kafka refuses the credentials or rights
  64  wrong arguments                     78  wrong configuration
  66  there is no such table or store, or Kafka has deleted what a rebuild needs
  71  the admin address is taken          75  another member has its instance_id";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_help = !error.use_stderr();
            let shown = error.print();
            return (if is_help && shown.is_ok() { Exit::Success } else { Exit::Usage }).into();
        }
    };
    let exit = match arguments.command {
        Command::Run { config, drain } => run_command(&config, drain),
        Command::Show(arguments) => show_command::run(arguments),
        Command::Rebuild(arguments) => rebuild_command::run(arguments),
        Command::Compact(arguments) => compact_command::run(arguments),
        Command::Check { config } => check_command(&config),
        Command::Generate { dir } => match manual::write(Arguments::command(), &dir) {
            Ok(()) => Exit::Success,
            Err(error) => complain(&format!("cannot write to {}: {error}", dir.display()), Exit::CannotWrite),
        },
    };
    logging::flush();
    exit.into()
}

fn check_command(path: &Path) -> Exit {
    match Config::read(path, &Environment::of_process()) {
        Ok(config) => {
            let windows = config.tables.iter().map(|table| table.name.as_str());
            let tables: Vec<_> = windows.chain(config.archives.iter().map(|a| a.name.as_str())).collect();
            let store = &config.store.url;
            for warning in config.warnings() {
                complain(&format!("warning: {warning}"), Exit::Success);
            }
            show(&format!(
                "{} is good: topic {} to {} in {store}",
                path.display(),
                config.topic,
                tables.join(", ")
            ))
        }
        Err(problems) => complain(&problems.to_string(), Exit::Config),
    }
}

fn run_command(path: &Path, drain: bool) -> Exit {
    let (config, reload) = match read_to_run(path) {
        Ok(read) => read,
        Err(problems) => return refuse(&problems),
    };
    if let Err(error) = logging::init(&config.log_level) {
        return complain(&chain(&error), Exit::Failed);
    }
    run_with(config, reload, drain)
}

fn read_to_run(path: &Path) -> Result<(Config, Reload), Problems> {
    let (env, text) = (Environment::of_process(), settings::read_text(path)?);
    let config = Config::parse(&path.display().to_string(), &text, &env)?;
    Ok((config, Reload::new(path.to_owned(), env, &text)))
}

/// In the journal each error is an entry of its own, so that `journalctl -p err` has them.
fn refuse(problems: &Problems) -> Exit {
    if !logging::is_to_journal() || logging::init("info").is_err() {
        return complain(&problems.to_string(), Exit::Config);
    }
    for problem in problems.to_string().lines() {
        tracing::error!(event = "configuration_invalid", "{problem}");
    }
    Exit::Config
}

fn run_with(config: Config, reload: Reload, drain: bool) -> Exit {
    for warning in config.warnings() {
        tracing::warn!(event = "configuration_warning", "{warning}");
    }
    let control = Control::new();
    if drain {
        control.drain();
    }
    if let Err(error) = Warden::start(control.clone(), reload) {
        tracing::error!(event = "start_failed", %error, "cannot listen to signals");
        return Exit::Failed;
    }
    match run(config, &control) {
        Ok(summary) if summary.ended == Until::Drained => show(&report(&summary)),
        Ok(Summary { progress, .. }) => {
            tracing::info!(
                event = "stopped",
                read = progress.read,
                late = progress.late,
                objects = progress.objects,
                "stopped"
            );
            Exit::Success
        }
        Err(error) if control.watch().status().is_none() => {
            tracing::error!(event = "start_failed", error = chain(&error), "cannot start");
            error.exit()
        }
        Err(error) => {
            tracing::error!(event = "run_failed", error = chain(&error), "cannot go on");
            error.exit()
        }
    }
}

/// What a drained run came to, for people.
fn report(summary: &Summary) -> String {
    let counted = &summary.progress;
    let figures = [
        ("records read", counted.read),
        ("events counted", counted.events),
        ("duplicates", counted.duplicates),
        ("late", counted.late),
        ("quarantined", counted.quarantined),
        ("notices", counted.notices),
        ("read again", counted.replayed),
        ("deleted unread", counted.missed),
    ];
    let mut lines: Vec<_> =
        figures.iter().map(|(name, n)| format!("{name:<16}{:>14}", units::show_count(*n))).collect();
    for table in &summary.tables {
        let count = units::show_count;
        let (objects, rows, found) = (count(table.objects), count(table.rows), count(table.objects_found));
        lines.push(format!(
            "table {}: {objects} objects with {rows} rows written, {found} found",
            table.table
        ));
    }
    lines.join("\n")
}

/// What a command's notifications came to, when there were any.
fn told(told: CopiesTold) -> Option<String> {
    let (delivered, owed) = (units::show_count(told.delivered), units::show_count(told.owed));
    match told {
        CopiesTold { delivered: 0, owed: 0 } => None,
        CopiesTold { owed: 0, .. } => Some(format!("notifications taken {delivered}")),
        _ => Some(format!("notifications taken {delivered}, not taken {owed}: the next run sends them")),
    }
}

fn show(text: &str) -> Exit {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Exit::Success,
        // Nobody listens, which is not a failure of the run.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(_) => Exit::Failed,
    }
}

/// Says on standard error what is wrong; when even that fails, the exit code has to do.
fn complain(text: &str, exit: Exit) -> Exit {
    writeln!(std::io::stderr(), "{text}").map_or(Exit::Failed, |()| exit)
}
