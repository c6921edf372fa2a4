//! What is to be shown, in words and figures: from the model, without a terminal.
//!
//! Text that comes from elsewhere - names, errors - is made safe for a terminal here.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use spillway_daemon::circuit::State;
use spillway_service::units::{show_bytes, show_count, show_duration};

use super::model::{Link, Model};
use super::seen::{Seen, Source};
use super::series::Column;
use crate::plain::plain;

/// Whether it should please who looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Plain,
    Good,
    Warn,
    Bad,
}

/// A figure: its name, its value, and what more there is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) more: String,
    pub(crate) mood: Mood,
}

/// All of it. Without an answer yet, only what stands first.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) title: String,
    pub(crate) link: (Mood, String),
    pub(crate) known: Option<Known>,
}

/// What a daemon has said.
#[derive(Debug)]
pub(crate) struct Known {
    /// The figures are of now.
    pub(crate) is_live: bool,
    pub(crate) breaker: (Mood, &'static str),
    /// Beside the breaker's state.
    pub(crate) state: String,
    /// Its last change.
    pub(crate) change: String,
    pub(crate) figures: Vec<Figure>,
    /// What an operator should look after.
    pub(crate) troubles: Vec<String>,
    pub(crate) sources: Vec<[String; 6]>,
    pub(crate) partitions: Vec<(Mood, String)>,
    /// Changes of the breaker, the newest first.
    pub(crate) changes: Vec<String>,
}

/// What stands above the sources.
pub(crate) const SOURCES_HEAD: [&str; 6] = ["upstream", "state", "rate", "records", "lag", "last error"];

impl View {
    /// At `now_ms` of this machine's clock; times of day are shown in `zone`.
    pub(crate) fn of(model: &Model, now_ms: u64, zone: FixedOffset) -> Self {
        let seen = model.last();
        let title = match seen {
            Some(seen) => {
                let up = ago(seen.started_ms, seen.at_ms);
                format!("spillwayd {}  {}  up {up}  {}", plain(&seen.id), plain(&seen.version), model.address)
            }
            None => format!("spillwayd  {}", model.address),
        };
        let known = seen.map(|seen| Known::of(model, seen, zone));
        Self { title, link: link(model, now_ms, zone), known }
    }
}

fn link(model: &Model, now_ms: u64, zone: FixedOffset) -> (Mood, String) {
    let time = |ms| clock(ms, zone);
    match &model.link {
        Link::Connecting => (Mood::Plain, "connecting".to_owned()),
        Link::Live => (Mood::Good, format!("live {}", time(model.heard_ms().unwrap_or(now_ms)))),
        Link::Away { why, heard_ms: None } => (Mood::Bad, format!("AWAY: {}; trying again", plain(why))),
        Link::Away { why, heard_ms: Some(heard) } => {
            let (at, since) = (time(*heard), ago(*heard, now_ms));
            (Mood::Bad, format!("AWAY: {}; last seen {at}, {since} ago; trying again", plain(why)))
        }
    }
}

impl Known {
    fn of(model: &Model, seen: &Seen, zone: FixedOffset) -> Self {
        let since = seen.breaker_history.last().map_or(seen.started_ms, |change| change.at_ms);
        let changes = seen.breaker_history.iter().rev().map(|change| {
            let (at, from, to) = (clock(change.at_ms, zone), name(change.from), name(change.to));
            format!("{at}  {from} -> {to}: {}", plain(&change.detail))
        });
        let changes: Vec<String> = changes.collect();
        let (mood, state, means) = match seen.breaker {
            State::Closed => (Mood::Good, "CLOSED", "Kafka takes records"),
            State::HalfOpen => (Mood::Warn, "HALF OPEN", "trying whether Kafka is back"),
            State::Open => (Mood::Bad, "OPEN", "Kafka is away, records go to disk"),
        };
        let (length, opened) = (ago(since, seen.at_ms), show_count(seen.breaker_opened));
        let lane = plain(&seen.lane);
        Self {
            is_live: model.link == Link::Live,
            breaker: (mood, state),
            state: format!("for {length}: {means}; lane {lane}; opened {opened} times"),
            change: changes.first().cloned().unwrap_or_else(|| "no change yet".to_owned()),
            figures: figures(model, seen),
            troubles: troubles(seen),
            sources: sources(model, seen),
            partitions: partitions(model, seen),
            changes,
        }
    }
}

fn figures(model: &Model, seen: &Seen) -> Vec<Figure> {
    let delivered = seen.counts.acked + seen.counts.replayed;
    let figure = |name, value, more| Figure { name, value, more, mood: Mood::Plain };
    let warn =
        |is_bad, figure: Figure| Figure { mood: if is_bad { Mood::Warn } else { Mood::Plain }, ..figure };
    let flight = seen.in_flight.direct + seen.in_flight.replay;
    let oldest = if flight > 0 {
        format!("oldest {} ms", show_count(seen.in_flight.oldest_ms))
    } else {
        String::new()
    };
    let lost: Vec<_> = seen
        .lost()
        .map(|dropped| format!("{} {}", plain(&dropped.reason), show_count(dropped.records)))
        .collect();
    let letters = format!("here; {} went to a topic", show_count(seen.counts.dead_topic));
    vec![
        figure(
            "in",
            rate(model.slope(|s| s.received)),
            format!("{} records", show_count(seen.counts.received)),
        ),
        figure(
            "queue",
            show_count(seen.queue.records),
            format!("{:.0} % full, {}", seen.queue.fill * 100.0, show_bytes(seen.queue.bytes)),
        ),
        figure("out", rate(model.slope(|s| s.delivered)), format!("{} records", show_count(delivered))),
        figure("in flight", show_count(flight), oldest),
        figure(
            "on disk",
            show_count(seen.spool.records),
            format!("{}, {} used", show_bytes(seen.spool.bytes), show_bytes(seen.spool.disk_bytes)),
        ),
        figure(
            "at risk",
            show_count(seen.at_risk_records),
            format!("{} lost by a kill now", show_bytes(seen.at_risk_bytes)),
        ),
        figure("replay", eta(model, seen), lag(model, seen)),
        warn(
            seen.spool.dead_letters > 0,
            figure("dead letters", show_count(seen.spool.dead_letters), letters),
        ),
        warn(
            !lost.is_empty(),
            figure("dropped", show_count(seen.lost().map(|dropped| dropped.records).sum()), lost.join(", ")),
        ),
    ]
}

impl Seen {
    /// Records that were given up; refused ones are dead letters.
    fn lost(&self) -> impl Iterator<Item = &super::seen::Dropped> {
        let all = self.counts.dropped.iter().chain([&self.spool.dropped_oldest]);
        all.filter(|dropped| dropped.records > 0 && dropped.reason != "refused")
    }
}

/// When the disk will be empty, as it goes now.
fn eta(model: &Model, seen: &Seen) -> String {
    if seen.spool.records == 0 {
        return "nothing to do".to_owned();
    }
    let growth = model.slope(|sample| sample.spool_records);
    #[expect(clippy::cast_precision_loss, reason = "a guess")]
    let left = growth.filter(|growth| *growth < 0.0).map(|growth| seen.spool.records as f64 / -growth);
    match left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(left) => format!("done in {}", show_duration(left)),
        None => "waiting".to_owned(),
    }
}

