//! What an operator wants done with dead letters: retry or drop them.
//!
//! An errand runs in slices, so that whoever carries it out has a moment for everything else: spill in a
//! running daemon, or the command itself when there is none. A letter that is retried is appended to the
//! spool, durable, before it is removed from the tree: what ends the process in between only repeats.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use spillway_service::errors::chain;
use spillway_spool::{Appended, Appender, DeadLetter, Group, Spool};

use crate::ledger::Ledger;

/// Letters of one slice: this many …
const SLICE: usize = 256;
/// … or this many bytes.
const SLICE_BYTES: u64 = 1 << 20;
/// How often whoever waits is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// With each of them.
    pub action: Action,
    /// With which.
    pub letters: Selection,
}

/// What is done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send its record again.
    Retry,
    /// Delete it for good.
    Drop,
}

/// Which letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Those with these numbers.
    Ids(Vec<u64>),
    /// All that there are when the errand begins.
    All,
}

/// What has been done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Letters done with.
    pub letters: u64,
    /// Numbers under which there is no letter.
    pub missing: Vec<u64>,
    /// Letters whose bytes are damaged: they can only be dropped.
    pub damaged: Vec<u64>,
}

/// How far an errand is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It goes on.
    Progress(Done),
    /// It is done, and all of it is durable.
    Finished(Done),
    /// It was broken off; what is done so far is durable.
    Failed {
        /// What has been done.
        done: Done,
        /// Why it was broken off.
        error: String,
    },
}

/// Why a slice failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The spool does not take the records.
    #[error("cannot put the records back into the spool")]
    Append(#[source] spillway_spool::Error),
    /// The spool is full and configured to drop what is new.
    #[error("the spool is full and when_full is drop_newest; the letters stay where they are")]
    Full,
    /// The removal cannot be written.
    #[error("cannot remove the dead letters; those of the last slice may be sent twice")]
    Remove(#[source] spillway_spool::Error),
}

/// An errand under way.
#[derive(Debug)]
pub struct Run {
    action: Action,
    left: Left,
    done: Done,
}

/// What is left of the selection.
#[derive(Debug)]
enum Left {
    Ids(VecDeque<u64>),
    /// From the first number up to, not including, the second. What is refused again while the errand
    /// runs has a number above, so that it comes to an end.
    Range(u64, u64),
}

impl Run {
    /// Begins an errand.
    #[must_use]
    pub fn begin(errand: Errand, spool: &Spool) -> Self {
        let left = match errand.letters {
            // In order, and each number once.
            Selection::Ids(ids) => Left::Ids(ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect()),
            Selection::All => Left::Range(0, spool.dead_next()),
        };
        Self { action: errand.action, left, done: Done::default() }
    }

    /// What has been done so far.
    #[must_use]
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// Ends it.
    #[must_use]
    pub fn into_done(self) -> Done {
        self.done
    }

    /// Does a slice. Returns whether anything may be left; what is done is durable.
    ///
    /// # Errors
    /// See [`ErrandError`]; the errand cannot go on then, and nothing is lost.
    pub fn step(&mut self, spool: &Spool, appender: &mut Appender) -> Result<bool, ErrandError> {
        let found = self.next_slice(spool);
        if found.is_empty() {
            return Ok(!self.left.is_empty());
        }
        let mut ids: Vec<u64> = found.iter().map(|letter| letter.id).collect();
        if self.action == Action::Retry {
            ids = self.put_back(&ids, spool, appender)?;
        }
        self.done.letters += spool.dead_remove_all(&ids).map_err(ErrandError::Remove)?;
        Ok(!self.left.is_empty())
    }

    fn next_slice(&mut self, spool: &Spool) -> Vec<DeadLetter> {
        let mut found = match &mut self.left {
            Left::Ids(ids) => {
                let wanted: Vec<u64> = ids.iter().copied().take(SLICE).collect();
                let found = spool.dead_find(&wanted);
                let there: BTreeSet<u64> = found.iter().map(|letter| letter.id).collect();
                let missing = wanted.iter().copied().filter(|id| !there.contains(id));
                self.done.missing.extend(missing);
                ids.drain(..wanted.len());
                found
            }
            Left::Range(from, end) => {
                let mut found = spool.dead_from(*from, SLICE);
                found.retain(|letter| letter.id < *end);
                *from = found.last().map_or(*end, |last| last.id + 1);
                found
            }
        };
        let mut bytes = 0;
        let whole = found.iter().take_while(|letter| {
            let is_first = bytes == 0;
            bytes += letter.bytes.max(1);
            is_first || bytes <= SLICE_BYTES
        });
        let rest = found.split_off(whole.count());
        self.left.put_back(&rest);
        found
    }

    /// Appends the records to the spool; the numbers of those that are there now.
    fn put_back(
        &mut self,
        ids: &[u64],
        spool: &Spool,
        appender: &mut Appender,
    ) -> Result<Vec<u64>, ErrandError> {
        let letters = spool.dead_read(ids);
        let read: BTreeSet<u64> = letters.iter().map(|(letter, _)| letter.id).collect();
        self.done.damaged.extend(ids.iter().copied().filter(|id| !read.contains(id)));
        let mut group = Group::new();
        for (_, record) in &letters {
            group.push(&[record]);
        }
        match appender.append(&group).map_err(ErrandError::Append)? {
            Appended::Stored { .. } => Ok(read.into_iter().collect()),
            Appended::Dropped { .. } => Err(ErrandError::Full),
        }
    }
}

impl Left {
    fn is_empty(&self) -> bool {
        match self {
            Self::Ids(ids) => ids.is_empty(),
            Self::Range(from, end) => from >= end,
        }
    }

    /// The letters at the end of a slice that were too much for it.
    fn put_back(&mut self, rest: &[DeadLetter]) {
        match self {
            Self::Ids(ids) => rest.iter().rev().for_each(|letter| ids.push_front(letter.id)),
            Self::Range(from, _) => *from = rest.first().map_or(*from, |first| first.id),
        }
    }
}

/// An errand for a running daemon, and where its answers go.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) errand: Errand,
    pub(crate) answers: Sender<Answer>,
}

