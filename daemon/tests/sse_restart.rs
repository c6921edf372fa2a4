//! A stream of server-sent events through the daemon into Kafka: across a restart it goes on after the
//! last event that is durable, and never after one that is not.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a test fails loudly; its server is a module shared with another test"
)]

mod common;
#[allow(dead_code, reason = "shared with another test, which uses the rest")]
#[path = "http_sources/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use common::{Rig, wait_until};
use server::{Server, Step};
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;

fn config(rig: &Rig, url: &str) -> Config {
    let whole = rig.config_text("http://unused/", "");
    let own = "[source]\ntype = 'http_ndjson'\nurl = 'http://unused/'\nid = '/data/id'\n";
    assert!(whole.contains(own));
    let sse = format!("[source]\ntype = 'http_sse'\nurl = '{url}'\nid = '/id'\n");
    let text = whole.replace(own, &sse) + "[admin]\nlisten = 'none'\n";
    Config::parse("test.toml", &text, &Environment::default()).unwrap()
}

/// Events with the numbers of the range as ids.
fn events(numbers: std::ops::Range<u32>) -> Step {
    let mut text = String::new();
    for n in numbers {
        write!(text, "id: place-{n}\ndata: {{\"id\":\"{n}\"}}\n\n").unwrap();
    }
    Step::events(&text).then_silence(Duration::from_secs(20))
}

fn ids_in_kafka(rig: &Rig) -> BTreeSet<u32> {
    let entries = rig.reader.snapshot().partitions.into_values().flatten();
    entries.filter_map(|entry| entry.id?.parse().ok()).collect()
}

#[test]
fn a_restart_asks_for_what_follows_the_last_durable_event() {
    let rig = Rig::start();
    let server = Server::start(vec![events(0..500)]);
    let daemon = Daemon::start(config(&rig, &server.url())).unwrap();
    wait_until("all events are in Kafka", || ids_in_kafka(&rig).len() == 500);
    daemon.watch().stop();
    let _ = daemon.wait();
    assert!(!server.request().contains("last-event-id"));

    let server = Server::start(vec![events(498..700)]);
    let daemon = Daemon::start(config(&rig, &server.url())).unwrap();
    assert!(server.request().contains("last-event-id: place-499\r\n"));
    wait_until("the rest is in Kafka", || ids_in_kafka(&rig).len() == 700);
    let status = daemon.status();
    assert_eq!(status.sources[0].stream.gaps, 0);
    assert!(status.sources[0].stream.read_bytes > 0);
    daemon.watch().stop();
    let _ = daemon.wait();
    assert_eq!(ids_in_kafka(&rig), (0..700).collect());
}

#[test]
fn what_is_on_disk_is_not_asked_for_again() {
    let rig = Rig::start();
    rig.mock.all_down().unwrap();
    let server = Server::start(vec![events(0..300)]);
    let daemon = Daemon::start(config(&rig, &server.url())).unwrap();
    wait_until("the outage is on disk", || daemon.status().counts.spooled == 300);
    daemon.watch().stop();
    let outcome = daemon.wait();
    assert_eq!(outcome.backlog, 300);

    // What is on disk is durable: it is not asked for again, and comes from there.
    let server = Server::start(vec![events(300..310)]);
    rig.mock.all_up().unwrap();
    let daemon = Daemon::start(config(&rig, &server.url())).unwrap();
    assert!(server.request().contains("last-event-id: place-299\r\n"));
    wait_until("all is in Kafka", || ids_in_kafka(&rig).len() == 310);
    daemon.watch().stop();
    let _ = daemon.wait();
}