/// How long the oldest record that is not in Kafka has waited: since as many came in as wait now. That holds
/// for records in the order in which they came.
fn lag(model: &Model, seen: &Seen) -> String {
    let waiting = seen.waiting();
    if seen.spool.records == 0 {
        return String::new();
    }
    let came = seen.counts.received.checked_sub(waiting);
    match came.and_then(|came| model.points.time_of(|sample| sample.received, came)) {
        Some(at_ms) => format!("oldest waits {}", ago(at_ms, seen.at_ms)),
        None => "oldest is of before".to_owned(),
    }
}

fn troubles(seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(problem) = &seen.spool.problem {
        found.push(format!("the disk takes nothing: {}", plain(problem)));
    }
    if !seen.held_partitions.is_empty() {
        let names: Vec<_> = seen.held_partitions.iter().map(|name| plain(name)).collect();
        found.push(format!("held back, {}: {}", names.len(), names.join(", ")));
    }
    if seen.spool.quarantined_records > 0 {
        let records = show_count(seen.spool.quarantined_records);
        found.push(format!("{records} records were lost in damaged frames of the spool"));
    }
    if seen.counts.unaccounted > 0 {
        found.push(format!("{} records ended without a fate: a bug", show_count(seen.counts.unaccounted)));
    }
    found
}

