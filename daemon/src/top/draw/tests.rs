//! Frames, drawn to a terminal of the tests and read by their words.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use spillway_daemon::circuit::State;

use super::super::model::Model;
use super::super::seen::{Change, Partition};
use super::super::testing::{heard, seen, source};
use super::*;

const LOOK: Look = Look { colours: true, step_ms: 1_000, keys: true };
const ZONE: chrono::FixedOffset = chrono::FixedOffset::east_opt(0).unwrap();

/// 40 s at 1,000 records a second, an outage from 20 s to 30 s, then a replay.
fn model() -> Model {
    let mut model = Model::new("http://127.0.0.1:9464".into());
    for n in 0..=40 {
        let mut now = seen(n * 1_000, n * 1_000);
        let out = if n <= 20 { n * 1_000 } else { 20_000 + n.saturating_sub(30) * 1_500 };
        (now.counts.acked, now.spool.records) = (out, n * 1_000 - out);
        let detail = String::from("all brokers are down");
        let opened = Change { at_ms: 20_500, from: State::Closed, to: State::Open, detail };
        let half = Change { at_ms: 30_200, from: State::Open, to: State::HalfOpen, detail: "a probe".into() };
        let closed =
            Change { at_ms: 30_900, from: State::HalfOpen, to: State::Closed, detail: "the trial".into() };
        now.breaker_history =
            [opened, half, closed].into_iter().filter(|change| change.at_ms <= now.at_ms).collect();
        now.breaker = now.breaker_history.last().map_or(State::Closed, |change| change.to);
        model.hear(heard(now), n * 1_000);
    }
    model
}

fn frame(model: &Model, now_ms: u64, width: u16, height: u16) -> (Vec<String>, Buffer) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = View::of(model, now_ms, ZONE);
    terminal.draw(|frame| draw(frame.area(), frame.buffer_mut(), model, &view, LOOK)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(usize::from(width).max(1));
    let rows = rows
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned());
    (rows.collect(), buffer)
}

/// The row that begins with a word.
fn row<'a>(rows: &'a [String], word: &str) -> &'a str {
    rows.iter().find(|row| row.starts_with(word)).unwrap_or_else(|| panic!("no row {word:?} in {rows:#?}"))
}

#[test]
fn an_outage_is_drawn_column_by_column() {
    let (rows, buffer) = frame(&model(), 40_000, 100, 40);
    assert_eq!(rows[0], "spillwayd edge-1  0.1.0  up 39 s  http://127.0.0.1:9464");
    assert_eq!(rows[1], "live 00:00:40");
    assert_eq!(row(&rows, "last change"), "last change  00:00:30  half open -> closed: the trial");
    assert!(row(&rows, "breaker CLOSED").starts_with("breaker CLOSED for 9 s: Kafka takes records"));
    let [out, replay] =
        ["out           1,500/s  35,000 records", "replay        done in 10.0 s  oldest waits 5 s"];
    assert_eq!(row(&rows, "out  "), format!("{out:<50}in flight     0"));
    assert_eq!(row(&rows, "replay"), format!("{replay:<50}dead letters  0  here; 0 went to a topic"));
    // 86 columns: 46 without data, 20 closed, 10 open, 1 half open at its end, 9 closed.
    let band = row(&rows, "breaker   ").trim_start_matches("breaker").trim_start();
    let open = "\u{2587}".repeat(11);
    assert_eq!(
        band,
        format!("{}{}{open}{}", "\u{b7}".repeat(46), "\u{2581}".repeat(20), "\u{2581}".repeat(9))
    );
    let at = rows.iter().position(|row| row.starts_with("breaker   ")).unwrap();
    let colour = |column: u16| buffer[(14 + column, u16::try_from(at).unwrap())].fg;
    assert_eq!(
        (colour(65), colour(66), colour(76), colour(77)),
        (Color::Green, Color::Red, Color::Red, Color::Green)
    );
    assert_eq!(
        row(&rows, "max 1,000/s"),
        format!("max 1,000/s   {}{}", "\u{b7}".repeat(46), "\u{2588}".repeat(40))
    );
    let out = row(&rows, "max 1,500/s").trim_start_matches("max 1,500/s").trim_start();
    assert_eq!(out.chars().filter(|bar| *bar == ' ').count(), 10, "nothing went out in the outage: {out:?}");
    assert_eq!(rows[39], "q quit   t 1 s a column");
}

