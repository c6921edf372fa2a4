//! From framed messages to lines: notices are taken out, ids read, repeated records recognised, gaps and
//! lag measured. The same for all services; pure but for the log. Times are unix milliseconds.

use bytes::Bytes;
use serde::Serialize;

use super::gaps::{Coverage, Gap, Gaps, Moment};
use super::notices::{Dialect, KINDS, Notice, Told};
use super::overlap::{Overlap, Seen};
use super::reconnect::Cause;
use super::{Line, event_time};
use crate::pointer::{Pointer, extract};

/// Ids that are remembered: minutes of the busiest streams, in about 6 MB.
const OVERLAP_IDS: usize = 100_000;
/// Longest id that is taken over from the upstream; a longer one is as none.
const ID_BYTES_MAX: usize = 1024;
/// Mastodon's type of event for the edit of a status, and where the time of the edit is.
const EDIT: &[u8] = b"status.update";
const EDITED: &str = "/edited_at";

/// What of a message is looked at.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The source's name, for the log.
    pub source: String,
    /// Pointer to the id.
    pub id: Option<Pointer>,
    /// Pointer to the time.
    pub time: Option<Pointer>,
    /// Whether the type of an event becomes a part of its id.
    pub ids_by_type: bool,
    /// Whose notices are looked for.
    pub notices: Dialect,
    /// Whether notices are produced like data, too.
    pub produce_notices: bool,
}

/// What the intake counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records that an earlier connection had given already; not emitted again.
    pub duplicates: u64,
    /// Messages that are no data, by [`super::notices::Kind::ALL`].
    pub notices: [u64; KINDS],
    /// Messages without data.
    pub empty: u64,
    /// Spans of which nothing was received and nothing will be.
    pub gaps: u64,
    /// How long they are together.
    pub gap_ms: u64,
    /// The last one.
    pub last_gap: Option<Gap>,
    /// From the time of the newest record to its receipt; negative when its clock is ahead.
    pub lag_ms: Option<i64>,
}

/// A record from which the time can be told: where a gap would begin.
#[derive(Debug)]
struct Fresh {
    data: Bytes,
    is_edit: bool,
}

/// Turns messages into lines.
#[derive(Debug)]
pub struct Intake {
    reading: Reading,
    overlap: Overlap,
    told: Told,
    gaps: Gaps,
    /// The newest record that was not given before, since [`Intake::newest`].
    fresh: Option<Fresh>,
    announced: Option<Cause>,
    tally: Tally,
}

impl Intake {
    /// An intake; `last_received_ms` is when an earlier run received its last record.
    #[must_use]
    pub fn new(reading: Reading, last_received_ms: Option<i64>) -> Self {
        Self {
            reading,
            overlap: Overlap::new(OVERLAP_IDS),
            told: Told::default(),
            gaps: Gaps::after(last_received_ms),
            fresh: None,
            announced: None,
            tally: Tally::default(),
        }
    }

    /// What it counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When the last record was received.
    #[must_use]
    pub fn last_received_ms(&self) -> Option<i64> {
        self.gaps.last_received_ms()
    }

    /// A new connection, and what it gives of the time between.
    pub fn connected(&mut self, coverage: Coverage) {
        self.announced = None;
        self.overlap.connected();
        if let Some(gap) = self.gaps.connected(coverage) {
            self.missing(gap);
        }
    }

    /// What the upstream announced for the end of this connection.
    #[must_use]
    pub fn announced(&self) -> Option<Cause> {
        self.announced
    }

    /// Takes a message with its event type, empty for none. Returns a line unless it is no data or was
    /// there before.
    pub fn take(&mut self, name: &[u8], data: Bytes, now_ms: i64) -> Option<Line> {
        if self.is_empty(&data) {
            return None;
        }
        if let Some(notice) = self.reading.notices.recognise(name, &data) {
            self.notice(&notice);
            if !self.reading.produce_notices {
                return None;
            }
        }
        let id = self.id(name, &data);
        self.new_line(name, id, data, now_ms)
    }

    /// As [`Self::take`], for a message whose id the source has read itself, and that is no notice.
    pub fn take_known(&mut self, id: Option<String>, data: Bytes, now_ms: i64) -> Option<Line> {
        let id = id.filter(|id| id.len() <= ID_BYTES_MAX);
        if self.is_empty(&data) { None } else { self.new_line(b"", id, data, now_ms) }
    }

    fn is_empty(&mut self, data: &[u8]) -> bool {
        self.tally.empty += u64::from(data.is_empty());
        data.is_empty()
    }

