//! What reads single records: pointers, notices, times, and the comparison of two readings. Whatever the
//! bytes are, there is an answer, and it takes no more memory than their length explains.

use std::time::{Duration, Instant};

use spillway_daemon::compare::{self, Damage, Input, InputError, Item, Options, Progress};
use spillway_daemon::pointer::{Pointer, extract, extract_all};
use spillway_daemon::sources::event_time;
use spillway_daemon::sources::notices::Dialect;

use super::meter::{alone, peak_of};
use super::mutate::{Rng, cases, mutate, seed};

const USUAL: u64 = 20_000;
/// What reading a record may take, and for each of its bytes: a notice is built as a document.
const BYTES_MAX: usize = 32 << 10;
const BYTES_MAX_PER_BYTE: usize = 64;

const WORDS: &[&str] = &[
    "{\"data\":{\"id\":\"1\"}}",
    "{\"errors\":[{\"title\":\"operational-disconnect\",\"disconnect_type\":\"UpstreamOperationalDisconnect\"}]}",
    "{\"title\":\"ConnectionException\",\"connection_issue\":\"TooManyConnections\"}",
    "{\"meta\":{\"domain\":\"canary\",\"id\":\"a\"}}",
    "{\"matching_rules\":[{\"tag\":\"a\"},{\"tag\":1}]}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"title\":",
    "\"data\":",
    "\"id\":",
    "\"errors\":",
    "\"meta\":",
    "\"domain\":",
    "\"canary\"",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "null",
    "-0",
    "1e999",
    "18446744073709551616",
    "true",
];

const NAMES: &[&[u8]] = &[b"", b"message", b"error", b"delete", b"filters_changed", b"update", b"\xff"];

fn record(rng: &mut Rng) -> Vec<u8> {
    // Half of them begin with a whole document.
    let mut text = if rng.one_in(2) { WORDS[rng.below(5)].to_owned() } else { String::new() };
    for _ in 0..1 + rng.below(12) {
        match rng.below(30) {
            0 => {
                // What a reader that calls itself would go too deep for.
                let depth = if rng.one_in(50) { 50_000 } else { 1 + rng.below(300) };
                text += &["[", "{\"errors\":", "{\"data\":"][rng.below(3)].repeat(depth);
            }
            1 => text += &["]", "}"][rng.below(2)].repeat(rng.below(300)),
            _ => text += WORDS[rng.below(WORDS.len())],
        }
    }
    let mut bytes = text.into_bytes();
    if rng.one_in(2) {
        mutate(&mut bytes, rng);
    }
    bytes
}

fn pointer(rng: &mut Rng) -> Option<Pointer> {
    if rng.one_in(2) {
        let usual = ["/data/id", "/title", "/errors/0/title", "/meta/domain", "/matching_rules/0/tag", "/0"];
        return Pointer::parse(usual[rng.below(usual.len())]);
    }
    let steps = ["/data", "/id", "/errors", "/0", "/meta", "/domain", "/~1~0", "/", "", "/title", "/~"];
    let text: String = (0..rng.below(4)).map(|_| steps[rng.below(steps.len())]).collect();
    Pointer::parse(&text)
}

#[test]
fn any_record_is_read_without_a_panic() {
    let _alone = alone();
    let (seed, cases, began) = (seed("records"), cases(USUAL), Instant::now());
    let (mut found, mut notices, mut worst) = (0, 0, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let (record, name) = (record(&mut rng), NAMES[rng.below(NAMES.len())]);
        let pointers = [pointer(&mut rng), pointer(&mut rng)];
        let ((some, told), peak) = peak_of(|| {
            let one = extract(&record, [pointers[0].as_ref(), pointers[1].as_ref()]);
            let wanted: Vec<Pointer> = pointers.iter().flatten().cloned().chain([Pointer::tags()]).collect();
            let all = extract_all(&record, &wanted);
            let first = all.iter().map(|values| values.first());
            let alone = pointers.iter().zip(&one).filter(|(pointer, _)| pointer.is_some());
            // Both ways find the same.
            let is_same = alone.map(|(_, value)| value.as_ref()).eq(first.take(wanted.len() - 1));
            assert!(is_same, "case {case} of seed {seed}: {one:?} and {all:?} in {record:?}");
            let dialects = [Dialect::None, Dialect::X, Dialect::Mastodon, Dialect::Wikimedia];
            let told = dialects.iter().filter_map(|dialect| dialect.recognise(name, &record));
            (one.iter().flatten().count(), told.filter(|notice| !notice.title.is_empty()).count())
        });
        let limit = BYTES_MAX + BYTES_MAX_PER_BYTE * record.len();
        assert!(peak <= limit, "case {case} of seed {seed} took {peak} bytes for {}", record.len());
        (found, notices, worst) = (found + some, notices + told, worst.max(peak));
    }
    assert!(found > 0 && notices > 0, "the records reach the readers: {found} values, {notices} notices");
    eprintln!(
        "{cases} records in {:?}: {found} values, {notices} notices, at most {worst} bytes",
        began.elapsed()
    );
}