#[test]
fn what_there_is_no_room_for_goes_and_nothing_panics() {
    let mut model = model();
    let mut now = seen(41_000, 41_000);
    now.sources = (0..9).map(|n| source(&format!("s{n}"), n)).collect();
    now.sources[7].connected = false;
    now.partitions =
        (0..50).map(|n| Partition { name: format!("events/{n}"), in_flight: n, acked: 0 }).collect();
    now.held_partitions = vec!["events/3".into()];
    model.hear(heard(now), 41_000);
    let (rows, _) = frame(&model, 41_000, 100, 30);
    let at =
        |word: &str| rows.iter().position(|row| row.starts_with(word)).unwrap_or_else(|| panic!("{rows:#?}"));
    assert!(at("! held back, 1: events/3") < at("upstream") && at("upstream") < at("partitions (4"));
    assert!(rows[at("upstream") + 1].starts_with("s7") && rows[at("upstream") + 1].contains("AWAY, 1x"));
    assert!(rows[at("partitions (4") + 1].starts_with("events/3 held"), "{rows:#?}");
    assert!(rows[at("partitions (4") + 1].contains("events/49 -, 49 in flight"), "{rows:#?}");
    for height in 0..45 {
        for width in [0, 1, 5, 13, 14, 15, 40, 200] {
            frame(&model, 41_000, width, height);
        }
    }
}

#[test]
fn the_figures_of_an_upstream_are_not_cut_at_any_usual_width() {
    let mut model = model();
    let second = |n: u64| {
        let mut now = seen(41_000 + n * 1_000, 41_000);
        now.sources = vec![source("wikimedia", 1_234_567_890 + n * 123_456), source("jetstream", 7)];
        (now.sources[0].connects, now.sources[0].lag_ms) = (12, Some(90_061_000));
        (now.sources[1].connected, now.sources[1].last_error) = (false, Some("refused".into()));
        now
    };
    (0..=5).for_each(|n| model.hear(heard(second(n)), 41_000 + n * 1_000));
    for width in [80, 100, 120] {
        let (rows, _) = frame(&model, 46_000, width, 40);
        let words = |name: &str| row(&rows, name).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words("upstream"), "upstream state rate records lag last error", "{width}");
        assert_eq!(
            words("wikimedia"),
            "wikimedia connected, 12x 123,456/s 1,235,185,170 25 h 01 m -",
            "{width}"
        );
        assert_eq!(words("jetstream"), "jetstream AWAY, 1x 0/s 7 - refused", "{width}");
    }
}

#[test]
fn text_that_does_not_fit_ends_with_a_sign() {
    let mut model = model();
    let mut now = seen(41_000, 41_000);
    now.breaker_history = vec![Change {
        at_ms: 40_500,
        from: State::HalfOpen,
        to: State::Closed,
        detail: "a long word".repeat(9),
    }];
    now.sources = vec![source("a_name_that_is_too_long", 1)];
    now.sources[0].last_error = Some("an error that is too long".into());
    model.hear(heard(now), 41_000);
    let (rows, _) = frame(&model, 41_000, 80, 40);
    let change = row(&rows, "last change");
    assert!(change.chars().count() == 80 && change.ends_with('\u{2026}'), "{change}");
    let source = row(&rows, "a_name_that");
    assert!(source.starts_with("a_name_that_is_to\u{2026} connected, 1x "), "{source}");
    assert!(source.ends_with(" an error that i\u{2026}"), "{source}");
}

#[test]
fn a_daemon_that_is_away_is_drawn_faint_with_when_it_was_seen() {
    let mut model = model();
    model.miss("no connection".into());
    let (rows, buffer) = frame(&model, 60_000, 100, 30);
    assert_eq!(rows[1], "AWAY: no connection; last seen 00:00:40, 20 s ago; trying again");
    assert_eq!(buffer[(0, 1)].fg, Color::Red);
    assert!(
        buffer[(0, 2)].modifier.contains(Modifier::DIM) && !buffer[(0, 1)].modifier.contains(Modifier::DIM)
    );
    assert!(row(&rows, "in  ").starts_with("in            -  40,000 records"));
    let mut strange = Model::new("http://x".into());
    strange.miss("no connection".into());
    let (rows, _) = frame(&strange, 1, 80, 10);
    assert_eq!(rows[..3], ["spillwayd  http://x", "AWAY: no connection; trying again", ""]);
}
