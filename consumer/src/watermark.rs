//! The watermark of one partition: up to which event time its panes are closed. It only rises.
//!
//! It rises for two reasons. By records: the greatest event time seen, minus the delay that is granted
//! to stragglers. This is a function of the records alone, so reading them again closes the same
//! panes at the same records. By decision: a partition that is idle or drained is closed up to the
//! frontier that was proposed. Reading again would not repeat a decision; it becomes durable with the
//! entry of the log that closes the panes.

use crate::micros::{self, Micros};

/// See the module.
#[derive(Debug)]
pub(crate) struct Watermark {
    pane: Micros,
    delay: Micros,
    /// Where the panes are closed up to by decisions, or were when the partition was taken on.
    by_decision: Option<Micros>,
    by_records: Option<Micros>,
    newest: Option<Micros>,
}

impl Watermark {
    /// `closed_through` is where the partition was closed up to when it was taken on.
    pub(crate) fn new(pane: Micros, delay: Micros, closed_through: Option<Micros>) -> Self {
        Self { pane, delay, by_decision: closed_through, by_records: None, newest: None }
    }

    /// Panes that end at or before this are closed; `None` while none is.
    pub(crate) fn closed_through(&self) -> Option<Micros> {
        self.by_decision.max(self.by_records)
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

    /// Decides that panes up to `through` are closed.
    pub(crate) fn force(&mut self, through: Micros) {
        self.by_decision = self.by_decision.max(Some(through));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_close_panes_after_the_delay() {
        let mut mark = Watermark::new(300, 30, None);
        assert_eq!(mark.closed_through(), None);
        mark.observe(329);
        assert_eq!(mark.closed_through(), Some(0));
        mark.observe(330);
        assert_eq!(mark.closed_through(), Some(300));
        mark.observe(10);
        assert_eq!((mark.closed_through(), mark.newest()), (Some(300), Some(330)));
    }

    #[test]
    fn what_was_closed_before_and_what_is_decided_stays_closed() {
        let mut mark = Watermark::new(300, 0, Some(900));
        mark.observe(100);
        assert_eq!(mark.closed_through(), Some(900));
        mark.force(1500);
        mark.force(1200);
        mark.observe(1000);
        assert_eq!(mark.closed_through(), Some(1500));
        mark.observe(1801);
        assert_eq!(mark.closed_through(), Some(1800));
    }

    proptest! {
        #[test]
        fn it_never_falls(times in prop::collection::vec(-10_000_i64..10_000, 1..100), pane in 1_i64..500, delay in 0_i64..500) {
            let mut mark = Watermark::new(pane, delay, None);
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
