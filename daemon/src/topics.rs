//! The topics that records go to, by number, and the places in them: a topic and a partition.
//!
//! The configured topics have the first numbers. A topic that only the spool still names, since the
//! configuration changed, gets the next one when replay meets it. Writer of the numbers of partitions: the
//! prober.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::partitioner;

/// Number of a topic in this process, from 0.
pub type TopicIndex = u16;

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic.
    pub topic: TopicIndex,
    /// The partition; -1 stands for all of the topic.
    pub partition: i32,
}

impl Place {
    /// A partition.
    #[must_use]
    pub const fn new(topic: TopicIndex, partition: i32) -> Self {
        Self { topic, partition }
    }

    /// All of a topic: where its partitions are not known, or were numbered in another way.
    #[must_use]
    pub const fn whole(topic: TopicIndex) -> Self {
        Self { topic, partition: -1 }
    }

    /// Whether it is all of a topic.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.partition < 0
    }
}

/// Where a record goes, and how many partitions its topic had when that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The place; all of the topic while its partitions are not known.
    pub place: Place,
    /// The topic's partitions; 0 while they are not known.
    pub total: i32,
}

/// The topics.
#[derive(Debug, Default)]
pub struct Topics {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<Arc<str>, TopicIndex>,
    list: Vec<Topic>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// As the last probe saw them; 0 before the first that found the topic.
    partitions: AtomicI32,
}

impl Topics {
    /// Topics with the numbers 0, 1, … in this order; a name that comes again keeps its first number.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let topics = Self::default();
        for name in names {
            // There are far fewer than numbers: the configuration limits them.
            let _ = topics.index(name);
        }
        topics
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // A topic is entered in one step after all that can fail.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a topic, which is entered if it is new. `None` when there are no numbers left.
    pub fn index(&self, name: &str) -> Option<TopicIndex> {
        if let Some(index) = self.read().by_name.get(name) {
            return Some(*index);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have entered it meanwhile.
        if let Some(index) = table.by_name.get(name) {
            return Some(*index);
        }
        let index = TopicIndex::try_from(table.list.len()).ok()?;
        let name: Arc<str> = Arc::from(name);
        table.list.push(Topic { name: Arc::clone(&name), partitions: AtomicI32::new(0) });
        table.by_name.insert(name, index);
        Some(index)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    #[must_use]
    pub fn names(&self) -> Vec<(TopicIndex, Arc<str>)> {
        (0..).zip(self.read().list.iter().map(|topic| Arc::clone(&topic.name))).collect()
    }

    /// The partitions of a topic; 0 while they are not known.
    #[must_use]
    pub fn partitions(&self, topic: TopicIndex) -> i32 {
        self.read().list.get(usize::from(topic)).map_or(0, |topic| topic.partitions.load(Ordering::Relaxed))
    }

    /// Sets the partitions of a topic; returns how many there were before.
    pub fn set_partitions(&self, topic: TopicIndex, total: i32) -> i32 {
        let table = self.read();
        let entry = table.list.get(usize::from(topic));
        entry.map_or(0, |topic| topic.partitions.swap(total, Ordering::Relaxed))
    }

    /// Whether the partitions of any topic are not known.
    #[must_use]
    pub fn is_any_unknown(&self) -> bool {
        self.read().list.iter().any(|topic| topic.partitions.load(Ordering::Relaxed) == 0)
    }

    /// Where a record goes.
    #[must_use]
    pub fn place(&self, topic: TopicIndex, key: Option<&[u8]>, id: &str) -> Placed {
        let total = self.partitions(topic);
        let place = match partitioner::partition_of(key, id, total) {
            Some(partition) => Place::new(topic, partition),
            None => Place::whole(topic),
        };
        Placed { place, total }
    }

    /// A place as an operator reads it: `events/3`, or `events/*` for all of the topic.
    #[must_use]
    pub fn describe(&self, place: Place) -> String {
        let table = self.read();
        let name = table.list.get(usize::from(place.topic)).map_or("?", |topic| &*topic.name);
        if place.is_whole() { format!("{name}/*") } else { format!("{name}/{}", place.partition) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_keeps_its_number_and_a_new_one_gets_the_next() {
        let topics = Topics::new(["events", "events.hk", "events"]);
        assert_eq!((topics.index("events.hk"), topics.index("old"), topics.len()), (Some(1), Some(2), 3));
        assert_eq!(topics.index("old"), Some(2));
        assert_eq!(topics.place(1, None, "a"), Placed { place: Place::whole(1), total: 0 });
        assert_eq!((topics.set_partitions(1, 4), topics.set_partitions(1, 4)), (0, 4));
        assert!(!topics.place(1, None, "a").place.is_whole() && topics.is_any_unknown());
        assert_eq!(topics.describe(Place::new(1, 3)), "events.hk/3");
        assert_eq!(topics.describe(Place::whole(0)), "events/*");
    }
}