    /// A line, unless an earlier connection gave it.
    fn new_line(&mut self, name: &[u8], id: Option<String>, data: Bytes, now_ms: i64) -> Option<Line> {
        let seen = id.as_ref().map_or(Seen::First, |id| self.overlap.note(id));
        if seen == Seen::Earlier {
            self.tally.duplicates += 1;
            return None;
        }
        let is_edit = self.reading.ids_by_type && name == EDIT;
        if self.gaps.is_open() {
            let moment = self.moment(&data, is_edit, now_ms);
            if let Some(gap) = self.gaps.first(moment) {
                self.missing(gap);
            }
        }
        if seen == Seen::First {
            // Shares the record's memory.
            self.fresh = Some(Fresh { data: data.clone(), is_edit });
        }
        Some(Line { bytes: data, id, cursor: None })
    }

    /// The messages of a chunk are all taken: the newest record tells the lag, and where a gap would begin.
    /// One that the connection had given before tells neither.
    pub fn newest(&mut self, now_ms: i64) {
        let Some(Fresh { data, is_edit }) = self.fresh.take() else { return };
        let moment = self.moment(&data, is_edit, now_ms);
        if let Some(event_ms) = moment.event_ms {
            self.tally.lag_ms = Some(now_ms.saturating_sub(event_ms));
        }
        self.gaps.record(moment);
    }

    fn moment(&self, data: &[u8], is_edit: bool, received_ms: i64) -> Moment {
        // An edit has the time of what it edits, too, which may be long ago.
        let edited = if is_edit { Pointer::parse(EDITED) } else { None };
        let [text] = extract(data, [edited.as_ref().or(self.reading.time.as_ref())]);
        Moment { event_ms: text.and_then(|text| event_time::parse_ms(&text)), received_ms }
    }

    fn id(&self, name: &[u8], data: &[u8]) -> Option<String> {
        let pointer = self.reading.id.as_ref()?;
        let [id] = extract(data, [Some(pointer)]);
        let id = id.filter(|id| !id.is_empty())?;
        let id = match name {
            _ if !self.reading.ids_by_type => id,
            b"" | b"message" | b"update" => id,
            EDIT => {
                // Each edit of a status is a record of its own.
                let [edited] = extract(data, [Pointer::parse(EDITED).as_ref()]);
                format!("status.update:{id}:{}", edited.unwrap_or_default())
            }
            b"notification" => format!("notification:{id}"),
            // A conversation and an announcement come again under their id whenever they change, and of
            // a type that is not known nobody can say.
            _ => return None,
        };
        (id.len() <= ID_BYTES_MAX).then_some(id)
    }

    fn notice(&mut self, notice: &Notice) {
        self.tally.notices[notice.kind as usize] += 1;
        self.announced = notice.announces.or(self.announced);
        if !self.told.is_news(&notice.title) {
            return;
        }
        let (source, kind, title) = (&self.reading.source, notice.kind.name(), &notice.title);
        if notice.announces.is_some() {
            tracing::warn!(event = "source_disconnect_announced", %source, kind, title, "the upstream announces a disconnect");
        } else {
            tracing::info!(event = "source_notice", %source, kind, title, "the upstream sent a message that is no data; others of the kind are only counted");
        }
    }

    /// A span is missing that the source has found itself.
    pub fn missing(&mut self, gap: Gap) {
        self.tally.gaps += 1;
        self.tally.gap_ms += gap.length_ms();
        self.tally.last_gap = Some(gap);
        let (source, Gap { from_ms, to_ms }) = (&self.reading.source, gap);
        tracing::warn!(event = "source_gap", %source, from_ms, to_ms, missing_ms = gap.length_ms(), "what the upstream served in this span was not received, and it cannot serve it again");
    }
}

#[cfg(test)]
mod tests {
    use super::super::notices::Kind;
    use super::*;

    fn intake(notices: Dialect, id: &str, time: &str) -> Intake {
        let reading = Reading {
            source: "test".into(),
            id: Pointer::parse(id),
            time: Pointer::parse(time),
            ids_by_type: notices == Dialect::Mastodon,
            notices,
            produce_notices: false,
        };
        Intake::new(reading, None)
    }

    fn take(intake: &mut Intake, name: &str, data: &str, now_ms: i64) -> Option<Line> {
        let line = intake.take(name.as_bytes(), Bytes::copy_from_slice(data.as_bytes()), now_ms);
        intake.newest(now_ms);
        line
    }

