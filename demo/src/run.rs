//! The demo from beginning to end: sets the stage, plays the story, waits for everyone to finish, looks
//! for what was lost.

use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

use spillway_daemon::circuit::State as Breaker;
use spillway_daemon::health::Change;
use spillway_service::units::{show_count, show_duration};
use spillway_testkit::kafka::Mock;

use crate::args::{Args, TRUSTED_RATE_MAX};
use crate::config;
use crate::error::Error;
use crate::facts::{Facts, breaker_name};
use crate::folder::Folder;
use crate::input::{Input, Ledger};
use crate::paint::Paint;
use crate::report::{Course, Report};
use crate::services::{Services, Stage};
use crate::story::{Act, Story};
use crate::tables::Tables;
use crate::verify::verify;
use crate::view::{Brokers, Mood, View};

/// How often the facts are looked at.
const TICK: Duration = Duration::from_millis(40);
/// How long nothing may move, outside of the outage, before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A cause is cut off after this many characters, so that it fits on a line of a terminal.
const CAUSE_CHARS: usize = 66;

/// Runs the demo. The report is returned, not yet written; and the cluster, which still holds the topic.
pub(crate) fn run(args: &Args, paint: Paint) -> Result<(Report, Folder, Mock), Error> {
    let input = Input::open(args, chrono::Utc::now())?;
    let folder = Folder::claim(&args.out)?;
    log_to_file(&folder)?;
    let mut view = View::new(paint, input.records);
    view.say(Duration::ZERO, Mood::Plain, &opening(args, &input));
    let delivery = format!("order {}, journal {}", args.order.name(), args.journal.name());
    view.say(Duration::ZERO, Mood::Plain, &delivery);
    warn(args, &input, &mut view);
    let ledger = Ledger::new();
    let stage = set_stage(args, &folder, &input, &mut view)?;
    let services = Services::start(stage, args, &folder, input, &ledger)?;
    let mut play = Play::new(args, services, view);
    play.tell()?;
    let (course, services) = play.finish()?;
    let (ended, cluster) = services.end()?;
    let served = ledger.lock();
    let tables = Tables::read(&folder.store())?;
    let verified = verify(&served, &ended.topic, &tables);
    Ok((Report::new(args, course, &served, ended, &tables, verified), folder, cluster))
}

/// What the daemon and the consumer log goes to a file: the terminal shows the story.
fn log_to_file(folder: &Folder) -> Result<(), Error> {
    let path = folder.log();
    let file = File::create(&path).map_err(|source| Error::Write { path, source })?;
    // Fails only if a logger is there already, and then that one is used.
    let _ = tracing_subscriber::fmt()
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .with_target(false)
        .try_init();
    Ok(())
}

fn opening(args: &Args, input: &Input) -> String {
    let what = match &args.input {
        Some(path) => format!("{} records of {}", show_count(input.records), path.display()),
        None => format!("{} posts (seed {})", show_count(input.records), args.seed),
    };
    let outage = match args.outage {
        Duration::ZERO => "no outage".to_owned(),
        outage => format!("all brokers down for {}", show_duration(outage)),
    };
    format!("{what} at {}/s, {outage}", show_count(args.rate))
}

fn warn(args: &Args, input: &Input, view: &mut View) {
    if args.rate > TRUSTED_RATE_MAX {
        let text = format!(
            "above {}/s the in-process cluster may forget records unread: losses shown may be its own",
            show_count(TRUSTED_RATE_MAX)
        );
        view.say(Duration::ZERO, Mood::Warn, &text);
    }
    if config::is_too_disordered(args.order, input) {
        view.say(
            Duration::ZERO,
            Mood::Warn,
            "the recording is further out of order than windows stay open: some events will be late",
        );
    }
}

/// Starts the cluster and waits until the consumer has its partitions.
fn set_stage(args: &Args, folder: &Folder, input: &Input, view: &mut View) -> Result<Stage, Error> {
    let mut stage = Stage::set(args, folder, input)?;
    view.say(
        stage.elapsed(),
        Mood::Plain,
        "Kafka is up: 3 brokers, in-process; the consumer joins its group",
    );
    while !stage.is_ready() {
        stage.check()?;
        if stage.elapsed() > PATIENCE {
            let state = "it owns no partitions yet".to_owned();
            return Err(Error::Stalled {
                waiting_for: "the consumer joins its group",
                patience: PATIENCE,
                state,
            });
        }
        std::thread::sleep(TICK);
    }
    view.say(stage.elapsed(), Mood::Plain, "the consumer reads 12 partitions; the stream begins");
    Ok(stage)
}

/// The story while it is told.
struct Play {
    services: Services,
    view: View,
    story: Story,
    brokers: Brokers,
    /// Changes of the breaker that have been said.
    said: usize,
    course: Course,
}

impl Play {
    fn new(args: &Args, services: Services, view: View) -> Self {
        let story = Story::new(args.outage, args.journal, args.rate);
        Self { services, view, story, brokers: Brokers::Up, said: 0, course: Course::default() }
    }

