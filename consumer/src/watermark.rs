//! The watermark of one partition: up to which event time its panes are closed. It only rises.
//!
//! It rises for two reasons. By records: the greatest event time seen, minus the delay that is granted
//! to stragglers. This is a function of the records alone, so reading them again closes the same
//! panes at the same records. By decision: a partition that has been silent at its end, or a drain,
//! closes panes because time has passed. Reading again would not repeat a decision, so each is kept
//! with the offset it was taken at, and takes effect there again after a restart.

use crate::micros::{self, Micros};

/// A decision that panes up to `through` are closed for every record from offset `at` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forced {
    pub(crate) through: Micros,
    pub(crate) at: i64,
}

/// A decision, and whether an event was late by it.
#[derive(Debug, Clone, Copy)]
struct Decision {
    forced: Forced,
    mattered: bool,
}

/// How many decisions that made an event late are remembered. The oldest are forgotten beyond that;
/// then a crash at the worst moment may find that an object differs, and stop.
const DECISIONS_MAX: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct Watermark {
    pane: Micros,
    delay: Micros,
    /// Panes before it are in final objects already.
    base: Option<Micros>,
    /// Where the panes are closed up to by records.
    by_records: Option<Micros>,
    /// Where they are closed up to by a decision.
    by_decision: Option<Micros>,
    newest: Option<Micros>,
    /// In the order they were taken; those of the last run beyond `reached` are still to take effect.
    decisions: Vec<Decision>,
    reached: usize,
}

impl Watermark {
    /// `base` is the end of what is final already; `decisions` are those of the last run.
    pub(crate) fn new(pane: Micros, delay: Micros, base: Option<Micros>, decisions: &[Forced]) -> Self {
        let decisions = decisions.iter().map(|forced| Decision { forced: *forced, mattered: true }).collect();
        Self { pane, delay, base, by_records: None, by_decision: None, newest: None, decisions, reached: 0 }
    }

    /// Panes that end at or before this are closed; `None` while none is.
    pub(crate) fn closed_through(&self) -> Option<Micros> {
        self.base.max(self.by_records).max(self.by_decision)
    }

    /// The greatest event time seen.
    pub(crate) fn newest(&self) -> Option<Micros> {
        self.newest
    }

    /// An event of time `time` is on time.
    pub(crate) fn observe(&mut self, time: Micros) {
        self.newest = self.newest.max(Some(time));
        self.by_records =
            self.by_records.max(Some(micros::floor(time.saturating_sub(self.delay), self.pane)));
    }

    /// All records before `offset` have been read: decisions of the last run that were taken there
    /// or before take effect. Returns whether one did.
    pub(crate) fn reach(&mut self, offset: i64) -> bool {
        let before = self.reached;
        while let Some(decision) = self.decisions.get(self.reached).filter(|d| d.forced.at <= offset) {
            self.by_decision = self.by_decision.max(Some(decision.forced.through));
            self.reached += 1;
        }
        self.reached > before
    }

    /// Decides, when all records before `at` have been read, that panes up to `through` are closed.
    pub(crate) fn force(&mut self, forced: Forced) {
        // None of the last run's is ahead of the end of the partition, which is where this is called.
        self.reach(i64::MAX);
        // One that is superseded and made nothing late has no trace in any result.
        self.decisions.retain(|decision| decision.mattered);
        if self.decisions.len() >= DECISIONS_MAX {
            self.decisions.remove(0);
        }
        self.decisions.push(Decision { forced, mattered: false });
        self.reached = self.decisions.len();
        self.by_decision = self.by_decision.max(Some(forced.through));
    }

    /// An event in the pane that starts at `pane` was late.
    pub(crate) fn was_late(&mut self, pane: Micros) {
        let by_decision = self.base.max(self.by_records).is_none_or(|closed| pane >= closed);
        if by_decision
            && let Some(decision) = self.reached.checked_sub(1).and_then(|i| self.decisions.get_mut(i))
        {
            decision.mattered = true;
        }
    }