    #[test]
    fn a_resume_repeats_nothing_that_was_there_before() {
        let mut intake = intake(Dialect::None, "/id", "/t");
        intake.connected(Coverage::Full);
        for n in 0..10 {
            assert!(take(&mut intake, "", &format!("{{\"id\":{n}}}"), 0).is_some());
        }
        intake.connected(Coverage::Full);
        let passed: Vec<_> =
            (5..15).filter(|n| take(&mut intake, "", &format!("{{\"id\":{n}}}"), 0).is_some()).collect();
        assert_eq!(passed, [10, 11, 12, 13, 14]);
        assert_eq!((intake.tally().duplicates, intake.tally().gaps), (5, 0));
    }

    #[test]
    fn the_missing_span_is_that_of_the_events() {
        let mut intake = intake(Dialect::None, "/id", "/t");
        intake.connected(Coverage::None);
        take(&mut intake, "", r#"{"id":1,"t":1690617099000}"#, 1_690_617_099_250);
        assert_eq!(intake.tally().lag_ms, Some(250));
        intake.connected(Coverage::None);
        take(&mut intake, "", r#"{"id":2,"t":1690617107000}"#, 1_690_617_108_000);
        let tally = intake.tally();
        assert_eq!((tally.gaps, tally.gap_ms, tally.lag_ms), (1, 8000, Some(1000)));
    }

    #[test]
    fn what_a_connection_repeats_does_not_move_the_beginning_of_a_gap() {
        let mut intake = intake(Dialect::None, "/id", "/t");
        intake.connected(Coverage::None);
        for n in [1, 2, 3, 1] {
            let text = format!("{{\"id\":{n},\"t\":169061709900{n}}}");
            assert!(take(&mut intake, "", &text, 0).is_some());
        }
        intake.connected(Coverage::None);
        take(&mut intake, "", r#"{"id":9,"t":1690617099009}"#, 0);
        let span = intake.tally().last_gap.map(|gap| (gap.from_ms, gap.to_ms));
        assert_eq!(span, Some((1_690_617_099_003, 1_690_617_099_009)));
    }

    #[test]
    fn an_edit_has_the_time_of_the_edit() {
        let mut intake = intake(Dialect::Mastodon, "/id", "/created_at");
        intake.connected(Coverage::None);
        let edit = r#"{"id":"1","created_at":"2020-01-01T00:00:00Z","edited_at":"2023-07-29T07:51:39Z"}"#;
        take(&mut intake, "status.update", edit, 1_690_617_099_250);
        assert_eq!(intake.tally().lag_ms, Some(250));
    }

    #[test]
    fn notices_are_counted_and_are_no_lines_unless_asked_for() {
        let mut intake = intake(Dialect::Mastodon, "/id", "/created_at");
        intake.connected(Coverage::None);
        assert_eq!(take(&mut intake, "delete", "117024236332527350", 0), None);
        assert_eq!(take(&mut intake, "filters_changed", "undefined", 0), None);
        assert_eq!(take(&mut intake, "update", "", 0), None);
        assert!(take(&mut intake, "a.new.type", "x", 0).is_some());
        let tally = intake.tally();
        assert_eq!(tally.notices[Kind::Delete as usize], 1);
        assert_eq!((tally.notices[Kind::FiltersChanged as usize], tally.empty), (1, 1));
        intake.reading.produce_notices = true;
        assert!(take(&mut intake, "delete", "1", 0).is_some());
    }

    #[test]
    fn an_edit_and_a_notification_are_no_repetition_of_a_status() {
        let mut intake = intake(Dialect::Mastodon, "/id", "/created_at");
        let mut id = |name: &str, data: &str| {
            intake.connected(Coverage::None);
            take(&mut intake, name, data, 0).map(|line| line.id.unwrap_or_default())
        };
        assert_eq!(id("update", r#"{"id":"6"}"#).as_deref(), Some("6"));
        assert_eq!(
            id("status.update", r#"{"id":"6","edited_at":"A"}"#).as_deref(),
            Some("status.update:6:A")
        );
        assert_eq!(
            id("status.update", r#"{"id":"6","edited_at":"B"}"#).as_deref(),
            Some("status.update:6:B")
        );
        assert_eq!(id("notification", r#"{"id":"6"}"#).as_deref(), Some("notification:6"));
        assert_eq!(id("update", r#"{"id":"6"}"#), None);
    }

    #[test]
    fn what_comes_again_under_its_id_whenever_it_changes_is_no_repetition() {
        let mut intake = intake(Dialect::Mastodon, "/id", "/created_at");
        for unread in [true, false] {
            intake.connected(Coverage::None);
            for name in ["conversation", "announcement", "a.new.type"] {
                let line = take(&mut intake, name, &format!(r#"{{"id":"6","unread":{unread}}}"#), 0);
                assert_eq!(line.map(|line| line.id), Some(None), "{name}");
            }
        }
    }

    #[test]
    fn kinds_are_counted_by_their_place() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
