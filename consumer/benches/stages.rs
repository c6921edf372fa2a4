//! What an event costs, stage by stage, on one thread and without Kafka and a store: parsing it, counting it in
//! its windows, bringing closed panes to the log, making final objects of them.
//!
//! The events are posts as X's v2 filtered stream delivers them, 20 a second and partition of event time, so that a
//! 5-minute pane of a partition holds 6,000 of them. Figures are processor time of this thread, the median of
//! the rounds.
//!
//! `cargo bench -p spillway-consumer --bench stages [-- --quick | --records N --rounds N]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark may fail loudly, and prints its table"
)]

use std::hint::black_box;
use std::time::Duration;

use spillway_consumer::event::Message;
use spillway_consumer::filter::Filter;
use spillway_consumer::metrics::By;
use spillway_consumer::stages::Stages;
use spillway_consumer::tables::Table;
use spillway_consumer::{Micros, Profile, preset};
use spillway_testkit::tweets::{Generator, Options};

const PARTITIONS: i32 = 4;
/// Event time from one record to the next: 20 a second in each partition.
const STEP_US: u64 = 12_500;
/// After so many records the entries that are due are made, as after so much of event time.
const CLOSE_EVERY: usize = 4_800;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let records = argument("--records", if is_quick { 20_000 } else { 400_000 });
    let rounds = argument("--rounds", if is_quick { 1 } else { 5 });
    let options = Options { step_us: STEP_US, place_share: 0.5, ..Options::default() };
    let posts: Vec<_> = Generator::new(1, options).take(records).map(|post| (post.id, post.line)).collect();
    let bytes: usize = posts.iter().map(|(_, line)| line.len()).sum();
    println!("{records} records of {} bytes on average, {rounds} rounds", bytes / records);
    println!(
        "{:<36} {:>8} {:>8} {:>8} {:>9} {:>8} {:>9}",
        "ns an event", "parse", "window", "log", "finalise", "sum", "events/s"
    );
    for (name, tables) in shapes() {
        let runs: Vec<_> = (0..rounds).map(|_| stages(&tables, &posts)).collect();
        let cost = |of: fn(&Cost) -> Duration| {
            let mut all: Vec<_> = runs.iter().map(of).collect();
            all.sort();
            all[all.len() / 2].as_nanos() as f64 / records as f64
        };
        let all = [cost(|c| c.parse), cost(|c| c.window), cost(|c| c.log), cost(|c| c.finalise)];
        let sum: f64 = all.iter().sum();
        let [parse, window, log, finalise] = all;
        println!(
            "{name:<36} {parse:>8.0} {window:>8.0} {log:>8.0} {finalise:>9.0} {sum:>8.0} {:>9.0}",
            1e9 / sum
        );
        let last = &runs[0];
        println!(
            "{:<36} {} entries of {} bytes, {} rows in windows of {} bytes an event",
            "",
            last.entries,
            last.entry_bytes / last.entries.max(1),
            last.rows,
            last.object_bytes / records
        );
    }
}

/// What is counted.
fn shapes() -> Vec<(&'static str, Vec<Table>)> {
    let city = || preset("city_activity").unwrap();
    let activity = Table::new("activity", Duration::from_secs(300), By::None, Filter::default());
    vec![
        ("city_activity", vec![city()]),
        ("activity and city_activity", vec![activity, city()]),
        ("happiest_hashtags, sliding", vec![preset("happiest_hashtags_sliding").unwrap()]),
        ("sentiment_extremes", vec![preset("sentiment_extremes").unwrap()]),
        ("word_polarity", vec![preset("word_polarity").unwrap()]),
    ]
}

/// Processor time of each stage, and what came of it.
#[derive(Debug, Default)]
struct Cost {
    parse: Duration,
    window: Duration,
    log: Duration,
    finalise: Duration,
    entries: usize,
    entry_bytes: usize,
    rows: usize,
    object_bytes: usize,
}

fn stages(tables: &[Table], posts: &[(String, bytes::Bytes)]) -> Cost {
    let mut stages = Stages::new(tables.to_vec(), PARTITIONS).unwrap();
    let (mut cost, mut offsets) = (Cost::default(), [0_i64; PARTITIONS as usize]);
    let mut newest = Micros::MIN;
    for part in posts.chunks(CLOSE_EVERY) {
        let needs = stages.needs();
        // Events borrow from their records, so reading them for the next stage is done outside the clock.
        let ((), took) = timed(|| {
            part.iter().for_each(|(_, line)| drop(black_box(Profile::XV2.read(line, needs).unwrap())));
        });
        cost.parse += took;
        let parsed: Vec<_> = part
            .iter()
            .map(|(id, line)| match Profile::XV2.read(line, needs).unwrap() {
                Message::Event(event) => (id, line, event),
                Message::Notice { .. } => panic!("the generator makes posts only"),
            })
            .collect();
        newest = parsed.iter().map(|(_, _, event)| event.time).fold(newest, Micros::max);
        let ((), took) = timed(|| {
            for (i, (id, line, event)) in parsed.iter().enumerate() {
                let partition = i % offsets.len();
                let record = (id.as_bytes(), line.as_ref());
                stages.window(i32::try_from(partition).unwrap(), offsets[partition], record, event);
                offsets[partition] += 1;
            }
        });
        cost.window += took;
        close(&mut stages, &mut cost, newest);
    }
    cost
}

/// One step: entries, and the windows that are final.
fn close(stages: &mut Stages, cost: &mut Cost, newest: Micros) {
    let (entries, took) =
        timed(|| (0..PARTITIONS).filter_map(|p| stages.seal(p).unwrap()).collect::<Vec<_>>());
    cost.log += took;
    cost.entries += entries.len();
    cost.entry_bytes += entries.iter().map(Vec::len).sum::<usize>();
    // The skew of the partitions is less than the delay: all are closed up to here.
    let through = newest - 60_000_000;
    let ((rows, bytes), took) = timed(|| {
        entries.into_iter().for_each(|entry| stages.take(entry).unwrap());
        stages.finalise(through).unwrap()
    });
    cost.finalise += took;
    cost.rows += rows;
    cost.object_bytes += bytes;
}

fn argument(name: &str, usual: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map_or(usual, |number| number.parse().unwrap())
}

/// What `work` gives, and the processor time that it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    };
    let began = now();
    let given = work();
    (given, now() - began)
}
