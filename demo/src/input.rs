//! What is served, how much of it, and where in it the outage begins.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;
use spillway_testkit::oracle::{Dedup, Kind, Recount, Sent};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{Feed, Tap};

use crate::args::Args;
use crate::error::Error;
use crate::posts::Posts;

/// The length of the windows of most tables.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);
/// The length of the windows of `happiest_hashtags`.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
/// Made-up posts are spread over this much event time: a dozen windows.
const SPAN: Duration = Duration::from_secs(3600);
/// The last made-up post is this old, so that none is from the future.
const AGE: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) feed: Feed,
    /// Whole lines that will be served.
    pub(crate) records: u64,
    /// The outage begins when this many are served.
    pub(crate) outage_at: u64,
    /// How far event times go back behind a later one, at most.
    pub(crate) disorder: Duration,
    /// From the earliest to the latest event time.
    pub(crate) span: Duration,
}

impl Input {
    pub(crate) fn open(args: &Args, now: DateTime<Utc>) -> Result<Self, Error> {
        match &args.input {
            Some(path) => Self::recording(path),
            None => Ok(Self::generated(args.records, args.seed, now)),
        }
    }

    fn generated(records: u64, seed: u64, now: DateTime<Utc>) -> Self {
        let options = tweets::Options::ending_at((now - AGE).timestamp_millis(), SPAN, records);
        let tweets = Generator::new(seed, options).take(usize::try_from(records).unwrap_or(usize::MAX));
        let disorder = Duration::from_millis(tweets::SKEW_MS_MAX) + Duration::from_secs(1);
        Self { feed: Feed::tweets(tweets), records, outage_at: records / 3, disorder, span: SPAN + disorder }
    }

    fn recording(path: &Path) -> Result<Self, Error> {
        let body = std::fs::read(path).map_err(|source| Error::Input { path: path.to_owned(), source })?;
        let whole = body.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        let lines = whole.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(Error::NothingToServe { path: path.to_owned() });
        }
        let records = lines.len() as u64;
        let (disorder, span) = times(lines.iter().filter_map(|line| created_at(line)));
        Ok(Self {
            feed: Feed::recording(Bytes::from(body)),
            records,
            outage_at: records.div_ceil(2),
            disorder,
            span,
        })
    }
}

/// The event time of a record; what is none has none.
fn created_at(line: &[u8]) -> Option<DateTime<Utc>> {
    let value: Value = serde_json::from_slice(line).ok()?;
    Some(DateTime::parse_from_rfc3339(value.pointer("/data/created_at")?.as_str()?).ok()?.to_utc())
}

/// The greatest step back behind the latest time so far, and the whole span.
fn times(times: impl Iterator<Item = DateTime<Utc>>) -> (Duration, Duration) {
    let (mut first, mut last): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = (None, None);
    let mut disorder = Duration::ZERO;
    for time in times {
        let latest = last.map_or(time, |last| last.max(time));
        disorder = disorder.max((latest - time).to_std().unwrap_or_default());
        first = Some(first.map_or(time, |first| first.min(time)));
        last = Some(latest);
    }
    let span = first.zip(last).and_then(|(first, last)| (last - first).to_std().ok());
    (disorder, span.unwrap_or_default())
}

/// All that was wholly served, noted while it is served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) sent: Vec<Sent>,
    pub(crate) bytes: u64,
    pub(crate) recount: Recount,
    pub(crate) posts: Posts,
}

/// Shared with the upstream's thread.
#[derive(Debug, Clone)]
pub(crate) struct Ledger(Arc<Mutex<Served>>);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Served {
            sent: Vec::new(),
            bytes: 0,
            recount: Recount::new(WINDOW, Dedup::ById),
            posts: Posts::default(),
        })))
    }

    /// Notes every record that the upstream has wholly written.
    pub(crate) fn tap(&self) -> Tap {
        let ledger = self.clone();
        Box::new(move |line| {
            let mut served = ledger.lock();
            served.bytes += line.len() as u64;
            if served.recount.add(line) == Kind::Event {
                served.posts.add(line);
            }
            served.sent.push(Sent::of(line));
        })
    }

    /// Each record is noted in one go; after a panic the demo fails anyway.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Served> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_recording_is_measured_by_its_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.ndjson");
        let line = |at: &str| format!("{{\"data\":{{\"created_at\":\"2026-01-01T{at}Z\"}}}}\r\n");
        let body =
            [&line("00:10:00"), "\r\n", &line("00:00:00"), "{\"errors\":[]}\n", &line("00:12:00"), "{\"torn"];
        std::fs::write(&path, body.concat()).unwrap();
        let input = Input::recording(&path).unwrap();
        assert_eq!((input.records, input.outage_at), (4, 2));
        assert_eq!((input.disorder.as_secs(), input.span.as_secs()), (600, 720));
    }

    #[test]
    fn a_recording_without_a_whole_line_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.ndjson");
        std::fs::write(&path, "\r\n{\"torn").unwrap();
        assert!(matches!(Input::recording(&path), Err(Error::NothingToServe { .. })));
        assert!(matches!(Input::recording(&dir.path().join("none")), Err(Error::Input { .. })));
    }

    #[test]
    fn made_up_posts_are_from_the_last_hour_and_never_from_the_future() {
        let now = time("2026-05-01T12:00:00Z");
        let options = tweets::Options::ending_at((now - AGE).timestamp_millis(), SPAN, 300);
        let times: Vec<_> =
            Generator::new(1, options).take(300).filter_map(|t| created_at(&t.line)).collect();
        assert_eq!(times.len(), 300);
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*last <= now - AGE, "{last}");
        assert!(*first >= now - AGE - SPAN - Duration::from_secs(7), "{first}");
        assert_eq!(Input::generated(300, 1, now).outage_at, 100);
    }

    #[test]
    fn what_is_served_is_noted() {
        let ledger = Ledger::new();
        let mut tap = ledger.tap();
        tap(br#"{"data":{"id":"1","author_id":"2","created_at":"2026-01-01T00:07:00.000Z"}}"#);
        tap(br#"{"errors":[]}"#);
        let served = ledger.lock();
        assert_eq!((served.sent.len(), served.bytes), (2, 88));
        assert_eq!((served.recount.events, served.recount.notices), (1, 1));
    }
}