const TIMES: &[&str] = &[
    "2021-06-01T12:34:56.000Z",
    "2024-02-29T23:59:60.5+02:00",
    "0000-00-00T00:00:00-99:99",
    "9999-12-31T23:59:59.999999999999Z",
    "1690617099",
    "1725911162329308123",
    "1690617099.25",
    "-9223372036854775808",
    "9223372036854775807",
    "99999999999.9",
    "0.1e308",
    "\u{661}\u{662}",
];

#[test]
fn any_text_is_a_time_or_none() {
    let _alone = alone();
    let (seed, cases, began, mut times) = (seed("times"), cases(USUAL), Instant::now(), 0_u64);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let mut bytes = TIMES[rng.below(TIMES.len())].as_bytes().to_vec();
        if rng.one_in(2) {
            mutate(&mut bytes, &mut rng);
        } else if !bytes.is_empty() {
            // Another digit: still a time, at some edge.
            let at = rng.below(bytes.len());
            bytes[at] = b"0123456789.:-+TZ "[rng.below(17)];
        }
        times += u64::from(event_time::parse_ms(&String::from_utf8_lossy(&bytes)).is_some());
    }
    assert!(times > 0 && times < cases, "the edits reach both sides: {times} of {cases}");
    eprintln!("{cases} texts in {:?}: {times} of them times", began.elapsed());
}

/// A reading in memory.
struct Reading(Vec<(Vec<u8>, Option<String>, Option<i64>)>);

impl Input for Reading {
    fn name(&self) -> String {
        "reading".to_owned()
    }

    fn has_ids(&self) -> bool {
        true
    }

    fn read(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> Result<Damage, InputError> {
        let total = self.0.len() as u64;
        for (done, (value, id, time_ms)) in (1..).zip(&self.0) {
            let item = Item { value, id: id.as_deref(), time_ms: *time_ms };
            visit(item, Progress { done, total, is_bytes: false });
        }
        Ok(Damage::default())
    }
}

fn reading(rng: &mut Rng) -> Reading {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, 1_700_000_000_000, i64::MAX - 1, i64::MAX];
    let one = |rng: &mut Rng| {
        let id = (!rng.one_in(8)).then(|| rng.below(20).to_string());
        let time = (!rng.one_in(5)).then(|| edges[rng.below(edges.len())]);
        let value = format!("{{\"id\":{},\"t\":\"{}\"}}", rng.below(20), TIMES[rng.below(TIMES.len())]);
        (if rng.one_in(8) { record(rng) } else { value.into_bytes() }, id, time)
    };
    Reading((0..rng.below(12)).map(|_| one(rng)).collect())
}

#[test]
fn any_two_readings_are_compared_and_the_numbers_add_up() {
    let _alone = alone();
    // Two readings are some ten times the work of a record.
    let (seed, cases, began) = (seed("readings"), cases(USUAL) / 10, Instant::now());
    let (mut compared, mut missing) = (0, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let (mut a, mut b) = (reading(&mut rng), reading(&mut rng));
        let widths = [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(300), Duration::MAX];
        let options = Options {
            id: if rng.one_in(2) { Pointer::parse("/id") } else { None },
            time: if rng.one_in(2) { Pointer::parse("/t") } else { None },
            window: widths[rng.below(widths.len())],
            common_span: rng.one_in(2),
        };
        // Readings without any id are refused.
        let Ok(report) = compare::compare([&mut a, &mut b], &options, &mut |_, _| {}) else { continue };
        let counted = |gaps: &dyn Fn(&compare::WindowReport) -> &Option<compare::Gap>| -> u64 {
            report.windows.iter().filter_map(|window| gaps(window).as_ref()).map(|gap| gap.ids).sum()
        };
        let lacking = [counted(&|window| &window.missing_in_b), counted(&|window| &window.missing_in_a)];
        assert_eq!(lacking, [report.a.only_here, report.b.only_here], "case {case} of seed {seed}");
        assert!(serde_json::to_string(&report).is_ok());
        compared += 1;
        missing += lacking[0] + lacking[1];
    }
    assert!(compared > 0 && missing > 0, "{compared} of {cases} were compared, {missing} ids missing");
    eprintln!("{compared} comparisons in {:?}: {missing} ids missing", began.elapsed());
}