    /// Until everything is delivered.
    fn tell(&mut self) -> Result<(), Error> {
        let mut patience = Patience::default();
        loop {
            self.services.check()?;
            let facts = self.look();
            match self.story.step(&facts) {
                Some(Act::End) => break,
                Some(act) => self.act(act, &facts)?,
                None => {}
            }
            // During the outage nothing need move.
            let held = self.brokers != Brokers::Up;
            patience.check(&facts, held, "records are delivered")?;
            std::thread::sleep(TICK);
        }
        let elapsed = self.services.facts().elapsed;
        self.view.say(elapsed, Mood::Good, "everything is delivered; the last windows close");
        Ok(())
    }

    /// Stops the daemon, then lets the consumer read to the end.
    fn finish(mut self) -> Result<(Course, Services), Error> {
        self.services.stop_daemon();
        self.wait("the daemon stops", Services::is_daemon_done)?;
        self.services.drain_consumer();
        self.wait("the consumer closes the last windows", Services::is_consumer_done)?;
        let facts = self.look();
        self.view.close();
        self.course.took = facts.elapsed;
        self.course.timeline = self.story.timeline();
        Ok((self.course, self.services))
    }

    fn wait(&mut self, what: &'static str, done: impl Fn(&Services) -> bool) -> Result<(), Error> {
        let mut patience = Patience::default();
        while !done(&self.services) {
            let facts = self.look();
            patience.check(&facts, false, what)?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Shows the facts and notes what is only seen in passing.
    fn look(&mut self) -> Facts {
        let facts = self.services.facts();
        self.say_changes(&facts);
        self.view.show(&facts, self.brokers);
        self.course.spool_peak_records = self.course.spool_peak_records.max(facts.spool_records);
        self.course.spool_peak_bytes = self.course.spool_peak_bytes.max(facts.spool_bytes);
        facts
    }

    fn act(&mut self, act: Act, facts: &Facts) -> Result<(), Error> {
        match act {
            Act::TakeBrokersDown => {
                self.course.down_unix_ms = Some(self.services.take_brokers_down()?);
                self.brokers = Brokers::Down(facts.elapsed);
                self.view.say(facts.elapsed, Mood::Bad, "all brokers are taken down");
            }
            Act::BringBrokersUp => {
                self.services.bring_brokers_up()?;
                self.brokers = Brokers::Up;
                let waiting = show_count(facts.spool_records);
                self.view.say(
                    facts.elapsed,
                    Mood::Good,
                    &format!("all brokers are back; {waiting} records wait on disk"),
                );
            }
            Act::GoOn => self.services.resume_feed(),
            Act::End => {}
        }
        Ok(())
    }

    fn say_changes(&mut self, facts: &Facts) {
        let changes = self.services.changes();
        for change in changes.iter().skip(self.said) {
            let mood = match change.to {
                Breaker::Closed => Mood::Good,
                Breaker::HalfOpen => Mood::Plain,
                Breaker::Open => Mood::Warn,
            };
            self.view.say(facts.elapsed, mood, &describe(change));
        }
        self.said = changes.len();
        if let Some(down) = self.course.down_unix_ms
            && self.course.detected.is_none()
        {
            let opened = changes.iter().find(|change| change.to == Breaker::Open && change.at_ms >= down);
            self.course.detected = opened.map(|change| Duration::from_millis(change.at_ms - down));
        }
    }
}

fn describe(change: &Change) -> String {
    let text =
        format!("breaker {} -> {}: {}", breaker_name(change.from), breaker_name(change.to), change.detail);
    // librdkafka's words are in the log in full.
    match text.char_indices().nth(CAUSE_CHARS) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text,
    }
}

/// Fails when nothing has moved for too long.
#[derive(Default)]
struct Patience {
    last: Option<Facts>,
}

impl Patience {
    /// `held` is when nothing need move.
    fn check(&mut self, facts: &Facts, held: bool, waiting_for: &'static str) -> Result<(), Error> {
        match &self.last {
            Some(last) if !held && last.motion() == facts.motion() => {
                if facts.elapsed.saturating_sub(last.elapsed) > PATIENCE {
                    return Err(Error::Stalled { waiting_for, patience: PATIENCE, state: facts.summary() });
                }
            }
            _ => self.last = Some(facts.clone()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::quiet;

    fn at(seconds: u64, served: u64) -> Facts {
        Facts { elapsed: Duration::from_secs(seconds), served, ..quiet() }
    }

    #[test]
    fn patience_ends_when_nothing_moves_but_not_in_an_outage() {
        let mut patience = Patience::default();
        assert!(patience.check(&at(0, 1), false, "x").is_ok());
        assert!(patience.check(&at(60, 1), false, "x").is_ok());
        let error = patience.check(&at(61, 1), false, "records are delivered").unwrap_err().to_string();
        assert!(
            error.starts_with("nothing has moved for 60 s while records are delivered; served 1 of 90"),
            "{error}"
        );
        assert!(patience.check(&at(200, 1), true, "x").is_ok());
        assert!(patience.check(&at(250, 1), false, "x").is_ok());
        assert!(patience.check(&at(259, 2), false, "x").is_ok());
        assert!(patience.check(&at(300, 2), false, "x").is_ok());
    }
}
