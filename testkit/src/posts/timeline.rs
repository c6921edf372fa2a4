//! How many posts there are at a moment, and what each of them is. Pure: the clocks come in as arguments.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};

/// So many posts follow the last one.
pub const CLOSING: u64 = 600;
/// So much later they are dated.
pub const CLOSING_AHEAD: Duration = Duration::from_secs(30 * 60);

/// Numbers of authors.
const AUTHORS: u64 = 97;

/// Posts from number 1 on, so many a second.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Posts a second.
    rate: u64,
    /// One moment by both clocks; the second one in milliseconds since 1970.
    began: Option<(Instant, i64)>,
    /// The last post before the closing ones.
    last: Option<u64>,
}

impl Timeline {
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), began: None, last: None }
    }

    /// The posts begin, if they have not begun before. `now` and `now_ms` are the same moment.
    pub(super) fn begin(&mut self, now: Instant, now_ms: i64) {
        self.began.get_or_insert((now, now_ms));
    }

    /// No more posts but the closing ones; the number of the last one, which stays what it is.
    pub(super) fn end(&mut self, now: Instant, now_ms: i64) -> u64 {
        self.begin(now, now_ms);
        let newest = self.newest(now);
        *self.last.get_or_insert(newest)
    }

    /// The number of the newest post; 0 before the first.
    pub(super) fn newest(&self, now: Instant) -> u64 {
        if let Some(last) = self.last {
            return last + CLOSING;
        }
        let passed = self.began.map_or(Duration::ZERO, |(began, _)| now.saturating_duration_since(began));
        u64::try_from(passed.as_nanos() * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// When a post comes that is newer than the newest; `None` when none does.
    pub(super) fn due(&self, number: u64) -> Option<Instant> {
        let (Some((began, _)), None) = (self.began, self.last) else { return None };
        let nanos = (u128::from(number) * 1_000_000_000).div_ceil(u128::from(self.rate));
        began.checked_add(Duration::from_nanos(u64::try_from(nanos).ok()?))
    }

    /// A post as X's v2 API writes it.
    pub(super) fn post(&self, number: u64) -> String {
        let author = number % AUTHORS;
        format!(
            r#"{{"data":{{"id":"{number}","created_at":"{}","author_id":"{author}","text":"post {number}"}}}}"#,
            self.created_at(number)
        )
    }

    /// When it came, in RFC 3339 with milliseconds; closing ones say a later time.
    fn created_at(&self, number: u64) -> String {
        let after_ms = u128::from(number) * 1_000 / u128::from(self.rate);
        let closes = self.last.is_some_and(|last| number > last);
        let ahead_ms = if closes { CLOSING_AHEAD.as_millis() } else { 0 };
        let began_ms = self.began.map_or(0, |(_, ms)| ms);
        let at_ms = began_ms.saturating_add(i64::try_from(after_ms + ahead_ms).unwrap_or(i64::MAX));
        // The default is the year 1970, for times that chrono cannot express.
        let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
        at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// 2026-01-01T00:00:00Z
    const NEW_YEAR_MS: i64 = 1_767_225_600_000;

    #[test]
    fn posts_come_at_the_rate_from_the_beginning_on() {
        let now = Instant::now();
        let mut timeline = Timeline::new(200);
        assert_eq!((timeline.newest(now), timeline.due(1)), (0, None));
        timeline.begin(now, NEW_YEAR_MS);
        timeline.begin(now + 900 * MS, 0);
        let at = |ms| timeline.newest(now + ms * MS);
        assert_eq!([at(0), at(4), at(5), at(1_000), at(3_600_000)], [0, 0, 1, 200, 720_000]);
    }

    #[test]
    fn a_post_is_there_when_it_is_due_and_not_before() {
        let now = Instant::now();
        for rate in [1, 3, 7, 200, 999, 30_000] {
            let mut timeline = Timeline::new(rate);
            timeline.begin(now, NEW_YEAR_MS);
            for number in [1, 2, 10, 1_001, 123_457] {
                let due = timeline.due(number).unwrap();
                assert_eq!(timeline.newest(due), number, "{rate} a second");
                assert_eq!(timeline.newest(due - Duration::from_nanos(1)), number - 1, "{rate} a second");
            }
        }
    }

    #[test]
    fn a_post_follows_from_its_number() {
        let mut timeline = Timeline::new(200);
        timeline.begin(Instant::now(), NEW_YEAR_MS);
        let wanted = r#"{"data":{"id":"301","created_at":"2026-01-01T00:00:01.505Z","author_id":"10","text":"post 301"}}"#;
        assert_eq!(timeline.post(301), wanted);
    }

    #[test]
    fn the_end_closes_with_later_posts_and_changes_no_earlier_one() {
        let now = Instant::now();
        let mut timeline = Timeline::new(200);
        timeline.begin(now, NEW_YEAR_MS);
        let earlier = timeline.post(1_000);
        assert_eq!(timeline.end(now + 5_000 * MS, 0), 1_000);
        assert_eq!(timeline.end(now + 6_000 * MS, 0), 1_000, "it stays the same");
        assert_eq!(timeline.newest(now + 60_000 * MS), 1_000 + CLOSING);
        assert_eq!(timeline.due(1_001 + CLOSING), None);
        assert_eq!(timeline.post(1_000), earlier);
        assert!(timeline.post(1_001).contains(r#""created_at":"2026-01-01T00:30:05.005Z""#));
    }

    #[test]
    fn a_stream_that_nobody_read_can_be_ended() {
        let mut timeline = Timeline::new(200);
        assert_eq!(timeline.end(Instant::now(), NEW_YEAR_MS), 0);
        assert!(timeline.post(200).contains(r#""created_at":"2026-01-01T00:30:01.000Z""#));
    }
}
