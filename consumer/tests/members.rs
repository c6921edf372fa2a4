//! Promises to several members of one group: they share the partitions, they come and go, and the tables
//! come to what one member alone comes to.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{PATIENCE, Rig, Running, activity, assert_recount, hour, rec};
use spillway_consumer::Config;

fn config(rig: &Rig) -> Config {
    let mut config = rig.config();
    // A rebalance may take long. Nobody is to be taken for idle meanwhile: that may make events late.
    config.time.idle_timeout = Duration::from_secs(120);
    config
}

/// Waits until the members own so many partitions together, each at least one.
fn share(members: &[&Running], partitions: usize) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let owned: Vec<_> = members.iter().map(|member| member.control.progress().partitions).collect();
        if owned.iter().sum::<usize>() == partitions && owned.iter().all(|n| *n > 0) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{owned:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn members_that_come_and_go_come_to_what_one_comes_to() {
    let seed = 20_261_102;
    println!("seed {seed}");
    let (lines, recount) = hour(seed, 3000);
    let mut parts = lines.chunks(750);
    let rig = Rig::new(4);
    let send = |part: Option<&[Vec<u8>]>| rig.send_lines(part.unwrap().iter().map(Vec::as_slice), true);

    let first = rig.start(config(&rig));
    share(&[&first], 4);
    send(parts.next());
    first.wait("records", |p| p.read >= 300);
    let second = rig.start(config(&rig));
    share(&[&first, &second], 4);
    send(parts.next());
    let third = rig.start(config(&rig));
    share(&[&first, &second, &third], 4);
    send(parts.next());
    third.wait("records", |p| p.read > 0);
    let mut ended = vec![first.stop().progress];
    share(&[&second, &third], 4);
    send(parts.next());
    second.wait("records", |p| p.read > 0);
    ended.push(second.stop().progress);
    share(&[&third], 4);
    ended.push(third.drain().progress);
    assert!(ended.iter().all(|progress| progress.late == 0 && progress.missed == 0), "{ended:?}");
    assert_recount(rig.store(), &recount);
}

#[test]
fn members_that_drain_together_end_together() {
    let rig = Rig::new(4);
    let members = [rig.start(config(&rig)), rig.start(config(&rig))];
    share(&[&members[0], &members[1]], 4);
    rig.send((0..1200).map(|i| rec(i % 4, i.unsigned_abs(), i64::from(i), "ann")));
    // As one asks for it, so do the others: a fleet that is told to finish.
    members.iter().for_each(|member| member.control.drain());
    let ended = members.map(|member| member.end().unwrap().progress);
    assert_eq!(ended.iter().map(|p| p.late).sum::<u64>(), 0, "{ended:?}");
    assert_eq!(activity(rig.store()), [(0, 300), (300, 300), (600, 300), (900, 300)]);
}

#[test]
fn two_that_do_not_know_of_each_other_do_not_count_twice() {
    // Two groups on one store are two members of which each believes to own everything.
    let rig = Rig::new(2);
    let mut other = config(&rig);
    other.group = "another".into();
    let members = [rig.start(config(&rig)), rig.start(other)];
    share(&[&members[0]], 2);
    share(&[&members[1]], 2);
    for part in 0..6 {
        rig.send((0..100).map(|i| {
            let n = part * 100 + i;
            rec(n % 2, n.unsigned_abs(), i64::from(n) * 5, &format!("a{}", n % 7))
        }));
        let through = i64::from(part) * 500 / 300 * 300;
        members[0].wait("a window", |p| p.frontier.unwrap_or(0) / 1_000_000 >= common::START + through - 300);
    }
    let [first, second] = members;
    first.stop();
    second.stop();
    rig.drain();
    let expected: Vec<_> = (0..10).map(|window| (window * 300, 60)).collect();
    assert_eq!(activity(rig.store()), expected);
}
