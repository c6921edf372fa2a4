//! The services that the daemon knows, each with its fake upstream: a row a service. One daemon reads all
//! of them at once, each into a topic of its own, while everything goes wrong with the upstreams that can;
//! then every topic is judged by what its upstream did ([`crate::oracle::sources`]).
//!
//! The tests of the quick tier (mock Kafka, few faults) and of the slow one (a real cluster, many) differ
//! in the cluster and in the numbers only.

mod fake;
mod run;
mod upstreams;

use std::collections::BTreeMap;
use std::time::Duration;

pub use fake::Fake;
pub use run::{Failure, Outcome, run};
pub use upstreams::{Case, Upstreams};

use crate::services::jetstream::{self, Jetstream};
use crate::services::mastodon::Mastodon;
use crate::services::sse::Sse;
use crate::services::wikimedia::Wikimedia;
use crate::services::x::X;
use crate::services::{Faults, Growth, Measure, Options, Service, StartError};

/// What the fakes ask for a token with, where one is needed.
const TOKEN: &str = "a-token-of-the-test";
/// The daemon's own limit of a record.
const USUAL_MAX: usize = 1 << 20;
/// The signs of life of all fakes.
const KEEP_ALIVE: Duration = Duration::from_millis(200);
/// From one fault to the next on average, in records.
const APART: u64 = 20;
/// Records a second of a service that serves whole minutes again.
const BACKFILL_RATE: u64 = 10;

/// A service, as the daemon is told of it, and its fake.
#[derive(Debug)]
pub struct Preset {
    /// The source's name, and its topic.
    pub name: &'static str,
    /// `type` in the configuration.
    service: &'static str,
    /// More lines of its `[[source]]`; `{token}` stands for a file with the token.
    config: &'static str,
    /// What the service gives again.
    pub again: Again,
    /// The longest record that the daemon is to take of it.
    pub record_max: usize,
    start: fn(&Weather) -> Result<Started, StartError>,
}

/// What a service gives again to a client that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing.
    Nothing,
    /// The minutes that are asked for.
    Minutes,
    /// All behind the place that is asked for; the daemon keeps it across restarts.
    Place,
}

/// A fake that was started, and what goes wrong with it, by kind.
type Started = (Box<dyn Fake>, BTreeMap<&'static str, usize>);

/// All of them.
pub static PRESETS: [Preset; 8] = [
    Preset {
        name: "x_filtered_stream",
        service: "x_filtered_stream",
        config: "bearer_token_file = '{token}'\nmax_record_bytes = '12MiB'\n",
        again: Again::Nothing,
        record_max: 12 << 20,
        start: |weather| {
            let x = X { token: Some(TOKEN.to_owned()), ..X::default() };
            weather.started(x.start(weather.options())?)
        },
    },
    // For accounts that may ask for the minutes that they missed.
    Preset {
        name: "x_with_backfill",
        service: "x_filtered_stream",
        config: "bearer_token_file = '{token}'\nbackfill = true\n",
        again: Again::Minutes,
        record_max: USUAL_MAX,
        start: |weather| {
            let backfill = Some(Duration::from_secs(60));
            let x = X { token: Some(TOKEN.to_owned()), backfill, ..X::default() };
            let weather = weather.for_backfill();
            weather.started(x.start(weather.options())?)
        },
    },
    Preset {
        name: "wikimedia",
        service: "wikimedia",
        config: "reconnect_max = '1s'\n",
        again: Again::Place,
        record_max: USUAL_MAX,
        start: |weather| weather.started(Wikimedia::default().start(weather.options())?),
    },
    Preset {
        name: "mastodon",
        service: "mastodon",
        config: "reconnect_max = '1s'\nbearer_token_file = '{token}'\n",
        again: Again::Nothing,
        record_max: USUAL_MAX,
        start: |weather| {
            let mastodon = Mastodon { token: Some(TOKEN.to_owned()), ..Mastodon::default() };
            weather.started(mastodon.start(weather.options())?)
        },
    },
    Preset {
        name: "http_sse",
        service: "http_sse",
        config: "reconnect_max = '1s'\nid = '/id'\ntime = '/time'\nmax_record_bytes = '12MiB'\n",
        again: Again::Place,
        record_max: 12 << 20,
        start: |weather| {
            let sse = Sse { line_end: "\r\n", bom: true, ..Sse::default() };
            weather.started(sse.start(weather.options())?)
        },
    },
    Preset {
        name: "bluesky_jetstream",
        service: "bluesky_jetstream",
        config: "reconnect_max = '1s'\n",
        again: Again::Place,
        record_max: USUAL_MAX,
        start: |weather| weather.jetstream(jetstream::Options::default()),
    },
    // The same events over a WebSocket that is asked for nothing: no place to go on from. Every event has a time of
    // its own, but only commits have keys.
    Preset {
        name: "websocket",
        service: "websocket",
        config: "reconnect_max = '1s'\nid = '/time_us'\ntime = '/time_us'\n",
        again: Again::Nothing,
        record_max: USUAL_MAX,
        start: |weather| {
            weather.jetstream(jetstream::Options { resumable: false, jitter_us: 0, ..Default::default() })
        },
    },
    // EventStreams gives lines, too; they have no ids, so nothing can be resumed by them.
    Preset {
        name: "http_ndjson",
        service: "http_ndjson",
        config: "reconnect_max = '1s'\nid = '/meta/id'\ntime = '/meta/dt'\n",
        again: Again::Nothing,
        record_max: USUAL_MAX,
        start: |weather| {
            let lines = Wikimedia { overlap: 0, canary_every: 0 };
            weather.started(lines.start(weather.options())?)
        },
    },
];

/// What an upstream has before it.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Draws the records.
    pub seed: u64,
    /// Records a second, whether anybody listens or not.
    pub rate: u64,
    /// What goes wrong.
    pub faults: Faults,
}

