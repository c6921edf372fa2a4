//! A batch job over the topic that knows nothing of panes, watermarks, members or partial aggregates; and
//! what the log says is in no table.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::sink::{WINDOWS, object_name};
use super::tables::ARCHIVE;
use super::world::{Rec, SECOND, TOPIC, World};
use crate::event::Kind;
use crate::log::{Kept, Log, Reason};
use crate::metrics::Value;

/// What the log keeps of each record, by partition and offset. Fails when it keeps one twice.
fn kept(world: &World) -> BTreeMap<(i32, i64), Kept> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log = Log::new(world.store.clone(), TOPIC);
    let mut all = BTreeMap::new();
    for p in 0..i32::try_from(world.logs.len()).unwrap() {
        let mut seq = 0;
        let mut closed = None;
        while let Some(entry) = runtime.block_on(log.read(p, seq)).unwrap() {
            assert!(entry.header.closed_through >= closed, "partition {p} opens again at {seq}");
            assert_eq!(entry.header.closed_before, closed, "partition {p} at {seq}");
            closed = entry.header.closed_through;
            for kept in entry.kept {
                if kept.reason == Reason::Late {
                    assert!(
                        kept.time < closed,
                        "partition {p} calls {kept:?} late before its pane is closed"
                    );
                }
                assert_eq!(all.insert((p, kept.offset), kept), None, "it is kept twice");
            }
            seq += 1;
        }
    }
    all
}

/// How many events are in the log as late.
pub(super) fn late(world: &World) -> u64 {
    kept(world).values().filter(|kept| kept.reason == Reason::Late).count() as u64
}

/// Compares the store with the batch job.
pub(super) fn check(world: &World) {
    let kept = kept(world);
    let mut events: BTreeMap<&str, &Rec> = BTreeMap::new();
    for (p, log) in (0..).zip(&world.logs) {
        for (offset, rec) in (0..).zip(log) {
            let reason = kept.get(&(p, offset)).map(|kept| kept.reason);
            if let Some(kept) = kept.get(&(p, offset)) {
                assert_eq!(
                    (kept.value.as_slice(), kept.timestamp),
                    (rec.id.as_bytes(), rec.kafka_secs * SECOND)
                );
            }
            assert_eq!(reason == Some(Reason::Unreadable), !rec.is_event, "{p} at {offset}");
            let is_future = rec.is_event && rec.secs > rec.kafka_secs + 600;
            assert_eq!(reason == Some(Reason::Future), is_future, "{p} at {offset}");
            if reason.is_none() {
                events.insert(&rec.id, rec);
            }
        }
    }
    let is: BTreeMap<String, String> = world
        .store
        .below(WINDOWS)
        .into_iter()
        .map(|(name, content)| (name, String::from_utf8(content.to_vec()).unwrap()))
        .collect();
    assert_eq!(archived(world), events.keys().map(|id| (*id).to_owned()).collect());
    let events: Vec<_> = events.into_values().collect();
    assert_same(&is, &recount(&events));
    let known = kept.keys().all(|(p, offset)| {
        usize::try_from(*p).is_ok_and(|p| usize::try_from(*offset).is_ok_and(|o| o < world.logs[p].len()))
    });
    assert!(known, "the log keeps a record that the topic does not have");
}

/// Shows the objects that differ, not all of them.
fn assert_same(is: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    let names: BTreeSet<&String> = is.keys().chain(expected.keys()).collect();
    let differs = |name: &&String| is.get(*name) != expected.get(*name);
    let shown = |name: &String| format!("{name}: {:?}, not {:?}", is.get(name), expected.get(name));
    let wrong: Vec<_> = names.into_iter().filter(differs).map(shown).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The ids that the archive holds. Fails when it holds one twice.
fn archived(world: &World) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (name, content) in world.store.below(&format!("tables/{ARCHIVE}/")) {
        for id in str::from_utf8(&content).unwrap().split(' ') {
            assert!(ids.insert(id.to_owned()), "{id} is archived twice, also in {name}");
        }
    }
    ids
}

fn recount<'a>(events: &[&'a Rec]) -> BTreeMap<String, String> {
    let mut windows: BTreeMap<(usize, i64), BTreeMap<&str, Vec<&Rec>>> = BTreeMap::new();
    for rec in events {
        let minute = rec.secs.div_euclid(60) * 60 * SECOND;
        windows.entry((0, minute)).or_default().entry("").or_default().push(rec);
        if let Some(city) = rec.city {
            let three = rec.secs.div_euclid(180) * 180 * SECOND;
            windows.entry((1, three)).or_default().entry(city).or_default().push(rec);
        }
    }
    let count = |n: usize| Value::Count(n as u64);
    let row = |(group, of): (&'a str, Vec<&Rec>)| {
        let actors: HashSet<_> = of.iter().map(|rec| rec.actor()).collect();
        let reposts = of.iter().filter(|rec| rec.kind == Kind::Repost).count();
        let referencing = of.iter().filter(|rec| rec.kind != Kind::Original).count();
        let counts = [count(of.len()), count(reposts), count(referencing), count(actors.len())];
        (group, counts.into_iter().chain([Value::Flag(true)]).collect::<Vec<_>>())
    };
    let object = |((table, start), groups): ((usize, i64), BTreeMap<&'a str, Vec<&Rec>>)| {
        let rows: Vec<_> = groups.into_iter().map(row).collect();
        (object_name(table, start), format!("{rows:?}"))
    };
    windows.into_iter().map(object).chain(busiest(events)).collect()
}

/// The place with the most events of each window of three minutes that begins with a minute.
fn busiest(events: &[&Rec]) -> Vec<(String, String)> {
    let minutes: BTreeSet<i64> = events.iter().map(|rec| rec.secs.div_euclid(60)).collect();
    let starts: BTreeSet<i64> = minutes.iter().flat_map(|minute| minute - 2..=*minute).collect();
    let mut objects = Vec::new();
    for start in starts.into_iter().map(|minute| minute * 60) {
        let mut places: BTreeMap<&str, u64> = BTreeMap::new();
        for rec in events.iter().filter(|rec| (start..start + 180).contains(&rec.secs)) {
            *places.entry(rec.city.unwrap_or_default()).or_default() += u64::from(rec.city.is_some());
        }
        places.remove("");
        // The least by name of those that have most.
        let most = places.iter().rev().max_by_key(|(_, count)| **count);
        objects.extend(most.map(|(place, count)| {
            let row = (*place, vec![Value::Count(*count)]);
            (object_name(2, start * SECOND), format!("{:?}", [row]))
        }));
    }
    objects
}
