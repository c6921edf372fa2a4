//! The result: what failed, if anything, as text for people and as JSON for programs.

mod json;
mod next;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use spillway_testkit::oracle::Verdict;

use crate::args::{Args, Journal, Order};
use crate::error::Error;
use crate::folder::Folder;
use crate::input::Served;
use crate::paint::Paint;
use crate::services::Ended;
use crate::story::Timeline;
use crate::tables::Tables;
use crate::top::{self, City, HappyHour, Outstanding, Window};
use crate::verify::{Difference, Verified};

/// How many cities, windows and hashtags are shown.
const TOP: usize = 8;

/// What was seen while it ran.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    pub(crate) timeline: Timeline,
    pub(crate) took: Duration,
    pub(crate) down_unix_ms: Option<u64>,
    /// From the brokers' going down to the breaker's opening.
    pub(crate) detected: Option<Duration>,
    pub(crate) spool_peak_records: u64,
    pub(crate) spool_peak_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) order: Order,
    pub(crate) journal: Journal,
    pub(crate) rate: u64,
    pub(crate) outage: Duration,
    /// The seed, if the posts were made up.
    pub(crate) seed: Option<u64>,
    pub(crate) input: Option<PathBuf>,
    pub(crate) course: Course,
    /// Whole lines that the upstream wrote, and their bytes.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received: u64,
    pub(crate) acked: u64,
    pub(crate) spooled: u64,
    pub(crate) replayed: u64,
    pub(crate) dropped: u64,
    pub(crate) dead_letters: u64,
    pub(crate) too_long: u64,
    pub(crate) unaccounted: u64,
    pub(crate) backlog: u64,
    pub(crate) torn: u64,
    pub(crate) connects: u64,
    pub(crate) breaker_opened: u64,
    pub(crate) delivery: Verdict,
    /// Records that the cluster forgot before they were read.
    pub(crate) forgotten: u64,
    pub(crate) reader_complete: bool,
    pub(crate) events: u64,
    pub(crate) repeats: u64,
    pub(crate) repeats_expected: u64,
    pub(crate) notices: u64,
    pub(crate) quarantined: u64,
    pub(crate) late: u64,
    pub(crate) files: usize,
    /// Rows that are counted again, and those of `sentiment_extremes`, which are held against what was sent.
    pub(crate) rows: usize,
    pub(crate) rows_fitted: usize,
    pub(crate) differences: Vec<Difference>,
    pub(crate) cities: Vec<City>,
    pub(crate) windows: Vec<Window>,
    pub(crate) happiest: Option<HappyHour>,
    /// The most positive and the most negative post.
    pub(crate) extremes: Option<[Outstanding; 2]>,
    /// Kafka stays up for further commands.
    pub(crate) keep: bool,
}

impl Report {
    pub(crate) fn new(
        args: &Args,
        course: Course,
        served: &Served,
        ended: Ended,
        tables: &Tables,
        verified: Verified,
    ) -> Self {
        let Ended { status, outcome, consumer, topic, complete, connections } = ended;
        let (counts, consumed) = (&outcome.counts, &consumer.progress);
        Self {
            order: args.order,
            journal: args.journal,
            rate: args.rate,
            outage: args.outage,
            seed: args.input.is_none().then_some(args.seed),
            input: args.input.clone(),
            course,
            sent: served.sent.len() as u64,
            sent_bytes: served.bytes,
            received: counts.received,
            acked: counts.acked,
            spooled: counts.spooled,
            replayed: counts.replayed,
            dropped: counts.dropped_records(),
            dead_letters: counts.replay_refused,
            too_long: status.sources.iter().map(|source| source.stream.too_long).sum(),
            unaccounted: counts.unaccounted,
            backlog: outcome.backlog,
            torn: status.sources.iter().map(|source| source.stream.torn).sum(),
            connects: connections as u64,
            breaker_opened: status.breaker_opened,
            forgotten: topic.missed(),
            reader_complete: complete,
            delivery: verified.delivery,
            events: consumed.events,
            repeats: consumed.duplicates,
            repeats_expected: served.recount.duplicates,
            notices: consumed.notices,
            quarantined: consumed.quarantined,
            late: consumed.late,
            files: tables.files,
            rows: verified.rows_expected,
            rows_fitted: verified.rows_fitted,
            differences: verified.differences,
            cities: top::cities(&tables.cities, TOP),
            windows: top::windows(&tables.activity, TOP),
            happiest: top::happiest(&tables.happiest, TOP),
            extremes: top::extremes(&tables.sentiment),
            keep: args.keep,
        }
    }

    /// Whether order is promised, and so whether disorder is a fault.
    fn order_matters(&self) -> bool {
        self.order == Order::Arrival
    }

    /// Everything that is not as promised, in words; empty when the demo has passed.
    pub(crate) fn faults(&self) -> Vec<String> {
        let d = &self.delivery;
        let mut faults = Vec::new();
        let mut fault = |is: bool, text: String| {
            if is {
                faults.push(text);
            }
        };
        fault(
            self.forgotten > 0 || !self.reader_complete,
            format!(
                "the in-process cluster forgot {} records before they were read, so the counts cannot be trusted: lower --rate",
                self.forgotten
            ),
        );
        fault(!d.lost.is_empty(), self.loss());
        fault(
            !d.unexpected.is_empty(),
            format!("{} records in the topic were never sent like that", d.unexpected.len()),
        );
        fault(!d.misnamed.is_empty(), format!("{} records do not carry their own id", d.misnamed.len()));
        fault(!d.scattered.is_empty(), format!("{} ids are in more than one partition", d.scattered.len()));
        fault(
            self.order_matters() && !d.disorder.is_empty(),
            format!("{} records stand behind later ones in their partition", d.disorder.len()),
        );
        fault(
            self.unaccounted > 0,
            format!("{} records ended without a fate in the daemon", self.unaccounted),
        );
        let taken = self.received + self.too_long;
        fault(taken != self.sent, format!("the daemon took {taken} lines of {}", self.sent));
        fault(self.backlog > 0, format!("{} records were left on disk", self.backlog));
        fault(
            !self.differences.is_empty(),
            format!("{} rows differ from the recount", self.differences.len()),
        );
        faults
    }

    /// What is lost, and whether the daemon has said so.
    fn loss(&self) -> String {
        let lost = &self.delivery.lost;
        let first = lost.first().map_or("", String::as_str);
        let known = self.given_up();
        let known = if known > 0 {
            format!("; the daemon gave up {known} and says why in the log")
        } else {
            String::new()
        };
        format!("{} records are in no partition, first {first}{known}", lost.len())
    }

    /// Records that the daemon gave up, each with a reason.
    fn given_up(&self) -> u64 {
        self.dropped + self.dead_letters + self.too_long
    }

    /// Nothing lost, every window right, and order kept where it is promised.
    pub(crate) fn passed(&self) -> bool {
        self.faults().is_empty()
    }

    /// From the brokers' return to the end of the backlog.
    fn caught_up(&self) -> Option<Duration> {
        let line = &self.course.timeline;
        Some(line.caught_up?.saturating_sub(line.up?))
    }

    /// Writes `report.json`.
    pub(crate) fn write(&self, folder: &Folder) -> Result<(), Error> {
        let path = folder.report();
        let text = format!("{:#}\n", self.json(folder));
        std::fs::write(&path, text).map_err(|source| Error::Write { path, source })
    }

    /// The table for people.
    pub(crate) fn text(&self, folder: &Folder, paint: Paint) -> String {
        text::render(self, folder, paint)
    }
}

#[cfg(test)]
mod tests;
