//! Finding out, from names, headers and what the index and the checkpoint remember, what the log holds.
//!
//! Guarantees: every sequence number below the tail is in a segment, acknowledged, or counted as lost, exactly
//! once; the tail is never below anything that was ever reported as durable, so no number is used twice. The
//! files are not changed (except that a copy of damaged bytes is kept).

use std::fs::File;
use std::time::Duration;

use crate::books::SegmentInfo;
use crate::error::Error;
use crate::frame::Defect;
use crate::index::Change;
use crate::index_values::{FrameEntry, Summary};
use crate::indexer::Indexer;
use crate::layout::Layout;
use crate::quarantine;
use crate::recover::unknown_state;
use crate::segment;
use crate::state::State;
use crate::walk::{Damage, End, Met, Span, walk};

/// How long the index may take to answer or to take a change.
const INDEX_TIMEOUT: Duration = Duration::from_secs(10);

/// What was found.
pub(crate) struct Survey {
    pub(crate) segments: Vec<SegmentInfo>,
    /// Positions, counters and lost ranges as they are now.
    pub(crate) state: State,
    pub(crate) position_lost: bool,
    pub(crate) torn_bytes: u64,
    pub(crate) damages: u64,
    pub(crate) records_lost: u64,
    pub(crate) segments_missing: u64,
    pub(crate) segments_scanned: u64,
    /// There are frames, and the index knew none of them.
    pub(crate) index_was_empty: bool,
    /// The newest segment ends where the tail is, without damage behind its last frame.
    pub(crate) newest_is_sound: bool,
}

impl Survey {
    /// The segment that can be appended to.
    pub(crate) fn appendable(&self) -> Option<SegmentInfo> {
        let newest = self.segments.last().copied()?;
        (self.newest_is_sound && newest.end_seq == self.state.tail).then_some(newest)
    }

    /// Counts records as lost, if they are neither acknowledged nor counted already.
    fn lose(&mut self, from: u64, to: u64) -> u64 {
        let from = from.max(self.state.acknowledged);
        let lost = self.state.holes.add(from..to.max(from));
        if lost > 0 {
            self.damages += 1;
            self.records_lost += lost;
            self.state.counters.quarantined.frames += 1;
            self.state.counters.quarantined.records += lost;
        }
        lost
    }
}

/// Surveys the log. `known` is what checkpoint and index remember.
pub(crate) fn survey(
    layout: &Layout,
    indexer: &Indexer,
    spool_id: u32,
    known: Option<State>,
) -> Result<Survey, Error> {
    let files = segment::list(&layout.log)?;
    // A spool whose first segment is still empty had no position yet.
    let position_lost = known.is_none() && files.iter().any(|(first, len)| *first > 1 || *len > 0);
    let state = known.unwrap_or_else(|| unknown_state(files.first().map(|(first, _)| *first)));
    let summaries = indexer.ask(INDEX_TIMEOUT, |index| index.summaries()).unwrap_or_default();
    let last_indexed = indexer.ask(INDEX_TIMEOUT, |index| index.frame_at_or_before(u64::MAX)).flatten();
    let mut survey = Survey {
        segments: Vec::with_capacity(files.len() + 1),
        state,
        position_lost,
        torn_bytes: 0,
        damages: 0,
        records_lost: 0,
        segments_missing: 0,
        segments_scanned: 0,
        index_was_empty: last_indexed.is_none() && files.iter().any(|(_, len)| *len > 0),
        newest_is_sound: true,
    };
    let surveyor = Surveyor { layout, indexer, spool_id, summaries, last_indexed };
    surveyor.gap_before(&mut survey, files.first().map(|(first, _)| *first));
    for (index, (first, len)) in files.iter().enumerate() {
        match files.get(index + 1) {
            Some((bound, _)) => surveyor.closed(&mut survey, *first, *len, *bound),
            None => surveyor.newest(&mut survey, *first, *len),
        }
    }
    surveyor.settle_tail(&mut survey);
    Ok(survey)
}

struct Surveyor<'a> {
    layout: &'a Layout,
    indexer: &'a Indexer,
    spool_id: u32,
    summaries: Vec<Summary>,
    last_indexed: Option<FrameEntry>,
}

