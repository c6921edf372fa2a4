//! Posts as X's v2 filtered stream delivers them, from a seed.
//!
//! What they have in common with the real thing: places of every type (cities with very uneven
//! activity, most posts without a place), retweets, replies and quotes, authors and hashtags of which
//! few are very active, a dozen languages, smiles, entities, metrics, matching rules, keys in varying
//! order, non-ASCII text both raw and escaped, 0.3 to 3 KiB a record, event times that lag and are
//! slightly out of order, ids that contain the time, and now and then the same post a second time.
//!
//! Event time runs on a simulated clock from `start`: on average `step` from one record to the next,
//! but in waves, so that some minutes are three times as busy as others. A post was created up to
//! [`SKEW_MS_MAX`] before it is delivered. Nothing here reads the real clock: equal seeds and options
//! give equal bytes.

mod compose;
mod render;
mod world;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::rng::{Rng, Weighted};
use compose::Composer;

/// A post is created at most this long before it is delivered.
pub const SKEW_MS_MAX: u64 = 5_000;

/// Records of one wave: in its first half half a step from one to the next, then one and a half.
const WAVE: u64 = 8_000;

/// A repeated post comes at most this many records after the first.
const REPEAT_DISTANCE: usize = 32;

/// What is generated.
#[derive(Debug, Clone)]
pub struct Options {
    /// Event time of the first record's delivery, in milliseconds since 1970.
    pub start_ms: i64,
    /// Event time from one record to the next on average, in microseconds. At least 4: below that,
    /// ids could repeat; smaller values are taken as 4.
    pub step_us: u64,
    /// Share of records that repeat a recent one byte for byte, as X does now and then.
    pub repeat_share: f64,
    /// Share of posts with a place. On X it is about 0.02 unless a rule asks for places.
    pub place_share: f64,
    /// How many people post.
    pub authors: u32,
}

impl Default for Options {
    /// 20 records a second of event time from 2026-01-01T00:00:00Z, 0.2 % of them repeated.
    fn default() -> Self {
        Self {
            start_ms: 1_767_225_600_000,
            step_us: 50_000,
            repeat_share: 0.002,
            place_share: 0.25,
            authors: 20_000,
        }
    }
}

impl Options {
    /// `records` spread over `span`, none of them after `end_ms` (milliseconds since 1970).
    #[must_use]
    pub fn ending_at(end_ms: i64, span: Duration, records: u64) -> Self {
        let span_us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self {
            start_ms: end_ms.saturating_sub(span_ms),
            step_us: span_us / records.max(1),
            ..Self::default()
        }
    }
}

/// One record of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tweet {
    /// `data.id`
    pub id: String,
    /// The record as it stands in the stream, without the line end.
    pub line: Bytes,
    /// It was delivered before.
    pub repeat: bool,
}

/// An endless stream of posts; `take(n)` what is needed.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    options: Options,
    composer: Composer,
    delivered: u64,
    recent: VecDeque<Tweet>,
}

impl Generator {
    /// The stream for `seed`.
    #[must_use]
    pub fn new(seed: u64, mut options: Options) -> Self {
        options.step_us = options.step_us.max(4);
        let composer = Composer::new(Weighted::zipf(options.authors.max(1), 20), options.place_share);
        Self { rng: Rng::new(seed), options, composer, delivered: 0, recent: VecDeque::new() }
    }

    fn clock_ms(&self) -> i64 {
        let passed_ms = half_steps(self.delivered) * u128::from(self.options.step_us) / 2_000;
        self.options.start_ms.saturating_add(i64::try_from(passed_ms).unwrap_or(i64::MAX))
    }

    fn compose(&mut self) -> Tweet {
        // Most are fresh, a few lag by seconds.
        let range = self.rng.below(SKEW_MS_MAX) + 1;
        let skew = self.rng.below(range);
        let created_ms = self.clock_ms().saturating_sub_unsigned(skew);
        let id = snowflake(created_ms, self.delivered);
        let post = self.composer.compose(&mut self.rng, id, created_ms);
        let line = render::render(&post, &mut self.rng);
        Tweet { id: id.to_string(), line: line.into(), repeat: false }
    }

    fn remember(&mut self, tweet: &Tweet) {
        if self.recent.len() == REPEAT_DISTANCE {
            self.recent.pop_front();
        }
        self.recent.push_back(tweet.clone());
    }
}

impl Iterator for Generator {
    type Item = Tweet;

    fn next(&mut self) -> Option<Tweet> {
        let repeated = self.rng.chance(self.options.repeat_share).then(|| self.rng.index(self.recent.len()));
        let tweet = match repeated.and_then(|i| self.recent.remove(i)) {
            // Taken out of the recent ones: nothing comes a third time.
            Some(tweet) => Tweet { repeat: true, ..tweet },
            None => {
                let tweet = self.compose();
                self.remember(&tweet);
                tweet
            }
        };
        self.delivered += 1;
        Some(tweet)
    }
}

/// Half steps of event time before record `number`: never more than two a record, and exactly that at
/// the end of each wave.
fn half_steps(number: u64) -> u128 {
    let (waves, within) = (u128::from(number / WAVE), u128::from(number % WAVE));
    let fast = within.min(u128::from(WAVE / 2));
    waves * 2 * u128::from(WAVE) + fast + 3 * (within - fast)
}

/// An id of X's form: milliseconds since its epoch, above 22 bits that tell records of the same
/// millisecond apart. Records that share those 22 bits are 2^22 records apart, which is at least 8 s:
/// more than the skew, so that no id repeats.
fn snowflake(created_ms: i64, number: u64) -> u64 {
    const EPOCH_MS: i64 = 1_288_834_974_657;
    let ms = u64::try_from(created_ms.saturating_sub(EPOCH_MS)).unwrap_or(0);
    (ms << 22) | (number & 0x3f_ffff)
}

#[cfg(test)]
mod tests;
