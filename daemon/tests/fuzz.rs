//! Fuzzing of what is read from outside. Here the configuration: whatever stands in the file or the
//! environment, it is a configuration or a list of problems, never a panic, and it takes no more memory
//! than its length explains. The framers of streams and what reads records are in modules of their own.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails loudly and says its seed"
)]

#[path = "fuzz/framers.rs"]
mod framers;
#[path = "../../spool/tests/fuzz/meter.rs"]
mod meter;
#[path = "../../spool/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/readers.rs"]
mod readers;
#[path = "fuzz/sockets.rs"]
mod sockets;

use std::time::Instant;

use meter::{Meter, alone, peak_of};
use mutate::{Rng, cases, mutate, seed};
use spillway_daemon::Config;
use spillway_service::settings::Environment;

#[global_allocator]
static METER: Meter = Meter;

const SAMPLE: &str = include_str!("../spillwayd.toml");
const USUAL: u64 = 20_000;
/// What any configuration may take, and for each of its bytes: the document, and a problem with its
/// message for every key of two or three letters.
const BYTES_MAX: usize = 512 << 10;
const BYTES_MAX_PER_BYTE: usize = 400;

/// Values that stand at the edge of what a setting can be.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "nan",
    "18446744073709551616",
    "9223372036854775807",
    "''",
    "\"\\u0000\"",
    "'1s'",
    "'99999999999999999999d'",
    "'-5s'",
    "'1GiB'",
    "'18446744073709551615KiB'",
    "'0.5%'",
    "[]",
    "{}",
    "true",
    "[[[[]]]]",
    "{ a = { a = { a = 1 } } }",
    "2026-11-21T00:00:00Z",
    "'127.0.0.1:99999'",
    "'/~2/~'",
    "'''\n\n'''",
    "'ä€𝄞'",
    "0x7fffffffffffffff",
    "1_0",
    "inf",
];

/// The sample with every setting in force, or as it is shipped.
fn original(rng: &mut Rng) -> String {
    let all = rng.one_in(4);
    let line =
        |line: &str| if all { line.strip_prefix("#: ").unwrap_or(line).to_owned() } else { line.to_owned() };
    SAMPLE.lines().map(|text| line(text) + "\n").collect()
}

fn edited(rng: &mut Rng) -> String {
    let mut lines: Vec<String> = original(rng).lines().map(str::to_owned).collect();
    for _ in 0..=rng.below(3) {
        let (at, other) = (rng.below(lines.len()), rng.below(lines.len()));
        match rng.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[other].clone()),
            2 => lines.swap(at, other),
            3 => lines.insert(at, nested(rng)),
            _ => {
                let value = VALUES[rng.below(VALUES.len())];
                let key = lines[at].split('=').next().unwrap_or_default().trim().to_owned();
                lines[at] = format!("{key} = {value}");
            }
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    if rng.one_in(2) {
        mutate(&mut bytes, rng);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a parser that calls itself would go too deep for.
fn nested(rng: &mut Rng) -> String {
    let deep = if rng.one_in(20) { 20_000 } else { 200 };
    let depth = 1 + rng.below(deep);
    match rng.below(3) {
        0 => format!("x = {}", "[".repeat(depth)),
        1 => format!("x = {}", "{a=".repeat(depth)),
        _ => format!("[{}a]", "a.".repeat(depth.min(2_000))),
    }
}

fn environment(rng: &mut Rng) -> Environment {
    let names = [
        "SPILLWAY_SOURCE_URL",
        "SPILLWAY_QUEUE_MAX_BYTES",
        "SPILLWAY_SPOOL_QUOTA",
        "SPILLWAY_X",
        "SPILLWAY_",
    ];
    let pairs: Vec<_> = (0..rng.below(3))
        .map(|_| {
            let mut value = VALUES[rng.below(VALUES.len())].as_bytes().to_vec();
            mutate(&mut value, rng);
            (names[rng.below(names.len())].to_owned(), String::from_utf8_lossy(&value).into_owned())
        })
        .collect();
    pairs.into_iter().collect()
}

#[test]
fn no_configuration_panics_or_takes_much_memory() {
    let _alone = alone();
    // A configuration is some twenty times the work of a frame.
    let (seed, cases, began) = (seed("configuration"), cases(USUAL) / 20, Instant::now());
    let (mut valid, mut worst) = (0u64, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let (text, env) = (edited(&mut rng), environment(&mut rng));
        let (parsed, peak) = peak_of(|| Config::parse("fuzz.toml", &text, &env));
        worst = worst.max(peak);
        let limit = BYTES_MAX + BYTES_MAX_PER_BYTE * text.len();
        assert!(peak <= limit, "case {case} of seed {seed} took {peak} bytes for {}", text.len());
        match parsed {
            Ok(_) => valid += 1,
            Err(problems) => {
                assert!(!problems.list().is_empty(), "case {case} of seed {seed}: refused without a word");
                let lines = text.lines().count();
                assert!(
                    problems.list().iter().all(|p| p.line.is_none_or(|line| (1..=lines + 1).contains(&line)))
                );
            }
        }
    }
    assert!(valid > 0 && valid < cases, "the edits reach both sides: {valid} of {cases}");
    eprintln!("{cases} configurations in {:?}: {valid} valid, at most {worst} bytes", began.elapsed());
}
