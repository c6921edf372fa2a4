//! What an operator sees of a running member, and how members of a name of their own come and go.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{GROUP, PATIENCE, Rig, START, activity, rec};
use serde_json::{Value, json};
use spillway_consumer::status::Status;
use spillway_consumer::{Admin, Config, Control};
use spillway_service::admin::Listen;

/// The answer of an endpoint on a socket: its status code and its body.
fn ask(socket: &Path, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until the status is as it should be.
fn wait(control: &Control, what: &str, mut condition: impl FnMut(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = control.watch().status();
        if let Some(status) = status.as_deref().filter(|status| condition(status)) {
            return status.clone();
        }
        assert!(Instant::now() < deadline, "waiting for {what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nobody is idle in these tests.
fn patient(rig: &Rig) -> Config {
    let mut config = rig.config();
    config.time.idle_timeout = Duration::from_secs(600);
    config
}

#[test]
fn a_member_says_how_far_it_is_and_what_blocks_it() {
    let rig = Rig::new(2);
    let socket = rig.store().join("admin.sock");
    let mut config = patient(&rig);
    config.admin = Some(Admin { listen: Listen::Unix(socket.clone()), is_asked_for: true });
    let running = rig.start(config);
    wait(&running.control, "the partitions", |status| status.partitions.len() == 2);
    // Partition 0 is 15 minutes ahead of partition 1, which nothing closes.
    rig.send((0..10).map(|i| rec(0, i, i64::from(i) * 100, "ann")));
    rig.send([
        rec(1, 90, 10, "bob"),
        rec(1, 90, 10, "bob"),
        common::Rec { partition: 1, ..Default::default() },
    ]);
    // Nothing but windows that ended before the first event, of which there are none.
    let before = (START - 300) * 1000;
    // Four events are in a pane that is open: a successor would read them again.
    let offsets = (Some(6), Some(10));
    let status = wait(&running.control, "the blocking partition", |status| {
        status.counts.read == 13
            && status.frontier.final_ms == Some(before)
            && status.frontier.blocked_by.is_some_and(|by| by.partition == 1 && by.has_log)
            && status.partitions.first().is_some_and(|p| (p.durable_offset, p.end_offset) == offsets)
            && status.lag.processed == Some(0)
    });
    assert_eq!((status.counts.events, status.counts.duplicates, status.counts.quarantined), (11, 1, 1));
    assert!(status.frontier.is_ours, "{status:#?}");
    let [first, second] = &status.partitions[..] else { panic!("{status:#?}") };
    assert_eq!(first.watermark_ms, Some((START + 900 - 30) * 1000));
    assert_eq!(first.closed_through_ms, Some((START + 600) * 1000));
    assert_eq!(first.lag.durable, Some(4));
    assert_eq!((second.closed_through_ms, second.open_panes), (Some(before), 1));
    assert!(status.store.put.requests >= 4 && status.store.put.failed == 0, "{status:#?}");

    assert_eq!(ask(&socket, "/healthz"), (200, "ok\n".into()));
    assert_eq!(ask(&socket, "/readyz"), (200, "ready\n".into()));
    let (code, body) = ask(&socket, "/status");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["frontier"]["blocked_by"]["partition"]), (200, &json!(1)));
    let (_, metrics) = ask(&socket, "/metrics");
    assert!(metrics.contains("\nspillway_consumer_frontier_blocked{partition=\"1\"} 1\n"), "{metrics}");

    rig.send([rec(1, 91, 900, "bob")]);
    let status = wait(&running.control, "the windows", |status| status.frontier.final_ms > Some(before));
    assert!(status.frontier.final_lag_ms.is_some(), "{status:#?}");
    running.stop();
    assert!(!socket.exists(), "it ends with the run");
}

#[test]
fn members_that_write_to_one_log_say_so() {
    let rig = Rig::new(1);
    let mut other = patient(&rig);
    other.group = "another".into();
    let members = [rig.start(patient(&rig)), rig.start(other)];
    members.iter().for_each(|member| member.wait("the partition", |p| p.partitions == 1));
    let conflicts =
        |member: &common::Running| member.control.watch().status().map_or(0, |s| s.counts.log_conflicts);
    let deadline = Instant::now() + PATIENCE;
    for i in 0.. {
        rig.send([rec(0, i, i64::from(i) * 300, "ann")]);
        if members.iter().map(conflicts).sum::<u64>() > 0 {
            break;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    for member in members {
        member.stop();
    }
}

#[test]
fn a_member_with_a_name_of_its_own_comes_back_to_its_partitions() {
    let rig = Rig::new(2);
    let named = || {
        let mut config = rig.config();
        config.instance_id = Some("consumer-1".into());
        config
    };
    for (i, through) in [(0, 300), (1, 900)] {
        rig.send([rec(0, 2 * i, through - 10, "ann"), rec(1, 2 * i + 1, through + 60, "ann")]);
        let running = rig.start(named());
        running.wait("its partitions", |p| p.partitions == 2 && p.lag == Some(0));
        assert_eq!(running.control.watch().status().unwrap().instance_id.as_deref(), Some("consumer-1"));
        assert_eq!(running.stop().progress.missed, 0);
    }
    // Its place in the group is kept for a while; it is its own.
    let control = Control::new();
    control.drain();
    let counted = spillway_consumer::run(named(), &control).unwrap().progress;
    assert_eq!((counted.late, counted.missed), (0, 0), "{GROUP}: {counted:?}");
    assert_eq!(activity(rig.store()).iter().map(|(_, events)| events).sum::<i64>(), 4);
}
