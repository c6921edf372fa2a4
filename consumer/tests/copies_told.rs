//! Whoever is told of final objects is told of new versions and of days that were put together.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod world;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::hook::{Hook, webhook};
use common::{PATIENCE, START};
use serde_json::{Value, json};
use spillway_consumer::compact::{Compact, compact};
use spillway_consumer::rebuild::{Copies, Rebuild, Rebuilt, rebuild};
use spillway_consumer::{Config, CopiesTold, NotifySettings};
use spillway_testkit::kafka::Reader;
use world::{DAY, TABLE, World};

fn told_by(world: &World, notify: NotifySettings) -> Config {
    Config { notify, ..world.config() }
}

fn count_again(config: &Config) -> Rebuilt {
    let (from, to) = (START * 1_000_000, (START + 30 * DAY) * 1_000_000);
    rebuild(config, &Rebuild { tables: vec![TABLE.into()], from, to, copies: Copies::AskKafka }).unwrap()
}

fn version(store: &str, day: &str, version: u64) -> Value {
    let object = format!("rebuilt/city_activity/dt={day}/city_activity-v{version:05}.parquet");
    json!({
        "id": object, "what": "version", "table": TABLE, "store": store, "object": object, "day": day,
        "version": version,
    })
}

#[test]
fn a_webhook_hears_of_every_version_and_every_day_put_together() {
    let mut world = World::new();
    let hook = Hook::start(world.store(), 1);
    let config = told_by(&world, webhook(&hook.url));
    let store = config.store.url.to_string();
    world.come_late(&[5, DAY + 7_205]);
    assert_eq!(count_again(&config).told, CopiesTold { delivered: 2, owed: 0 });
    let versions = [version(&store, "2026-11-01", 1), version(&store, "2026-11-02", 1)];
    assert_eq!(hook.heard(), versions, "the first attempt was refused, and made again");
    // Nothing has come since.
    assert_eq!(count_again(&config).told, CopiesTold::default());

    let done = compact(&config, &Compact { tables: vec![TABLE.into()], days: None }).unwrap();
    assert_eq!(done.told, CopiesTold { delivered: done.days.len() as u64, owed: 0 });
    let object = "compact/city_activity/dt=2026-11-01/city_activity-20261101.parquet";
    let day = json!({
        "id": object, "what": "day", "table": TABLE, "store": store, "object": object, "day": "2026-11-01",
    });
    assert_eq!(hook.heard()[2], day);
    assert_eq!(hook.heard().len(), 2 + done.days.len());
    let objects: Vec<_> = done.days.iter().map(|day| day.object.as_str()).collect();
    let heard = hook.heard();
    let said: Vec<_> = heard[2..].iter().map(|said| said["object"].as_str().unwrap()).collect();
    assert_eq!(said, objects);

    world.come_late(&[DAY + 7_210]);
    assert_eq!(count_again(&config).told, CopiesTold { delivered: 1, owed: 0 });
    assert_eq!(hook.heard().last().unwrap(), &version(&store, "2026-11-02", 2));
}

#[test]
fn what_was_written_while_nobody_was_to_be_told_is_told_of_by_the_next_command() {
    let mut world = World::new();
    world.come_late(&[5]);
    assert_eq!(count_again(&world.config()).told, CopiesTold::default());
    let hook = Hook::start(world.store(), 0);
    let config = told_by(&world, webhook(&hook.url));
    assert_eq!(count_again(&config).told, CopiesTold { delivered: 1, owed: 0 });
    assert_eq!(hook.heard(), [version(&config.store.url.to_string(), "2026-11-01", 1)]);
    assert_eq!(hook.refusals.load(Ordering::SeqCst), 0);
}

#[test]
fn a_topic_gets_a_record_for_every_day_put_together() {
    let world = World::new();
    world.rig.mock.create_topic("objects", 1, 3).unwrap();
    let config = told_by(&world, NotifySettings { webhook: None, topic: Some("objects".into()) });
    let done = compact(&config, &Compact::default()).unwrap();
    assert_eq!(done.told, CopiesTold { delivered: 4, owed: 0 });
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let to = Arc::clone(&heard);
    let sink = Box::new(move |_, _, value: &[u8]| {
        to.lock().unwrap().push(serde_json::from_slice(value).unwrap());
    });
    let reader = Reader::with_sink(world.rig.mock.bootstrap(), "objects", 1, sink).unwrap();
    assert!(reader.wait_for(4, PATIENCE));
    drop(reader);
    let heard = heard.lock().unwrap();
    let said: Vec<_> = heard.iter().map(|said| (said["what"].as_str(), said["object"].as_str())).collect();
    let objects: Vec<_> = done.days.iter().map(|day| (Some("day"), Some(day.object.as_str()))).collect();
    assert_eq!(said, objects);
}