/// Those that are away first: they must be seen even where there is no room for all.
fn sources(model: &Model, seen: &Seen) -> Vec<[String; 6]> {
    let mut sources: Vec<&Source> = seen.sources.iter().collect();
    sources.sort_by_key(|source| source.connected);
    let row = |source: &Source| {
        let state = match (source.connected, source.ended) {
            (true, _) => "connected",
            (_, true) => "ended",
            _ => "AWAY",
        };
        let gaps = if source.gaps > 0 { format!("{} gaps; ", source.gaps) } else { String::new() };
        let lag = source.lag_ms.and_then(|lag| u64::try_from(lag).ok());
        [
            plain(&source.name),
            format!("{state}, {}x", source.connects),
            rate(model.source_rate(&source.name)),
            show_count(source.received),
            lag.map_or("-".to_owned(), |lag| show_duration(Duration::from_millis(lag))),
            gaps + &source.last_error.as_deref().map_or("-".to_owned(), plain),
        ]
    };
    sources.into_iter().map(row).collect()
}

/// The held ones first, then those with most in flight.
fn partitions(model: &Model, seen: &Seen) -> Vec<(Mood, String)> {
    let held = seen.held_partitions.iter().map(|name| (Mood::Warn, format!("{} held", plain(name))));
    let mut others: Vec<_> =
        seen.partitions.iter().filter(|one| !seen.held_partitions.contains(&one.name)).collect();
    others.sort_by_key(|partition| std::cmp::Reverse(partition.in_flight));
    let others = others.into_iter().map(|partition| {
        let (name, rate) = (plain(&partition.name), rate(model.partition_rate(&partition.name)));
        (Mood::Plain, format!("{name} {rate}, {} in flight", show_count(partition.in_flight)))
    });
    held.chain(others).collect()
}

/// The largest rate of the columns that is known.
pub(crate) fn most(columns: &[Column], rate: fn(&Column) -> Option<f64>) -> f64 {
    columns.iter().filter_map(rate).fold(0.0, f64::max)
}

pub(crate) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}/s"),
        Some(rate) => format!("{}/s", show_count(whole(rate))),
    }
}

/// A figure of a plot without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and rates are far below 2^63"
)]
pub(crate) fn whole(figure: f64) -> u64 {
    figure.round().max(0.0) as u64
}

fn name(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half open",
        State::Open => "open",
    }
}

fn ago(from_ms: u64, to_ms: u64) -> String {
    let seconds = to_ms.saturating_sub(from_ms) / 1_000;
    if seconds < 60 { format!("{seconds} s") } else { show_duration(Duration::from_secs(seconds)) }
}

