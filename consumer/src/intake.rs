//! Takes one record in: reads it by the profile, hands it to the engine, and logs what is not counted.
//! Every record is dealt with, whatever is in it; none stops the run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::engine::Engine;
use crate::event::Message;
use crate::micros::{self, Micros};
use crate::pane::Record;
use crate::partition::Verdict;
use crate::profiles::Profile;
use crate::throttle::Throttle;
use spillway_service::errors::chain;

/// The header that carries a record's id.
pub const ID_HEADER: &str = "spillway-id";

/// See the module.
#[derive(Debug)]
pub(crate) struct Intake {
    profile: Profile,
    titles: BTreeSet<String>,
    late: Throttle,
    quarantined: Throttle,
}

/// Titles of notices that are remembered as logged. There are few kinds; the limit is for a title that
/// is different each time.
const TITLES_MAX: usize = 1000;

impl Intake {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            titles: BTreeSet::new(),
            late: Throttle::new(1, Duration::from_secs(10)),
            quarantined: Throttle::new(20, Duration::from_secs(10)),
        }
    }

    pub(crate) fn take(&mut self, message: &BorrowedMessage<'_>, engine: &mut Engine, now: Instant) {
        let (partition, offset) = (message.partition(), message.offset());
        let timestamp = message.timestamp().to_millis().map_or_else(wall_clock, |ms| ms.saturating_mul(1000));
        let value = message.payload().unwrap_or_default();
        let record = Record { offset, id: id(message), timestamp, value };
        match self.profile.read(value, engine.needs()) {
            Ok(Message::Event(event)) => match engine.event(partition, record, &event) {
                Some(Verdict::Late) => self.log_late(partition, offset, event.time, now),
                Some(Verdict::Future) => {
                    let reason = format!(
                        "its time {} is too far ahead of Kafka's, {}",
                        micros::show(event.time),
                        micros::show(timestamp)
                    );
                    self.log_quarantined(partition, offset, &reason, now);
                }
                Some(Verdict::Counted | Verdict::Duplicate | Verdict::Replayed) | None => {}
            },
            Ok(notice @ Message::Notice { .. }) => {
                engine.notice(partition, offset);
                self.log_notice(partition, offset, &notice);
            }
            Err(unreadable) => {
                let reason = chain(&unreadable);
                if engine.unreadable(partition, record, &reason) {
                    self.log_quarantined(partition, offset, &reason, now);
                }
            }
        }
    }

    fn log_late(&mut self, partition: i32, offset: i64, time: Micros, now: Instant) {
        if let Some(held_back) = self.late.pass(now) {
            let time = micros::show(time);
            tracing::warn!(
                event = "late_event",
                partition,
                offset,
                time,
                held_back,
                "an event came after its window was closed; it is in no table, and kept in the log"
            );
        }
    }

    fn log_quarantined(&mut self, partition: i32, offset: i64, reason: &str, now: Instant) {
        if let Some(held_back) = self.quarantined.pass(now) {
            tracing::warn!(
                event = "record_quarantined",
                partition,
                offset,
                reason,
                held_back,
                "a record is quarantined; it is in no table, and kept in the log"
            );
        }
    }

    fn log_notice(&mut self, partition: i32, offset: i64, notice: &Message<'_>) {
        let Message::Notice { title } = notice else { return };
        if self.titles.len() < TITLES_MAX && self.titles.insert(title.clone().into_owned()) {
            tracing::warn!(
                event = "notice_in_topic",
                partition,
                offset,
                title = title.as_ref(),
                "the upstream says; said again, it is only counted"
            );
        }
    }
}

/// The record's id, when it has one.
pub(crate) fn id<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == ID_HEADER)?.value
}

fn wall_clock() -> Micros {
    // A clock before 1970 makes every event one of the future, which shows.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros::of)
}
