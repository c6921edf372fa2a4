//! Others are told of final objects, whatever becomes of them or of the consumer.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::hook::{Hook, webhook};
use common::{PATIENCE, Rig, START, activity, rec};
use spillway_consumer::{Config, Control, NotifySettings, Summary, run};
use spillway_testkit::kafka::Reader;

fn told_by(rig: &Rig, notify: NotifySettings) -> Config {
    Config { notify, ..rig.config() }
}

fn drain(config: Config) -> Summary {
    let control = Control::new();
    control.drain();
    run(config, &control).unwrap()
}

/// The final objects, below the store.
fn objects(store: &Path) -> Vec<String> {
    let of = |table: &str| spillway_consumer::read::objects(store, table).unwrap();
    let relative = |path: PathBuf| path.strip_prefix(store).unwrap().to_str().unwrap().to_owned();
    of("activity").into_iter().chain(of("city_activity")).map(relative).collect()
}

fn named(heard: &[serde_json::Value]) -> BTreeMap<String, usize> {
    heard.iter().fold(BTreeMap::new(), |mut names, said| {
        *names.entry(said["object"].as_str().unwrap().to_owned()).or_default() += 1;
        names
    })
}

fn six_windows(rig: &Rig, from: u32) {
    rig.send((from..from + 12).map(|i| {
        let partition = i32::try_from(i % 2).unwrap();
        rec(partition, i, i64::from(i) * 150, "ann")
    }));
}

#[test]
fn a_webhook_hears_of_every_object_although_it_fails_at_first() {
    let rig = Rig::new(2);
    let hook = Hook::start(rig.store(), 2);
    six_windows(&rig, 0);
    let summary = drain(told_by(&rig, webhook(&hook.url)));
    assert_eq!(activity(rig.store()).len(), 6);
    assert_eq!((summary.progress.notified, summary.progress.notify_failures), (6, 2), "{summary:?}");
    let once: BTreeMap<_, _> = objects(rig.store()).into_iter().map(|object| (object, 1)).collect();
    assert_eq!(named(&hook.heard()), once);
    let first = &hook.heard()[0];
    assert_eq!(first["window_start"], "2026-11-01T00:00:00Z");
    assert_eq!(first["window_end"], "2026-11-01T00:05:00Z");
    assert_eq!(first["table"], "activity");
    assert_eq!(first["what"], "window");
    assert_eq!(first["id"], first["object"]);
    assert_eq!(START % 86_400, 0);

    // The next run tells of what is new.
    six_windows(&rig, 12);
    drain(told_by(&rig, webhook(&hook.url)));
    let once: BTreeMap<_, _> = objects(rig.store()).into_iter().map(|object| (object, 1)).collect();
    assert_eq!((once.len(), named(&hook.heard())), (12, once));
}

#[test]
fn a_webhook_that_is_away_stops_nothing_and_hears_of_everything_later() {
    let rig = Rig::new(1);
    let hook = Hook::start(rig.store(), usize::MAX);
    rig.send((0..12).map(|i| rec(0, i, i64::from(i) * 150, "ann")));
    let running = rig.start(told_by(&rig, webhook(&hook.url)));
    running.wait("five windows and a failure", |p| p.objects == 5 && p.notify_failures > 1);
    let stopped = running.stop();
    assert_eq!(stopped.progress.notified, 0);
    hook.refusals.store(0, Ordering::SeqCst);
    drain(told_by(&rig, webhook(&hook.url)));
    let named = named(&hook.heard());
    assert_eq!(named.keys().cloned().collect::<Vec<_>>(), objects(rig.store()));
    assert_eq!(named.len(), 6);
}

#[test]
fn a_topic_gets_a_record_for_every_object() {
    let rig = Rig::new(2);
    rig.mock.create_topic("objects", 1, 3).unwrap();
    six_windows(&rig, 0);
    let notify = NotifySettings { webhook: None, topic: Some("objects".into()) };
    let summary = drain(told_by(&rig, notify));
    assert_eq!((summary.progress.notified, summary.progress.notify_failures), (6, 0), "{summary:?}");
    let heard: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
    let to = Arc::clone(&heard);
    let sink = Box::new(move |_, _, value: &[u8]| {
        to.lock().unwrap().push(serde_json::from_slice(value).unwrap());
    });
    let reader = Reader::with_sink(rig.mock.bootstrap(), "objects", 1, sink).unwrap();
    assert!(reader.wait_for(6, PATIENCE));
    drop(reader);
    let once: BTreeMap<_, _> = objects(rig.store()).into_iter().map(|object| (object, 1)).collect();
    assert_eq!(named(&heard.lock().unwrap()), once);
}
