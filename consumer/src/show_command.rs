//! The program's command `show`: its arguments, and what they ask of the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use spillway_consumer::show::{Form, Show, ShowError, Span, parse_moment, show};
use spillway_consumer::store::{StoreSettings, StoreUrl};
use spillway_consumer::{Config, Micros};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::settings::Environment;
use spillway_service::units;

use crate::complain;

/// What the command is given.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The table; happiest_hashtags, for example.
    table: String,
    /// The configuration, for its store.
    #[arg(long, value_name = "FILE", required_unless_present = "store")]
    config: Option<PathBuf>,
    /// The store instead: a folder, or s3://bucket/prefix with the platform's role.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    store: Option<String>,
    /// The newest periods: as many as begin within this time.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h", conflicts_with = "from")]
    last: Duration,
    /// Periods that begin at or after this, as 2021-06-01 or 2021-06-01T00:35:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Micros>,
    /// With --from: periods that begin before this; all without it.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<Micros>,
    /// Bars of a column of numbers; of the first without a name. Of a table with groups, those of the newest period.
    #[arg(long, value_name = "COLUMN", num_args = 0..=1, default_missing_value = "", conflicts_with = "csv")]
    plot: Option<String>,
    /// CSV, whole.
    #[arg(long)]
    csv: bool,
    /// So many rows, the newest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    rows: usize,
}

fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text)
        .filter(|length| !length.is_zero())
        .ok_or_else(|| "use a length of time such as 90s, 15m, 6h or 7d".to_owned())
}

/// A moment of the command line.
pub(crate) fn moment(text: &str) -> Result<Micros, String> {
    parse_moment(text)
        .ok_or_else(|| "use a time in UTC such as 2021-06-01 or 2021-06-01T00:35:00Z".to_owned())
}

pub(crate) fn run(arguments: Arguments) -> Exit {
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err((text, exit)) => return complain(&text, exit),
    };
    let span = match arguments.from {
        Some(from) => Span::Between(from, arguments.to.unwrap_or(Micros::MAX)),
        None => Span::Last(arguments.last),
    };
    let form = match (arguments.csv, arguments.plot) {
        (true, _) => Form::Csv,
        (false, Some(column)) => Form::Plot { column: Some(column).filter(|column| !column.is_empty()) },
        (false, None) => Form::Table { rows_max: arguments.rows },
    };
    let request = Show { table: arguments.table, span, form };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let shown = show(&settings, &request, &mut out);
    match shown.and_then(|()| out.flush().map_err(ShowError::Output)) {
        Ok(()) => Exit::Success,
        // Nobody listens any more, which is no failure.
        Err(error) if error.is_closed() => Exit::Success,
        Err(error @ (ShowError::NoTable { .. } | ShowError::NoStore { .. })) => {
            complain(&chain(&error), Exit::NoInput)
        }
        Err(error @ ShowError::NoColumn { .. }) => complain(&chain(&error), Exit::Usage),
        Err(error) => complain(&chain(&error), Exit::Failed),
    }
}

fn settings(arguments: &Arguments) -> Result<StoreSettings, (String, Exit)> {
    if let Some(url) = &arguments.store {
        let url = StoreUrl::parse(url).map_err(|bad| (bad.to_string(), Exit::Usage))?;
        return Ok(StoreSettings { url, region: None, endpoint: None, access_key: None });
    }
    // Clap asks for one of the two.
    let path = arguments.config.clone().unwrap_or_default();
    let config = Config::read(&path, &Environment::of_process());
    config.map(|config| config.store).map_err(|problems| (problems.to_string(), Exit::Config))
}
