//! `spillwayd top`: watches a running daemon in a terminal. It reads `/status` each second, and `/history` when
//! it begins and after the daemon was away; it changes nothing.
//!
//! | file | what |
//! |---|---|
//! | `address.rs`, `ask.rs`, `seen.rs` | where the daemon is, how it is asked, what it says |
//! | `series.rs`, `model.rs`, `view.rs` | what is known of it, and how that is said: pure |
//! | `draw.rs`, `draw/`, `text.rs` | into a buffer, and from there to text |
//! | `screen.rs` | the terminal, its keys, and the loop |

mod address;
mod ask;
mod draw;
mod model;
mod screen;
mod seen;
mod series;
#[cfg(test)]
mod testing;
mod text;
mod view;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{FixedOffset, Local};
use clap::Args;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use spillway_daemon::config::ADMIN_LISTEN;
use spillway_service::errors::chain;
use spillway_service::exit::Exit;

use address::{Address, ConfigError, NoAddress};
use ask::{AskError, Asker, SetupError};
use draw::{Look, draw};
use model::Model;
use view::View;

/// Between the two looks of `--once`, for the rates.
const BETWEEN: Duration = Duration::from_secs(1);
/// Width where there is no terminal.
const WIDTH: u16 = 100;
/// Rows of `--once`; those at the end that are empty are left out.
const HEIGHT: u16 = 60;
/// How long a column of the plots of `--once` is.
const STEP_MS: u64 = 5_000;

#[derive(Debug, Args)]
pub(crate) struct TopCommand {
    /// Watch the daemon with this configuration: its admin.listen says where it answers.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Where the daemon answers: http://HOST:PORT, or unix:/PATH; default: http://127.0.0.1:9464.
    #[arg(long, value_name = "URL")]
    url: Option<Address>,
    /// Print one picture as text and end; without colours where standard output is no terminal.
    #[arg(long)]
    once: bool,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Address(#[from] NoAddress),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the daemon at {address} cannot be seen")]
    Away { address: Address, source: AskError },
    #[error("this is no terminal; --once prints one picture")]
    NoTerminal,
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    #[error("cannot write the answer")]
    Write(#[source] io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Config,
            Self::Address(_) | Self::NoTerminal => Exit::Usage,
            Self::Away { .. } => Exit::Unreachable,
            // The reader of a pipe, such as head, has seen enough.
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Setup(_) | Self::Terminal(_) | Self::Write(_) => Exit::Failed,
        }
    }
}

/// Runs the command.
pub(crate) fn run(command: TopCommand) -> Exit {
    match try_run(command) {
        Ok(()) => Exit::Success,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Success {
                // The terminal may be gone, and with it who would read this.
                let _ = writeln!(io::stderr(), "spillwayd: {}", chain(&failure));
            }
            exit
        }
    }
}

fn try_run(command: TopCommand) -> Result<(), Failure> {
    let address = match (command.url, command.config) {
        (Some(url), _) => url,
        (None, Some(config)) => Address::of_config(&config)?,
        (None, None) => ADMIN_LISTEN.parse()?,
    };
    let (asker, model) = (Asker::new(&address)?, Model::new(address.to_string()));
    let is_terminal = io::stdout().is_terminal();
    let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    if command.once {
        let picture = once(model, &asker, colours).map_err(|source| Failure::Away { address, source })?;
        return io::stdout().write_all(picture.as_bytes()).map_err(Failure::Write);
    }
    if !is_terminal || !io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    screen::watch(model, asker, colours).map_err(Failure::Terminal)
}

/// Two looks, for the rates, and one picture.
fn once(mut model: Model, asker: &Asker, coloured: bool) -> Result<String, AskError> {
    model.hear(asker.ask(model.wants_samples_after())?, now_ms());
    std::thread::sleep(BETWEEN);
    model.hear(asker.ask(None)?, now_ms());
    let width = ratatui::crossterm::terminal::size().map_or(WIDTH, |(width, _)| width.max(1));
    let mut buffer = Buffer::empty(Rect::new(0, 0, if coloured { width } else { WIDTH }, HEIGHT));
    let look = Look { colours: coloured, step_ms: STEP_MS, keys: false };
    draw(buffer.area, &mut buffer, &model, &View::of(&model, now_ms(), zone()), look);
    Ok(text::text(&buffer, coloured))
}

fn now_ms() -> u64 {
    spillway_daemon::ledger::unix_ms()
}

/// The zone of this machine now.
fn zone() -> FixedOffset {
    *Local::now().offset()
}
