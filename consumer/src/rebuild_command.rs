//! The program's command `rebuild`: its arguments, and what they ask of the library.

use std::path::PathBuf;

use clap::Args;
use spillway_consumer::rebuild::{Copies, Rebuild, RebuildError, Rebuilt, rebuild};
use spillway_consumer::{Config, Micros};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::logging;
use spillway_service::settings::Environment;
use spillway_service::units::show_count;

use crate::show_command::moment;
use crate::{complain, show, told};

/// What the command is given.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The table; may be given several times.
    #[arg(long = "table", value_name = "TABLE", required = true)]
    tables: Vec<String>,
    /// Periods that begin at or after this, as 2021-06-01 or 2021-06-01T00:35:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Micros,
    /// Periods that begin before this.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Micros,
    /// Do not read Kafka for copies of events that were counted: a copy that came late counts again.
    ///
    /// For topics whose records Kafka has deleted meanwhile, or that have no copies.
    #[arg(long)]
    count_copies: bool,
}

pub(crate) fn run(arguments: Arguments) -> Exit {
    let config = match Config::read(&arguments.config, &Environment::of_process()) {
        Ok(config) => config,
        Err(problems) => return complain(&problems.to_string(), Exit::Config),
    };
    if let Err(error) = logging::init(&config.log_level) {
        return complain(&chain(&error), Exit::Config);
    }
    let copies = if arguments.count_copies { Copies::NotLookedFor } else { Copies::AskKafka };
    let Arguments { tables, from, to, .. } = arguments;
    match rebuild(&config, &Rebuild { tables, from, to, copies }) {
        Ok(rebuilt) => show(&report(&rebuilt)),
        Err(error) => complain(&chain(&error), exit(&error)),
    }
}

fn exit(error: &RebuildError) -> Exit {
    match error {
        RebuildError::Tables(_) | RebuildError::Notify(_) => Exit::Config,
        RebuildError::NoTable { .. } | RebuildError::Archive { .. } => Exit::Usage,
        RebuildError::Store(_)
        | RebuildError::Log(_)
        | RebuildError::Periods(_)
        | RebuildError::Encode { .. }
        | RebuildError::Foreign { .. } => Exit::CannotWrite,
        RebuildError::Deleted { .. } => Exit::NoInput,
        RebuildError::Kafka(_) | RebuildError::Silent { .. } | RebuildError::Runtime(_) => Exit::Failed,
    }
}

fn report(rebuilt: &Rebuilt) -> String {
    let copies = show_count(rebuilt.copies);
    let mut lines = vec![format!("late events {}, of them copies {copies}", show_count(rebuilt.late))];
    for table in &rebuilt.tables {
        let (periods, unchanged) = (show_count(table.periods), show_count(table.unchanged));
        lines.push(format!(
            "table {}: {periods} periods in a new version, {unchanged} unchanged",
            table.table
        ));
        if table.incomplete > 0 {
            let incomplete = show_count(table.incomplete);
            lines.push(format!("  {incomplete} not counted again: the table was defined otherwise then"));
        }
        lines.extend(table.objects.iter().map(|object| format!("  {object}")));
    }
    lines.extend(told(rebuilt.told));
    lines.join("\n")
}
