//! The program's command `compact`: its arguments, and what they ask of the library.

use std::path::PathBuf;

use clap::Args;
use spillway_consumer::compact::{Compact, CompactError, Compacted, compact};
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
    /// A table of windows; may be given several times. All of them without it.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Only days that begin at or after this, as 2021-06-01.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Micros>,
    /// Only days that begin before this.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Micros>,
}

pub(crate) fn run(arguments: Arguments) -> Exit {
    let config = match Config::read(&arguments.config, &Environment::of_process()) {
        Ok(config) => config,
        Err(problems) => return complain(&problems.to_string(), Exit::Config),
    };
    if let Err(error) = logging::init(&config.log_level) {
        return complain(&chain(&error), Exit::Config);
    }
    let Arguments { tables, from, to, .. } = arguments;
    let days = Some((from.unwrap_or(Micros::MIN), to.unwrap_or(Micros::MAX)));
    match compact(&config, &Compact { tables, days }) {
        Ok(compacted) => show(&report(&compacted)),
        Err(error) => complain(&chain(&error), exit(&error)),
    }
}

fn exit(error: &CompactError) -> Exit {
    match error {
        CompactError::Tables(_) | CompactError::Notify(_) => Exit::Config,
        CompactError::NoTable { .. } | CompactError::Archive { .. } => Exit::Usage,
        CompactError::Runtime(_) => Exit::Failed,
        CompactError::Store(_)
        | CompactError::Log(_)
        | CompactError::Write(_)
        | CompactError::Periods(_)
        | CompactError::Encode { .. }
        | CompactError::Differs { .. } => Exit::CannotWrite,
    }
}

fn report(compacted: &Compacted) -> String {
    let written = compacted.days.len() as u64;
    let (written, found) = (show_count(written), show_count(compacted.found));
    let mut lines = vec![format!(
        "days put together {written}, done before {found}, not over {}",
        show_count(compacted.open)
    )];
    for day in &compacted.days {
        let (objects, rows) = (show_count(day.objects), show_count(day.rows));
        lines.push(format!("  {}: {objects} objects with {rows} rows", day.object));
    }
    lines.extend(told(compacted.told));
    lines.join("\n")
}
