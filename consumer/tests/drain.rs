//! A drain waits for Kafka and for the store, and for nothing else.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{Rig, activity, rec};

#[test]
fn a_drain_does_not_wait_for_close_steps() {
    let rig = Rig::new(4);
    // One partition is empty, one far behind the others, and the last window is closed by nobody's watermark.
    rig.send((0..60).map(|i| rec(i32::try_from(i % 2).unwrap(), i, i64::from(i) * 30, "ann")));
    rig.send([rec(2, 60, 10, "bob")]);
    let mut config = rig.config();
    // Longer than the test waits for the end.
    config.time.close_interval = Duration::from_secs(600);
    config.time.idle_timeout = Duration::from_secs(600);
    let running = rig.start(config);
    let summary = running.drain();
    assert_eq!((summary.progress.events, summary.progress.late), (61, 0), "{summary:?}");
    assert_eq!(activity(rig.store()), [(0, 11), (300, 10), (600, 10), (900, 10), (1_200, 10), (1_500, 10)]);
    // Drained again there is nothing to do, and it is as quick.
    assert_eq!(rig.start(rig.config()).drain().progress.read, 0);
}
