//! What may be lost with the end of one life of the daemon.

use std::ops::RangeInclusive;

use super::Allowance;

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Killed, or its disk lost power. The figures are from its last status before that, counted in this
    /// life alone.
    Killed {
        /// Records in Kafka, on disk, or dropped for a reason.
        settled: u64,
        /// Records on disk; they come in the order of receipt.
        spooled: u64,
        /// As many of the first records were all settled at one moment.
        clean: u64,
    },
    /// Stopped in order, with so many records received.
    Stopped {
        /// Received.
        received: u64,
    },
}

/// One life of the daemon: from a start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Why it ended, for the report.
    pub reason: &'static str,
    /// The numbers that were served to it.
    pub served: RangeInclusive<u64>,
    /// Whether its source lets a later life read again.
    pub can_resume: bool,
    /// Whether every record was to be on disk before it counted as accepted.
    pub always: bool,
    /// How it ended.
    pub end: End,
}

impl Life {
    /// What may be lost with it; `None` for nothing.
    ///
    /// With a source that can resume: nothing. After a stop: what the source had sent and the daemon had
    /// not read. After a kill with `journal = "always"`: what was not on disk, which is a tail, since the
    /// disk is written in the order of receipt. After a kill with `journal = "outage"`: as many as were not
    /// settled, behind the last moment at which all were.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        if self.can_resume {
            return None;
        }
        let count = (self.served.end() + 1).saturating_sub(*self.served.start());
        let (from, at_most) = match self.end {
            End::Stopped { received } => (received, count.saturating_sub(received)),
            End::Killed { spooled, .. } if self.always => (spooled, count.saturating_sub(spooled)),
            End::Killed { settled, clean, .. } => (clean, count.saturating_sub(settled)),
        };
        let records = self.served.start() + from..=*self.served.end();
        (at_most > 0).then(|| Allowance {
            reason: self.reason.to_owned(),
            records,
            at_most,
            counted_at_ms: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(always: bool, end: End) -> Life {
        Life { reason: "kill", served: 101..=200, can_resume: false, always, end }
    }

    const KILLED: End = End::Killed { settled: 90, spooled: 60, clean: 80 };

    fn spent(life: &Life) -> Option<(RangeInclusive<u64>, u64)> {
        life.allowance().map(|allowance| (allowance.records, allowance.at_most))
    }

    #[test]
    fn what_was_settled_cannot_be_lost() {
        assert_eq!(spent(&life(false, KILLED)), Some((181..=200, 10)));
        let end = End::Killed { settled: 100, spooled: 0, clean: 100 };
        assert_eq!(spent(&life(false, end)), None);
    }

    #[test]
    fn with_a_journal_all_that_was_on_disk_is_kept() {
        assert_eq!(spent(&life(true, KILLED)), Some((161..=200, 40)));
    }

    #[test]
    fn a_stop_loses_only_what_was_not_read() {
        assert_eq!(spent(&life(false, End::Stopped { received: 97 })), Some((198..=200, 3)));
        assert_eq!(spent(&life(true, End::Stopped { received: 100 })), None);
    }

    #[test]
    fn a_source_that_can_resume_loses_nothing() {
        assert_eq!(spent(&Life { can_resume: true, ..life(false, KILLED) }), None);
    }
}
