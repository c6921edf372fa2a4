//! Small histories whose verdicts are known.

use super::*;

/// Record `n` has the hash 100 + n and the time 1000 n; number 5 is a message.
fn history(resumable: bool, sessions: Vec<Session>) -> History {
    let item = |n: u64| Item {
        number: n,
        hash: 100 + n,
        event_ms: i64::try_from(1_000 * n).unwrap(),
        len: 10,
        data: n != 5,
    };
    History { records: (1..=20).map(item).collect(), sessions, resumable }
}

fn session(served: impl IntoIterator<Item = u64>, may_lose: bool) -> Session {
    let served: Vec<u64> = served.into_iter().collect();
    Session { from: served[0], served, may_lose, ..Session::default() }
}

fn hashes(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    numbers.into_iter().map(|n| 100 + n).collect()
}

#[test]
fn of_a_stream_that_ended_in_order_everything_is_owed() {
    let history = history(false, vec![session(1..=4, false), session(8..=10, false)]);
    let all = judge(&history, &hashes([1, 2, 3, 4, 8, 9, 10]));
    assert!(all.is_complete());
    assert_eq!(all.gaps, [Gap { before: 4, after: 8, from_ms: 4_000, to_ms: 8_000, missed: vec![6, 7] }]);
    assert_eq!(judge(&history, &hashes([1, 2, 3, 8, 9, 10])).lost, [4], "the last of a stream");
    assert_eq!(judge(&history, &hashes([1, 2, 3, 4, 8, 9])).lost, [10], "the last of all");
}

#[test]
fn of_a_stream_that_broke_the_last_may_be_missing_but_no_hole() {
    let history = history(false, vec![session(1..=4, true), session(8..=10, false)]);
    let tail = judge(&history, &hashes([1, 2, 8, 9, 10]));
    assert!(tail.is_complete());
    assert_eq!(
        tail.gaps[0],
        Gap { before: 2, after: 8, from_ms: 2_000, to_ms: 8_000, missed: vec![3, 4, 6, 7] }
    );
    assert_eq!(judge(&history, &hashes([1, 3, 4, 8, 9, 10])).lost, [2]);
    // The whole stream may be unread; then there is no gap that a client could know of.
    assert_eq!(judge(&history, &hashes([8, 9, 10])).gaps, []);
}

#[test]
fn repeated_records_prove_nothing_about_what_was_read() {
    // 1 and 2 come again behind 4, of which nothing was read.
    let repeated = history(false, vec![session([1, 2, 3, 4, 1, 2], true), session(8..=9, false)]);
    assert!(judge(&repeated, &hashes([1, 2, 8, 9])).is_complete());
    // A backfill serves 3 and 4 again, but no longer 2.
    let backfilled = history(false, vec![session(1..=4, true), session([4, 3, 6, 3], false)]);
    assert!(judge(&backfilled, &hashes([1, 3, 4, 6])).is_complete());
    assert_eq!(judge(&backfilled, &hashes([1, 3, 6])).lost, [4]);
}

#[test]
fn a_service_with_resume_owes_everything_from_its_first_stream_on() {
    let history = history(true, vec![session(3..=6, true), session(9..=10, false)]);
    assert_eq!(judge(&history, &hashes([3, 4, 6, 9, 10])).lost, [7, 8]);
    assert!(judge(&history, &hashes([3, 4, 6, 9, 10, 7, 8])).lost.is_empty());
}

#[test]
fn what_must_not_be_there_is_found() {
    let history = history(false, vec![session(1..=6, false)]);
    let verdict = judge(&history, &hashes([1, 2, 2, 2, 3, 4, 5, 6, 7, 99]));
    assert_eq!((verdict.duplicates, verdict.messages), (2, vec![5]));
    assert_eq!((verdict.torn, verdict.foreign), (vec![7], vec![199]));
    assert!(verdict.lost.is_empty());
}

#[test]
fn a_record_without_its_end_may_arrive_and_need_not() {
    let broken = Session { unended: Some(4), ..session(1..=3, false) };
    let history = history(false, vec![broken, session(8..=9, false)]);
    let read = judge(&history, &hashes([1, 2, 3, 4, 8, 9]));
    assert!(read.is_complete() && read.gaps[0].before == 4, "{read:?}");
    let unread = judge(&history, &hashes([1, 2, 3, 8, 9]));
    assert!(unread.is_complete() && unread.gaps[0].before == 3, "{unread:?}");
    assert_eq!(judge(&history, &hashes([1, 2, 4, 8, 9])).lost, [3]);
}
