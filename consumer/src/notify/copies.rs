//! Tells of objects that a command writes beside the final ones: new versions of periods, and days that were
//! put together. Each target hears of each of them at least once, also of those that an earlier command wrote
//! and could not tell of: what is owed is what lies in the store without a receipt of the target, an empty object
//! `_notify/<topic>/<target>-told/<object>`. What a target does not take in time is owed to the next command.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spillway_service::errors::chain;

use super::courier::Target;
use super::note::{Note, Of};
use super::{NotifyError, topic, webhook};
use crate::config::Config;
use crate::show::layout::{COMPACT, Day, REBUILT, is_compact, version_of};
use crate::store::{Objects, StoreError};

/// What has become of the notifications of a command, over all targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiesTold {
    /// Taken.
    pub delivered: u64,
    /// Not taken; the next command sends them.
    pub owed: u64,
}

/// The targets of the configuration.
#[derive(Debug)]
pub(crate) struct Teller {
    webhook: Option<webhook::Hook>,
    topic: Option<topic::Announcer>,
    of_topic: String,
    url: String,
}

/// How long a target is given for everything that is owed to it before the rest is left to the next command.
/// An attempt that is under way then is not broken off.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE_FIRST: Duration = Duration::from_millis(200);

impl Teller {
    pub(crate) fn new(config: &Config) -> Result<Self, NotifyError> {
        Ok(Self {
            webhook: config.notify.webhook.as_ref().map(webhook::Hook::new).transpose()?,
            topic: config.notify.topic.as_ref().map(|to| topic::Announcer::new(config, to)).transpose()?,
            of_topic: config.topic.clone(),
            url: config.store.url.to_string(),
        })
    }

    /// Tells each target what it has not been told of, of these tables.
    ///
    /// # Errors
    /// When it cannot be found out what is owed, or a receipt cannot be written.
    pub(crate) async fn tell(
        &self,
        store: &impl Objects,
        place: Place,
        tables: &[&str],
    ) -> Result<CopiesTold, StoreError> {
        let mut told = CopiesTold::default();
        if let Some(hook) = &self.webhook {
            self.tell_one(store, place, tables, ("webhook", hook), &mut told).await?;
        }
        if let Some(announcer) = &self.topic {
            self.tell_one(store, place, tables, ("topic", announcer), &mut told).await?;
        }
        Ok(told)
    }

    async fn tell_one(
        &self,
        store: &impl Objects,
        place: Place,
        tables: &[&str],
        target: (&str, &impl Target),
        told: &mut CopiesTold,
    ) -> Result<(), StoreError> {
        let receipts = format!("_notify/{}/{}-told", self.of_topic, target.0);
        let until = Instant::now() + PATIENCE;
        for table in tables {
            for note in owed(store, place, table, &receipts).await? {
                if !self.deliver(target, &note, until).await {
                    told.owed += 1;
                    continue;
                }
                told.delivered += 1;
                // Two commands at once may both have told, and then both leave the same receipt.
                store.create(&format!("{receipts}/{}", note.object), Bytes::new()).await?;
            }
        }
        Ok(())
    }

    /// Returns whether the target has taken it.
    async fn deliver(&self, (name, target): (&str, &impl Target), note: &Note, until: Instant) -> bool {
        let json = match note.json(&self.url) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(event = "notification_impossible", %error, object = note.object, "an object cannot be described");
                return false;
            }
        };
        let mut pause = PAUSE_FIRST;
        while Instant::now() < until {
            let Err(error) = target.deliver(&note.table, json.clone()).await else { return true };
            let error = chain(&error);
            tracing::warn!(
                event = "notification_delayed",
                told = name,
                error,
                object = note.object,
                "a notification was not taken"
            );
            tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause *= 2;
        }
        false
    }
}

/// Where a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Rebuilt,
    Compact,
}

impl Place {
    fn folder(self) -> &'static str {
        match self {
            Self::Rebuilt => REBUILT,
            Self::Compact => COMPACT,
        }
    }

    /// What an object of a day holds, when its name is one of this place.
    fn of(self, object: &str, table: &str) -> Option<Of> {
        let day = object.split('/').find_map(Day::named)?;
        match self {
            Self::Rebuilt => version_of(object, table).map(|version| Of::Version { day, version }),
            Self::Compact => is_compact(object, table, day).then_some(Of::Day(day)),
        }
    }
}

/// What is in the store and has no receipt, in the order of its names, which is that of days and versions.
async fn owed(
    store: &impl Objects,
    place: Place,
    table: &str,
    receipts: &str,
) -> Result<Vec<Note>, StoreError> {
    let folder = format!("{}/{table}", place.folder());
    let names: BTreeSet<String> = store.list(&folder, None).await?.into_iter().collect();
    let receipts = format!("{receipts}/");
    let told = store.list(&format!("{receipts}{folder}"), None).await?;
    let told: BTreeSet<&str> = told.iter().filter_map(|name| name.strip_prefix(&receipts)).collect();
    let note = |object: String| {
        let of = place.of(&object, table)?;
        Some(Note { table: table.to_owned(), object, of })
    };
    Ok(names.into_iter().filter(|name| !told.contains(name.as_str())).filter_map(note).collect())
}

#[cfg(test)]
mod tests;
