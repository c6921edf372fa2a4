//! Where the partitions begin and end: asking for it, and what follows from the answer. Records that were deleted
//! unread are loss, and a partition that ends before what was read of it is another one.

use std::time::{Duration, Instant};

use super::Run;
use crate::activity::Ends;
use crate::config::OnGap;
use crate::error::Error;
use crate::kafka;

/// How often the partitions' ends are asked for.
const ENDS_INTERVAL: Duration = Duration::from_secs(5);
/// The same when a window waits for the answer.
const ENDS_INTERVAL_URGENT: Duration = Duration::from_millis(500);
/// The same when a drain waits for the answer: it asks once for each partition that it is given.
const ENDS_INTERVAL_DRAINING: Duration = Duration::from_millis(50);

impl Run<'_> {
    /// Asks for the partitions' ends, and takes the answers in.
    pub(super) fn ask_for_ends(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(round) = self.probe.answers() {
            self.total = round.total.unwrap_or(self.total);
            let mut is_looked_into = true;
            for (partition, ends) in round.ends {
                if let Some(ends) = ends {
                    self.refuse_rewound(partition, ends)?;
                    self.engine.starts_at(partition, ends.low);
                }
                is_looked_into &= self.look_into(partition, ends)?;
                self.activity.asked(partition, ends);
            }
            if is_looked_into {
                self.out_of_range = None;
            }
        }
        let through = self.closing.proposed_through();
        let is_urgent = self.total == 0
            || self.out_of_range.is_some()
            || match &self.drain {
                Some(drain) => !drain.knows_ends(&self.engine),
                None => self.engine.behind(through).any(|partition| self.activity.is_silent(partition, now)),
            };
        let pause = match (&self.drain, is_urgent) {
            (Some(_), true) => ENDS_INTERVAL_DRAINING,
            (None, true) => ENDS_INTERVAL_URGENT,
            (_, false) => ENDS_INTERVAL,
        };
        self.probe.ask(self.membership.reading(), now, pause);
        Ok(())
    }

    /// Finds out which offset it is that a partition does not hold: one that was deleted, which is loss, or
    /// one that there has never been.
    /// Returns whether that is done with.
    fn look_into(&mut self, partition: i32, ends: Option<Ends>) -> Result<bool, Error> {
        let Some(since) = self.out_of_range else { return Ok(true) };
        let Some(ends) = ends.filter(|ends| ends.asked >= since) else { return Ok(false) };
        let Some(next) = self.engine.position(partition) else { return Ok(true) };
        // The client does not say which partition it was: the others read on from where they are.
        self.engine.jump_to(partition, ends.low);
        let from = Some(next.max(ends.low));
        let sought = kafka::reassign(&self.client, &self.config.topic, partition, from);
        if let Err(error) = &sought {
            tracing::warn!(
                event = "gap_not_passed",
                partition,
                %error,
                "cannot read on behind what was deleted; trying again"
            );
        }
        Ok(sought.is_ok())
    }

    /// What was read before this run, or is asked for in vain, cannot be behind the end.
    fn refuse_rewound(&self, partition: i32, ends: Ends) -> Result<(), Error> {
        let is_certain =
            self.engine.is_fresh(partition) || self.out_of_range.is_some_and(|since| ends.asked >= since);
        match self.engine.position(partition).filter(|next| is_certain && *next > ends.high) {
            Some(next) => {
                let topic = self.config.topic.clone();
                Err(Error::Rewound { topic, partition, end: ends.high, next })
            }
            None => Ok(()),
        }
    }

    pub(super) fn report_missed(&mut self) -> Result<(), Error> {
        let missed = self.engine.tally().missed;
        if missed > self.reported_missed {
            let records = missed - self.reported_missed;
            if self.config.on_gap == OnGap::Stop {
                // Before an entry says so: the next run finds the same.
                return Err(Error::Gap { topic: self.config.topic.clone(), records });
            }
            tracing::error!(
                event = "records_missed",
                topic = self.config.topic,
                records,
                "Kafka has deleted records that were not read yet; they are in no table"
            );
            self.reported_missed = missed;
        }
        Ok(())
    }
}