/// The errands of a running daemon, one after the other.
pub(crate) struct Errands {
    orders: Receiver<Order>,
    current: Option<(Run, Sender<Answer>)>,
    told: Instant,
}

impl Errands {
    pub(crate) fn new(orders: Receiver<Order>) -> Self {
        Self { orders, current: None, told: Instant::now() }
    }

    /// Does a slice, if there is anything to do. It is counted before it is answered.
    pub(crate) fn step(&mut self, spool: &Spool, appender: &mut Appender, ledger: &Ledger) {
        let (mut run, answers) = match self.current.take() {
            Some(current) => current,
            None => {
                let Ok(Order { errand, answers }) = self.orders.try_recv() else { return };
                self.told = Instant::now();
                (Run::begin(errand, spool), answers)
            }
        };
        let before = run.done.letters;
        let stepped = run.step(spool, appender);
        let action = run.action;
        match action {
            Action::Retry => ledger.dead_retried(run.done.letters - before),
            Action::Drop => ledger.dead_deleted(run.done.letters - before),
        }
        match stepped {
            Ok(true) => {
                if self.told.elapsed() >= PROGRESS_EVERY {
                    self.told = Instant::now();
                    // Whoever asked may be gone; the errand is done all the same.
                    let _ = answers.send(Answer::Progress(run.done.clone()));
                }
                self.current = Some((run, answers));
            }
            Ok(false) => {
                tracing::info!(
                    event = "dead_letters_handled",
                    ?action,
                    letters = run.done.letters,
                    "an operator's errand with dead letters is done"
                );
                let _ = answers.send(Answer::Finished(run.done));
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(
                    event = "dead_letters_not_handled",
                    ?action,
                    error,
                    "an operator's errand with dead letters was broken off"
                );
                let _ = answers.send(Answer::Failed { done: run.done, error });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        _dir: tempfile::TempDir,
        spool: Spool,
        appender: Appender,
        _reader: spillway_spool::Reader,
    }

    fn rig(letters: usize, len: usize) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let config = spillway_spool::Config {
            free_floor_bytes: 0,
            ballast_bytes: 0,
            ..spillway_spool::Config::new(dir.path())
        };
        let (spool, appender, reader) = Spool::open(config).unwrap();
        let record = vec![b'r'; len];
        let new = spillway_spool::NewDeadLetter { record: &record, reason: "why", unix_ms: 1 };
        spool.dead_put_all(&vec![new; letters]).unwrap();
        Rig { _dir: dir, spool, appender, _reader: reader }
    }

    /// Runs an errand to its end; what was done, and in how many slices.
    fn carry_out(rig: &mut Rig, action: Action, letters: Selection) -> (Done, u32) {
        let mut run = Run::begin(Errand { action, letters }, &rig.spool);
        let mut slices = 1;
        while run.step(&rig.spool, &mut rig.appender).unwrap() {
            slices += 1;
            let stats = rig.spool.stats();
            assert_eq!(stats.records + stats.dead_letters, 700, "each letter is in one of the two places");
        }
        (run.into_done(), slices)
    }

    #[test]
    fn a_retry_moves_every_letter_in_slices() {
        let mut rig = rig(700, 10);
        let (done, slices) = carry_out(&mut rig, Action::Retry, Selection::All);
        assert_eq!(done, Done { letters: 700, ..Done::default() });
        assert!(slices >= 3, "{slices}");
        assert_eq!((rig.spool.stats().records, rig.spool.stats().dead_letters), (700, 0));
    }

    #[test]
    fn a_slice_is_bounded_by_bytes_and_takes_at_least_one() {
        for selection in [Selection::All, Selection::Ids((1..=700).collect())] {
            let mut rig = rig(700, 20_000);
            let (done, slices) = carry_out(&mut rig, Action::Retry, selection);
            assert_eq!(done.letters, 700);
            assert!(slices >= 13, "{slices}");
        }
        let mut rig = rig(2, 3 << 20);
        let mut run = Run::begin(Errand { action: Action::Drop, letters: Selection::All }, &rig.spool);
        assert!(run.step(&rig.spool, &mut rig.appender).unwrap());
        assert_eq!(run.done().letters, 1);
    }

    #[test]
    fn numbers_without_a_letter_are_told_and_a_drop_puts_nothing_back() {
        let mut rig = rig(10, 10);
        let errand = Errand { action: Action::Drop, letters: Selection::Ids(vec![11, 3, 3, 9, 0]) };
        let mut run = Run::begin(errand, &rig.spool);
        while run.step(&rig.spool, &mut rig.appender).unwrap() {}
        assert_eq!(run.into_done(), Done { letters: 2, missing: vec![0, 11], damaged: vec![] });
        assert_eq!((rig.spool.stats().records, rig.spool.stats().dead_letters), (0, 8));
    }

    #[test]
    fn what_comes_while_an_errand_runs_is_left_for_the_next() {
        let mut rig = rig(300, 10);
        let mut run = Run::begin(Errand { action: Action::Retry, letters: Selection::All }, &rig.spool);
        let late = rig.spool.dead_put(b"refused again", "why", 2).unwrap();
        while run.step(&rig.spool, &mut rig.appender).unwrap() {}
        assert_eq!(run.done().letters, 300);
        assert_eq!(rig.spool.dead_list().map(|l| l.id).collect::<Vec<_>>(), [late]);
    }

    #[test]
    fn a_spool_that_drops_what_is_new_keeps_its_letters() {
        let dir = tempfile::tempdir().unwrap();
        let config = spillway_spool::Config {
            free_floor_bytes: 0,
            ballast_bytes: 0,
            when_full: spillway_spool::WhenFull::DropNewest,
            quota_bytes: 100_000,
            codec: spillway_spool::Codec::None,
            ..spillway_spool::Config::new(dir.path())
        };
        let (spool, mut appender, _reader) = Spool::open(config).unwrap();
        // Bytes that no compression makes smaller: two copies do not fit into the quota.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(70_000)
        .collect();
        spool.dead_put(&noise, "why", 1).unwrap();
        let mut run = Run::begin(Errand { action: Action::Retry, letters: Selection::All }, &spool);
        assert!(matches!(run.step(&spool, &mut appender), Err(ErrandError::Full)));
        assert_eq!((spool.stats().dead_letters, spool.stats().records), (1, 0));
    }
}
