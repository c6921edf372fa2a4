//! Where a Jetstream goes on: which instance, with which cursor, and whether something is missing.
//! Pure; the clock comes in as an argument.
//!
//! The cursor is the latest `time_us` so far, not the last one: an instance's times do not rise strictly
//! (seen: 33 ms back), it serves in its own order, and it begins at the first event that is not older
//! than the cursor. Everything after the event with the latest time comes again or comes new.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_service::secret::Address;

use super::Settings;

/// How far the cursor is set back at the same instance: well over what its times go back.
const SAME_REWIND_US: u64 = 1_000_000;
/// Smaller cursors mean something else to the service: a sequence number.
const CURSOR_US_MIN: u64 = 1_000_000_000_000_000;
/// A time that is this far in the future is no place to go on from: the service would take it as "now",
/// and what comes until then would be missed.
const AHEAD_US_MAX: u64 = 60_000_000;

/// Where a stream goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The latest `time_us` so far, unix microseconds.
    pub time_us: u64,
    /// Whose time that is: host, and port if it is not the usual one.
    pub host: String,
}

/// A span of which the service had nothing any more, or of which nothing was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The latest event before it, unix microseconds.
    pub from_us: u64,
    /// The first event after it.
    pub to_us: u64,
}

impl Gap {
    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_micros(self.to_us.saturating_sub(self.from_us))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Resume {
    settings: Settings,
    /// The instance that is used.
    index: usize,
    place: Option<Place>,
    /// Whether `place` is the time of an event, and not only of a clock.
    is_exact: bool,
    /// The first event of this connection has to be no later than this, or there is a gap.
    expected: Option<Expected>,
}

#[derive(Debug, Clone, Copy)]
struct Expected {
    from_us: u64,
    slack_us: u64,
}

impl Resume {
    /// Goes on at `place`, with its instance if it is still one of the settings'.
    #[must_use]
    pub fn new(settings: Settings, place: Option<Place>) -> Self {
        let index = place.as_ref().and_then(|place| {
            (0..settings.instances.len()).find(|index| settings.host(*index) == place.host)
        });
        let is_exact = place.is_some();
        Self { settings, index: index.unwrap_or(0), place, is_exact, expected: None }
    }

    /// Where it would go on now. At first the place it was made with.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref().filter(|_| self.is_exact)
    }

    /// The instance that is used.
    #[must_use]
    pub fn host(&self) -> String {
        self.settings.host(self.index)
    }

    /// The address for the next attempt, at `now_us`.
    #[must_use]
    pub fn address(&mut self, now_us: u64) -> Address {
        self.expected = None;
        let Some(place) = &self.place else {
            // The tip. If this connection ends before anything came, the next one begins here.
            self.place = Some(Place { time_us: now_us, host: String::new() });
            return self.settings.address(self.index, None);
        };
        let rewind_us = match place.host == self.host() {
            true => SAME_REWIND_US,
            false => micros(self.settings.rewind),
        };
        if self.is_exact {
            self.expected = Some(Expected { from_us: place.time_us, slack_us: rewind_us });
        }
        let cursor = place.time_us.saturating_sub(rewind_us).max(CURSOR_US_MIN);
        self.settings.address(self.index, Some(cursor))
    }

    /// An event with this time has come at `now_us`. A gap is told once for each connection.
    pub fn take(&mut self, time_us: u64, now_us: u64) -> Option<Gap> {
        if time_us < CURSOR_US_MIN {
            return None;
        }
        let expected = self.expected.take();
        let gap = expected.filter(|expected| time_us > expected.from_us.saturating_add(expected.slack_us));
        let host = self.host();
        let before = self.place.as_ref().filter(|place| place.host == host).map_or(0, |place| place.time_us);
        let latest = time_us.max(before);
        let is_ahead = latest > now_us.saturating_add(AHEAD_US_MAX);
        let time = if is_ahead { now_us.max(CURSOR_US_MIN) } else { latest };
        match &mut self.place {
            Some(place) if place.host == host => place.time_us = time,
            place => *place = Some(Place { time_us: time, host }),
        }
        self.is_exact = true;
        gap.map(|expected| Gap { from_us: expected.from_us, to_us: time_us })
    }

    /// A connection has ended or was not made. After one that worked the same instance is tried again, as
    /// that needs the smallest rewind; else the next one has its turn.
    pub fn failed(&mut self, worked: bool) {
        if !worked && !self.settings.instances.is_empty() {
            self.index = (self.index + 1) % self.settings.instances.len();
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
