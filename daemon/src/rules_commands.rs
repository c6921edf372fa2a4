//! `spillwayd rules …`: shows and changes the rules of X's filtered stream.

mod show;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use spillway_daemon::Config;
use spillway_daemon::config::{HttpConfig, SourceKind};
use spillway_daemon::rules::{self, Account, AccountError, ApplyError, Complaint, Owner, Plan, TooMany};
use spillway_daemon::sources::notices::Dialect;
use spillway_daemon::sources::service::Framing;
use spillway_service::errors::chain;
use spillway_service::exit::Exit;

use crate::cli::{RulesCommand, RulesTarget};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the configuration is wrong")]
    Config,
    #[error("rules belong to X's filtered stream, and no such source reads one over HTTP")]
    NoAccount,
    #[error("there are several sources; say with --source which one reads X's stream")]
    SeveralSources,
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("nothing was changed: X refuses {0} of the rules")]
    Rehearsal(usize),
    #[error("nothing was changed; repeat it with --yes")]
    NotConfirmed,
    #[error("the account does not have the configuration's rules; run plan to see what is left")]
    NotDone(#[source] Option<ApplyError>),
    #[error("cannot start the I/O runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write the answer")]
    Write(#[from] io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Config | Self::NoAccount => Exit::Config,
            Self::Account(error) | Self::NotDone(Some(ApplyError::Account(error))) => error.exit(),
            Self::NotConfirmed | Self::SeveralSources => Exit::Usage,
            // The reader of a pipe, such as head, has seen enough.
            Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            _ => Exit::Failed,
        }
    }
}

/// Runs the command; the answer goes to standard output, an error to standard error.
#[expect(clippy::print_stderr, reason = "the answer of a command")]
pub(crate) fn run(command: &RulesCommand) -> Exit {
    let mut out = io::stdout().lock();
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(execute(command, &mut out)),
        Err(error) => Err(Failure::Runtime(error)),
    };
    done.unwrap_or_else(|failure| {
        // The configuration's problems are told already, each with its line.
        if failure.exit() != Exit::Success && !matches!(failure, Failure::Config) {
            eprintln!("spillwayd: {}", chain(&failure));
        }
        failure.exit()
    })
}

async fn execute(command: &RulesCommand, out: &mut dyn Write) -> Result<Exit, Failure> {
    match command {
        RulesCommand::List { place, json } => {
            let rules = account(&read(&place.config)?, place.source.as_deref())?.list().await?;
            if *json {
                show::rules_json(&rules, out)?
            } else {
                show::rules(&rules, out)?
            }
            Ok(Exit::Success)
        }
        RulesCommand::Plan { target, json } => {
            let config = read(&target.place.config)?;
            let plan = plan(&config, &account(&config, target.place.source.as_deref())?, target).await?;
            if *json {
                show::plan_json(&plan, out)?
            } else {
                show::plan(&plan, &target.place.config, out)?
            }
            plan.steps(&config.rules, false)?;
            Ok(if plan.is_empty() { Exit::Success } else { Exit::Changes })
        }
        RulesCommand::Apply { target, yes, at_once } => apply(target, *yes, *at_once, out).await,
    }
}

async fn apply(target: &RulesTarget, yes: bool, at_once: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let config = read(&target.place.config)?;
    let account = account(&config, target.place.source.as_deref())?;
    let before = plan(&config, &account, target).await?;
    show::plan(&before, &target.place.config, out)?;
    if before.is_empty() {
        return Ok(Exit::Success);
    }
    show::steps(&before.steps(&config.rules, at_once)?, out)?;
    rehearse(&account, &before, &config, target, out).await?;
    if !yes && !is_confirmed(out)? {
        return Err(Failure::NotConfirmed);
    }
    let applied = rules::apply(&account, &before, &config.rules, at_once, &mut show::waiting).await;
    if let Err(error) = applied {
        show::complaints(error.complaints(), &config.rules.rules, &target.place.config, out)?;
        return Err(Failure::NotDone(Some(error)));
    }
    // What X has now is looked up, not assumed.
    let after = plan(&config, &account, target).await?;
    if !after.is_empty() {
        show::plan(&after, &target.place.config, out)?;
        return Err(Failure::NotDone(None));
    }
    show::done(&before, &after, out)?;
    Ok(Exit::Success)
}

async fn rehearse(
    account: &Account,
    plan: &Plan,
    config: &Config,
    target: &RulesTarget,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let complaints: Vec<Complaint> = match rules::rehearse(account, plan).await {
        Ok(complaints) => complaints,
        Err(ApplyError::Account(error)) => return Err(error.into()),
        Err(error) => return Err(Failure::NotDone(Some(error))),
    };
    if complaints.is_empty() {
        return Ok(());
    }
    show::complaints(&complaints, &config.rules.rules, &target.place.config, out)?;
    Err(Failure::Rehearsal(complaints.len()))
}

async fn plan(config: &Config, account: &Account, target: &RulesTarget) -> Result<Plan, Failure> {
    let owner = Owner::new(&config.rules, target.prune);
    Ok(Plan::new(&config.rules.rules, &account.list().await?, &owner))
}

fn read(path: &Path) -> Result<Config, Failure> {
    crate::read(path).ok_or(Failure::Config)
}

/// The account of the source that reads X's stream: the one of that name, or the only one it can be.
fn account(config: &Config, name: Option<&str>) -> Result<Account, Failure> {
    let named = config.sources.iter().filter(|source| name.is_none_or(|name| source.name == name));
    let mut streams: Vec<&HttpConfig> = named
        .filter_map(|source| match &source.kind {
            SourceKind::Http(http) if http.framing == Framing::Ndjson => Some(&**http),
            SourceKind::Http(_) | SourceKind::Socket(_) | SourceKind::File(_) => None,
        })
        .collect();
    let is_x = |http: &&HttpConfig| http.service.notices == Dialect::X;
    if streams.iter().any(is_x) {
        streams.retain(is_x);
    }
    match streams[..] {
        [http] => Ok(Account::new(http)?),
        [] => Err(Failure::NoAccount),
        _ => Err(Failure::SeveralSources),
    }
}

/// Asks on the terminal; where there is none, nobody can say yes.
fn is_confirmed(out: &mut dyn Write) -> io::Result<bool> {
    let input = io::stdin();
    if !input.is_terminal() || !io::stdout().is_terminal() {
        return Ok(false);
    }
    write!(out, "Do this? Only \"yes\" does: ")?;
    out.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