impl Surveyor<'_> {
    /// Records between the acknowledged position and the first segment are gone with their file.
    fn gap_before(&self, survey: &mut Survey, first: Option<u64>) {
        if let Some(first) = first {
            survey.segments_missing += u64::from(survey.lose(survey.state.acknowledged, first) > 0);
        }
    }

    /// A segment that another one follows.
    fn closed(&self, survey: &mut Survey, first: u64, len: u64, bound: u64) {
        let known =
            self.summaries.iter().find(|s| s.first_seq == first && s.len == len && s.end_seq <= bound);
        let info = match known {
            Some(s) => {
                SegmentInfo { first_seq: first, end_seq: s.end_seq, len, payload_bytes: s.payload_bytes }
            }
            // Done, and about to be deleted: not worth reading.
            None if bound <= survey.state.acknowledged => {
                SegmentInfo { first_seq: first, end_seq: bound, len, payload_bytes: 0 }
            }
            None => {
                let end = self.walk(survey, first, len, bound, u64::MAX);
                let mut end_seq = end.next_seq;
                if let Some((bytes, defect)) = end.rest.filter(|_| end.next_seq < bound) {
                    self.damaged(survey, first, &Damage { bytes, seqs: end.next_seq..bound, defect });
                    end_seq = bound;
                }
                let info = SegmentInfo { first_seq: first, end_seq, len, payload_bytes: end.payload_bytes };
                self.indexer.change_patiently(Change::Closed(info.summary()), INDEX_TIMEOUT);
                info
            }
        };
        survey.segments_missing += u64::from(survey.lose(info.end_seq, bound) > 0);
        survey.segments.push(info);
    }

    /// The newest segment: its end decides about the tail.
    fn newest(&self, survey: &mut Survey, first: u64, len: u64) {
        let verify_from = match &self.last_indexed {
            Some(entry) if entry.segment == first => entry.offset,
            _ => 0,
        };
        let end = self.walk(survey, first, len, u64::MAX, verify_from);
        let remembered = self.remembered_tail(survey);
        let mut info = SegmentInfo {
            first_seq: first,
            end_seq: end.next_seq,
            len: end.offset,
            payload_bytes: end.payload_bytes,
        };
        if let Some((bytes, defect)) = end.rest {
            if remembered > end.next_seq {
                // These frames were durable once: this is damage, not an unfinished write.
                self.damaged(survey, first, &Damage { bytes, seqs: end.next_seq..remembered, defect });
                survey.newest_is_sound = false;
                info.end_seq = remembered;
                info.len = len;
                self.indexer.change_patiently(Change::Closed(info.summary()), INDEX_TIMEOUT);
            } else {
                survey.torn_bytes = bytes.end - bytes.start;
                tracing::warn!(event = "spool_torn", segment = first, offset = bytes.start, bytes = survey.torn_bytes, cause = %defect, "cutting off an unfinished write");
            }
        }
        survey.segments.push(info);
    }

    /// The tail that was once reported as durable.
    fn remembered_tail(&self, survey: &Survey) -> u64 {
        let indexed = self.last_indexed.map_or(0, |entry| entry.end_seq());
        survey.state.tail.max(survey.state.acknowledged).max(indexed).max(1)
    }

    /// The tail: after everything that is there and everything that ever was.
    fn settle_tail(&self, survey: &mut Survey) {
        let remembered = self.remembered_tail(survey);
        let end = survey.segments.last().map_or(0, |info| info.end_seq);
        survey.state.tail = remembered.max(end);
        survey.state.acknowledged = survey.state.acknowledged.max(1);
        if end < remembered {
            let from = end.max(1);
            survey.segments_missing += u64::from(survey.lose(from, remembered) > 0);
        }
    }

    /// Walks over a segment, and tells the index what it may not know.
    fn walk(&self, survey: &mut Survey, first: u64, len: u64, bound: u64, verify_from: u64) -> End {
        survey.segments_scanned += 1;
        let path = segment::path(&self.layout.log, first);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(event = "spool_segment_unreadable", path = %path.display(), %error, "cannot open a segment");
                let rest = (len > 0).then_some((0..len, Defect::Unreadable));
                return End { next_seq: first, rest, ..End::default() };
            }
        };
        let span = Span { first_seq: first, bound, len, verify_from, spool_id: Some(self.spool_id) };
        let mut damages = Vec::new();
        let end = walk(&file, span, |met| match met {
            Met::Frame(frame) => {
                // The newest segment's frames before the last indexed one are there already.
                if frame.is_kept() && (verify_from == u64::MAX || frame.offset >= verify_from) {
                    self.indexer.change_patiently(Change::Frame(frame), INDEX_TIMEOUT);
                }
            }
            Met::Damage(damage) => damages.push(damage),
        });
        for damage in &damages {
            self.damaged(survey, first, damage);
        }
        end
    }

    fn damaged(&self, survey: &mut Survey, first: u64, damage: &Damage) {
        let path = segment::path(&self.layout.log, first);
        quarantine::keep(&self.layout.quarantine, &path, &damage.bytes);
        let lost = survey.lose(damage.seqs.start, damage.seqs.end);
        tracing::error!(
            event = "spool_damaged",
            path = %path.display(), offset = damage.bytes.start, records = lost, cause = %damage.defect,
            "a damaged place in the spool"
        );
    }
}