    /// Everything up to `through` is in final objects: decisions about that are done with.
    pub(crate) fn finalised(&mut self, through: Micros) {
        let gone = self.decisions[..self.reached].iter().filter(|d| d.forced.through <= through).count();
        self.decisions.retain(|d| d.forced.through > through);
        self.reached -= gone;
        self.base = self.base.max(Some(through));
    }

    /// The decisions that a restart must repeat.
    pub(crate) fn decisions(&self) -> Vec<Forced> {
        self.decisions.iter().map(|decision| decision.forced).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forced(through: Micros, at: i64) -> Forced {
        Forced { through, at }
    }

    #[test]
    fn records_close_panes_after_the_delay() {
        let mut mark = Watermark::new(300, 30, None, &[]);
        assert_eq!(mark.closed_through(), None);
        mark.observe(329);
        assert_eq!(mark.closed_through(), Some(0));
        mark.observe(330);
        assert_eq!(mark.closed_through(), Some(300));
        mark.observe(10);
        assert_eq!((mark.closed_through(), mark.newest()), (Some(300), Some(330)));
    }

    #[test]
    fn what_was_final_before_stays_closed() {
        let mut mark = Watermark::new(300, 0, Some(900), &[]);
        mark.observe(100);
        assert_eq!(mark.closed_through(), Some(900));
    }

    #[test]
    fn a_decision_takes_effect_again_at_its_offset() {
        let mut mark = Watermark::new(300, 0, None, &[forced(600, 5), forced(900, 7)]);
        assert!(!mark.reach(4));
        assert_eq!(mark.closed_through(), None);
        assert!(mark.reach(5));
        assert_eq!(mark.closed_through(), Some(600));
        assert!(mark.reach(9));
        assert_eq!(mark.closed_through(), Some(900));
    }

    #[test]
    fn a_decision_is_kept_until_it_cannot_matter() {
        let mut mark = Watermark::new(300, 0, None, &[]);
        mark.force(forced(300, 1));
        mark.force(forced(600, 2));
        assert_eq!(mark.decisions(), [forced(600, 2)], "the first made nothing late");
        mark.was_late(300);
        mark.force(forced(900, 4));
        assert_eq!(mark.decisions(), [forced(600, 2), forced(900, 4)]);
        mark.finalised(600);
        assert_eq!(mark.decisions(), [forced(900, 4)]);
        assert_eq!(mark.closed_through(), Some(900));
    }

    #[test]
    fn an_event_late_by_records_marks_no_decision() {
        let mut mark = Watermark::new(300, 0, None, &[]);
        mark.force(forced(300, 1));
        mark.observe(1000);
        mark.was_late(0);
        mark.force(forced(1200, 4));
        assert_eq!(mark.decisions(), [forced(1200, 4)]);
    }

    #[test]
    fn the_memory_of_decisions_is_bounded() {
        let mut mark = Watermark::new(1, 0, None, &[]);
        for i in 1..100 {
            mark.force(forced(i, i));
            mark.was_late(i - 1);
        }
        assert_eq!(mark.decisions().len(), DECISIONS_MAX);
        assert_eq!(mark.decisions().last(), Some(&forced(99, 99)));
    }

    proptest! {
        #[test]
        fn it_never_falls(times in prop::collection::vec(-10_000_i64..10_000, 1..100), pane in 1_i64..500, delay in 0_i64..500) {
            let mut mark = Watermark::new(pane, delay, None, &[]);
            let mut before = None;
            for time in times {
                mark.observe(time);
                let closed = mark.closed_through();
                prop_assert!(closed >= before);
                prop_assert!(closed.unwrap() <= mark.newest().unwrap() - delay, "nothing closes before its delay");
                prop_assert_eq!(closed.unwrap().rem_euclid(pane), 0);
                before = closed;
            }
        }
    }
}