fn clock(unix_ms: u64, zone: FixedOffset) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or("-".to_owned(), |time| time.with_timezone(&zone).format("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::super::seen::{Change, Dropped};
    use super::super::testing::{heard, seen, source};
    use super::*;

    const ZONE: FixedOffset = FixedOffset::east_opt(3_600).unwrap();

    fn shown<'a>(known: &'a Known, name: &str) -> (&'a str, &'a str) {
        let figure = known.figures.iter().find(|figure| figure.name == name).unwrap();
        (&figure.value, &figure.more)
    }

    /// An outage since 30 s: 2,000 records a second, of which 400 are on disk for each second of it.
    fn outage() -> Model {
        let mut model = Model::new("unix:/a".into());
        for n in 0..=60 {
            let mut now = seen(n * 1_000, n * 2_000);
            let out = n.min(30) * 2_000;
            (now.spool.records, now.counts.acked) = (n * 2_000 - out, out);
            now.spool.bytes = now.spool.records * 100;
            if n > 30 {
                now.breaker = State::Open;
                let detail = "all brokers are down".into();
                now.breaker_history =
                    vec![Change { at_ms: 30_500, from: State::Closed, to: State::Open, detail }];
            }
            model.hear(heard(now), n * 1_000);
        }
        model
    }

    #[test]
    fn an_outage_is_told_with_its_length_and_its_backlog() {
        let model = outage();
        let view = View::of(&model, 60_000, ZONE);
        assert_eq!(view.title, "spillwayd edge-1  0.1.0  up 59 s  unix:/a");
        assert_eq!(view.link, (Mood::Good, "live 01:01:00".into()));
        let known = view.known.unwrap();
        assert_eq!(known.breaker, (Mood::Bad, "OPEN"));
        assert_eq!(known.state, "for 29 s: Kafka is away, records go to disk; lane direct; opened 0 times");
        assert_eq!(known.changes, ["01:00:30  closed -> open: all brokers are down"]);
        assert_eq!(shown(&known, "in"), ("2,000/s", "120,000 records"));
        assert_eq!(shown(&known, "out"), ("0/s", "60,000 records"));
        assert_eq!(shown(&known, "on disk"), ("60,000", "5.7 MiB, 0 B used"));
        assert_eq!(shown(&known, "replay"), ("waiting", "oldest waits 30 s"));
    }

    #[test]
    fn a_replay_says_when_it_is_done() {
        let mut model = outage();
        for n in 61..=65 {
            let mut now = seen(n * 1_000, n * 2_000);
            now.spool.records = 60_000 - (n - 60) * 10_000;
            now.counts.acked = now.counts.received - now.spool.records;
            model.hear(heard(now), n * 1_000);
        }
        let known = View::of(&model, 65_000, ZONE).known.unwrap();
        assert_eq!(shown(&known, "replay"), ("done in 1.0 s", "oldest waits 5 s"));
        assert_eq!(shown(&known, "out"), ("12,000/s", "120,000 records"));
    }

    #[test]
    fn a_daemon_that_is_away_has_no_rates_and_is_said_to_be_away() {
        let mut model = Model::new("http://h".into());
        model.miss("no connection\u{1b}[2J".into());
        let view = View::of(&model, 5_000, ZONE);
        assert_eq!(view.link, (Mood::Bad, "AWAY: no connection\\u{1b}[2J; trying again".into()));
        assert!(view.known.is_none());
        let mut model = outage();
        model.miss("no answer".into());
        let view = View::of(&model, 75_000, ZONE);
        assert_eq!(view.link.1, "AWAY: no answer; last seen 01:01:00, 15 s ago; trying again");
        let known = view.known.unwrap();
        assert_eq!((known.is_live, shown(&known, "in")), (false, ("-", "120,000 records")));
    }

    #[test]
    fn troubles_and_odd_names_are_shown_plainly() {
        let mut now = seen(9_000, 10);
        now.sources = vec![source("a", 1), source("b\u{7}", 2), source("c", 3)];
        now.sources[1].connected = false;
        (now.sources[1].gaps, now.sources[1].last_error) = (2, Some("refused".into()));
        now.sources[2].lag_ms = Some(1_500);
        now.held_partitions = vec!["events/1".into()];
        now.spool.problem = Some("no space".into());
        now.spool.quarantined_records = 1_000;
        now.counts.unaccounted = 1;
        now.counts.dropped = vec![Dropped { reason: "refused".into(), records: 7 }];
        now.spool.dropped_oldest.records = 5;
        let mut model = Model::new("http://h".into());
        model.hear(heard(now), 1);
        let known = View::of(&model, 1, ZONE).known.unwrap();
        assert_eq!(known.sources[0], ["b\\u{7}", "AWAY, 1x", "-", "2", "-", "2 gaps; refused"]);
        assert_eq!(known.sources[2], ["c", "connected, 1x", "-", "3", "1.5 s", "-"]);
        assert_eq!(known.partitions[0], (Mood::Warn, "events/1 held".into()));
        assert_eq!(known.partitions[1], (Mood::Plain, "events/0 -, 0 in flight".into()));
        assert_eq!(shown(&known, "dropped"), ("5", "spool_oldest 5"), "refused ones are dead letters");
        assert_eq!(known.troubles[..2], ["the disk takes nothing: no space", "held back, 1: events/1"]);
        assert_eq!(known.troubles.len(), 4);
    }
}
