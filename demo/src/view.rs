//! Shows what is going on: on a terminal a few lines that are redrawn, below the story so far; else one
//! plain line a second. It only looks; nothing depends on it.

mod live;
mod plain;
mod rates;

use std::time::Duration;

use crate::facts::Facts;
use crate::paint::Paint;
use live::Live;
use plain::Plain;
use rates::Rates;

/// How the brokers are, as the demo has made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brokers {
    Up,
    /// Since this moment.
    Down(Duration),
}

/// What is said of a thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Plain,
    Good,
    Warn,
    Bad,
}

/// See the module.
pub(crate) struct View {
    paint: Paint,
    rates: Rates,
    output: Output,
}

enum Output {
    Live(Live),
    Plain(Plain),
}

impl View {
    pub(crate) fn new(paint: Paint, total: u64) -> Self {
        let output = if paint.is_terminal() {
            Output::Live(Live::new(total, paint))
        } else {
            Output::Plain(Plain::default())
        };
        Self { paint, rates: Rates::default(), output }
    }

    /// Something happened at `elapsed` since the demo began.
    pub(crate) fn say(&mut self, elapsed: Duration, mood: Mood, text: &str) {
        let text = match mood {
            Mood::Plain => text.to_owned(),
            Mood::Good => self.paint.good(text),
            Mood::Warn => self.paint.warn(text),
            Mood::Bad => self.paint.bad(text),
        };
        let line = format!("{}  {text}", self.paint.dim(&format!("{:>6.1} s", elapsed.as_secs_f64())));
        match &self.output {
            Output::Live(live) => live.say(&line),
            Output::Plain(_) => plain::say(&line),
        }
    }

    /// The state now. To be called several times a second.
    pub(crate) fn show(&mut self, facts: &Facts, brokers: Brokers) {
        let rates = self.rates.update(facts);
        match &mut self.output {
            Output::Live(live) => live.show(facts, rates, brokers),
            Output::Plain(plain) => plain.show(facts, rates, brokers),
        }
    }

    /// Takes the redrawn lines away; what was said stays.
    pub(crate) fn close(&self) {
        if let Output::Live(live) = &self.output {
            live.close();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // An error message must not end up between the bars.
        self.close();
    }
}
