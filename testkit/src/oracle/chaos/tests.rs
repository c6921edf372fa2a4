//! The judge on made-up cases: each kind of wrong is seen, and what is allowed is not called wrong.

use super::*;

fn found(partition: i32, offset: i64, n: u64) -> Found {
    Found { partition, offset, at_ms: 1_000 + offset, id: Some(Numbered::id(n)), number: Ok(n) }
}

/// Partition 0 holds `numbers` in this order.
fn topic(numbers: &[u64]) -> Vec<Found> {
    numbers.iter().zip(0..).map(|(n, offset)| found(0, offset, *n)).collect()
}

struct Made {
    served: u64,
    arrival: bool,
    dead: Vec<u64>,
    must: u64,
    allowances: Vec<Allowance>,
}

impl Default for Made {
    fn default() -> Self {
        Self { served: 5, arrival: true, dead: Vec::new(), must: 0, allowances: Vec::new() }
    }
}

impl Made {
    fn judge(&self, topic: &[Found]) -> Verdict {
        let must = self.must;
        judge(&Case {
            served: self.served,
            arrival: self.arrival,
            topic,
            dead: &self.dead.iter().copied().collect(),
            refusal: &|n| if n == must { Refusal::Must } else { Refusal::Never },
            allowances: &self.allowances,
        })
    }
}

fn allow(records: RangeInclusive<u64>, at_most: u64) -> Allowance {
    Allowance { reason: "kill".into(), records, at_most, counted_at_ms: None }
}

#[test]
fn all_there_once_and_in_order_is_good() {
    let verdict = Made::default().judge(&topic(&[1, 2, 3, 4, 5]));
    assert!(verdict.is_good());
    assert_eq!((verdict.delivered, verdict.duplicates), (5, 0));
}

#[test]
fn a_missing_record_is_lost_unless_it_is_allowed_and_no_more_than_allowed() {
    let made = Made { served: 7, ..Made::default() };
    let there = topic(&[1, 2, 5, 6]);
    assert_eq!(made.judge(&there).lost, [3, 4, 7]);
    let allowances = vec![allow(3..=5, 1), allow(1..=4, 1)];
    let verdict = Made { allowances, ..made }.judge(&there);
    assert_eq!(verdict.lost, [7], "3 is covered by the allowance that ends first, 4 by the other");
    assert_eq!(verdict.allowed_records(), 2);
    assert!(!verdict.is_good());
}

#[test]
fn a_copy_is_counted_and_must_be_the_same_under_the_same_id_in_the_same_partition() {
    let verdict = Made::default().judge(&topic(&[1, 2, 3, 2, 3, 4, 5]));
    assert!(verdict.is_good());
    assert_eq!(verdict.duplicates, 2);

    let mut there = topic(&[1, 2, 3, 4, 5, 5, 3]);
    there[5].partition = 1;
    there[6].id = Some(Numbered::id(4));
    let verdict = Made { arrival: false, ..Made::default() }.judge(&there);
    assert_eq!((verdict.scattered.as_slice(), verdict.misnamed.as_slice()), (&[5][..], &[3][..]));
}

#[test]
fn what_nobody_served_and_what_was_changed_is_seen() {
    let mut there = topic(&[1, 2, 3, 4, 5, 6]);
    there[1].number = Err(Foreign::Sum(2));
    let verdict = Made::default().judge(&there);
    assert_eq!(verdict.unknown, [6]);
    assert_eq!(verdict.corrupt.len(), 1);
    assert_eq!(verdict.lost, [2], "a changed record is not the one that was sent");
}

#[test]
fn a_refused_record_must_be_a_dead_letter_and_no_other() {
    let made = Made { must: 3, dead: vec![3], ..Made::default() };
    assert!(made.judge(&topic(&[1, 2, 4, 5])).is_good());
    assert_eq!(Made { dead: vec![], ..made }.judge(&topic(&[1, 2, 4, 5])).lost, [3]);
    let verdict = Made { dead: vec![3, 4], must: 3, ..Made::default() }.judge(&topic(&[1, 2, 5]));
    assert_eq!(verdict.misjudged, [4], "its neighbour is none");
}

#[test]
fn a_first_copy_behind_a_later_record_is_disorder() {
    let verdict = Made::default().judge(&topic(&[1, 2, 4, 3, 5]));
    assert_eq!(verdict.disorder, [Disorder { partition: 0, offset: 3, number: 3, behind: 4 }]);
    assert!(!verdict.is_good());
    assert!(Made { arrival: false, ..Made::default() }.judge(&topic(&[1, 2, 4, 3, 5])).is_good());
}

#[test]
fn a_batch_that_was_repeated_in_its_order_explains_it() {
    let verdict = Made::default().judge(&topic(&[1, 2, 4, 5, 3, 4, 5]));
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.explained.iter().map(|d| d.number).collect::<Vec<_>>(), [3]);
    let verdict = Made::default().judge(&topic(&[1, 2, 4, 5, 3, 4]));
    assert_eq!(verdict.disorder.len(), 1, "5 was not repeated");
}

#[test]
fn partitions_have_an_order_each() {
    let there = [found(0, 0, 2), found(0, 1, 5), found(1, 0, 1), found(1, 1, 3), found(1, 2, 4)];
    assert!(Made::default().judge(&there).is_good());
}

#[test]
fn a_count_of_lost_records_must_be_right() {
    let counted = Allowance { counted_at_ms: Some(1_000), ..allow(2..=4, 2) };
    let made = Made { allowances: vec![counted], ..Made::default() };
    assert!(made.judge(&topic(&[1, 4, 5])).is_good(), "2 and 3 are missing, as was counted");
    let verdict = made.judge(&topic(&[1, 3, 4, 5]));
    assert_eq!(verdict.overcounted.len(), 1, "only 2 is missing");
    let mut there = topic(&[1, 3, 4, 5]);
    there[1].at_ms = 900;
    assert!(made.judge(&there).is_good(), "3 was in the topic before the count");
}
