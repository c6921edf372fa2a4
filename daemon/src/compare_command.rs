//! `spillwayd compare A B`: opens the inputs, shows how far the reading is, and prints the report.

mod show;

use std::io::{self, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use spillway_daemon::Config;
use spillway_daemon::compare::{
    CompareError, FileInput, Input, InputError, Options, Progress, Side, TopicInput, compare,
};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::logging;

use crate::cli::CompareCommand;

/// What a topic's name begins with, to tell it from a file's.
const TOPIC: &str = "kafka://";
/// A bar that moves every so many records costs nothing.
const BAR_EVERY: u64 = 1024;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the configuration is wrong")]
    Config,
    #[error("{0} needs the brokers' addresses: give a configuration with --config")]
    NoConfig(String),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error("cannot write the answer")]
    Write(#[from] io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Config => Exit::Config,
            Self::NoConfig(_) => Exit::Usage,
            Self::Compare(CompareError::NoPointer(_) | CompareError::NoIds { .. }) => Exit::Usage,
            Self::Compare(CompareError::Input(error)) => match error {
                InputError::File { .. } | InputError::NotRegular(_) => Exit::NoInput,
                InputError::Topic { .. } | InputError::NoTopic(_) | InputError::Stalled { .. } => {
                    Exit::Unreachable
                }
            },
            Self::Write(_) => Exit::Failed,
        }
    }
}

/// Runs the command; the answer goes to standard output, an error to standard error.
#[expect(clippy::print_stderr, reason = "the answer of a command")]
pub(crate) fn run(command: &CompareCommand) -> Exit {
    match execute(command) {
        Ok(exit) => exit,
        // The configuration's problems are told already, each with its line.
        Err(Failure::Config) => Exit::Config,
        Err(failure) => {
            eprintln!("spillwayd: {}", chain(&failure));
            failure.exit()
        }
    }
}

fn execute(command: &CompareCommand) -> Result<Exit, Failure> {
    let config = match &command.config {
        Some(path) => Some(crate::read(path).ok_or(Failure::Config)?),
        None => None,
    };
    if config.is_some() {
        // What a Kafka client has to say. A second logger would be the only reason to fail, and is none.
        let _ = logging::init("warn");
    }
    let (mut a, mut b) = (open(&command.a, config.as_ref())?, open(&command.b, config.as_ref())?);
    let options = Options {
        id: command.id.clone(),
        time: command.time.clone(),
        window: command.window,
        common_span: command.common_span,
    };
    let mut bars = Bars::default();
    let report = compare([&mut *a, &mut *b], &options, &mut |side, progress| bars.show(side, progress))?;
    bars.clear();
    let mut out = io::stdout().lock();
    let written = match command.json {
        true => show::json(&report, &mut out),
        false => show::text(&report, command.common_span, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        // The reader of a pipe, such as head, has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.same { Exit::Success } else { Exit::Failed })
}

fn open(name: &str, config: Option<&Config>) -> Result<Box<dyn Input>, Failure> {
    let Some(topic) = name.strip_prefix(TOPIC) else {
        return Ok(Box::new(FileInput::open(Path::new(name)).map_err(CompareError::from)?));
    };
    let config = config.ok_or_else(|| Failure::NoConfig(name.to_owned()))?;
    Ok(Box::new(TopicInput::open(&config.kafka.settings, topic).map_err(CompareError::from)?))
}

/// One bar for each reading, on standard error if that is a terminal.
#[derive(Default)]
struct Bars {
    current: Option<(Side, ProgressBar)>,
    done: u64,
    calls: u64,
}

impl Bars {
    fn show(&mut self, side: Side, progress: Progress) {
        self.calls += 1;
        let is_current = self.current.as_ref().is_some_and(|(shown, _)| *shown == side);
        let is_new = !is_current || progress.done < self.done;
        self.done = progress.done;
        if !is_new && !self.calls.is_multiple_of(BAR_EVERY) {
            return;
        }
        if is_new {
            self.clear();
            self.current = Some((side, bar(side, progress)));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(progress.done);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(side: Side, Progress { total, is_bytes, .. }: Progress) -> ProgressBar {
    let figures = if is_bytes { "{bytes} of {total_bytes}" } else { "{human_pos} of {human_len} records" };
    let template = format!("reading {side:?} {{bar:30}} {figures}  {{eta}} left");
    let bar = ProgressBar::new(total);
    // A template that indicatif refuses leaves its own default: still legible.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