impl Weather {
    /// `faults` random faults of the seed; `big` is the size of a large record in bytes.
    #[must_use]
    pub fn rough(seed: u64, faults: usize, big: usize) -> Self {
        // A 401 costs a minute: one in 200 faults.
        let denials = faults / 200;
        let measure = Measure { apart: APART, big, denials, ..Measure::default() };
        Self { seed, rate: 300, faults: Faults::random(seed, faults, &measure) }
    }

    /// A Jetstream with as many faults, of its own kinds.
    fn jetstream(&self, more: jetstream::Options) -> Result<Started, StartError> {
        let usual = Measure::default();
        let mut faults = jetstream::random(self.seed, self.faults.0.len(), APART, usual.stall);
        for fault in &mut faults {
            // A resume begins with a second of what is known: often nothing new comes before the next fault, and
            // after one 429 after the other the client rightly waits for minutes.
            if matches!(fault.kind, jetstream::Kind::Refuse { status: 429, .. }) {
                fault.kind = jetstream::Kind::Refuse { status: 503, times: 1, retry_after_s: Some(1) };
            }
        }
        let mut tally = BTreeMap::new();
        faults.iter().for_each(|fault| *tally.entry(fault.kind.name()).or_default() += 1);
        let options = jetstream::Options {
            growth: jetstream::Growth::Rate(self.rate),
            seed: self.seed,
            faults,
            ping_every: Some(KEEP_ALIVE),
            ..more
        };
        Ok((Box::new(Jetstream::start(options)?), tally))
    }

    /// A minute comes again at each connection: fewer records. A connection that gives only what is known is
    /// followed by ever longer waits, so fewer faults, too. No jumps in time: by its time the client tells
    /// whether a record is new.
    fn for_backfill(&self) -> Self {
        let mut faults = self.faults.clone().in_time();
        faults.0.truncate((faults.0.len() / 10).max(10));
        Self { rate: BACKFILL_RATE, faults, ..self.clone() }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last word of a row's start, which may fail")]
    fn started(&self, service: Service) -> Result<Started, StartError> {
        Ok((Box::new(service), self.faults.tally()))
    }

    fn options(&self) -> Options {
        Options {
            growth: Growth::Rate(self.rate),
            seed: self.seed,
            faults: self.faults.clone(),
            keep_alive: KEEP_ALIVE,
            ..Options::default()
        }
    }
}
