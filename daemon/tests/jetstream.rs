//! The Jetstream source against a fake that follows the documented behaviour, with its faults.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "jetstream/client.rs"]
mod client;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::{Client, compressed};
use spillway_daemon::frontier::Cursor;
use spillway_daemon::sources::reconnect::Cause;
use spillway_daemon::sources::{Event as Happened, Line};
use spillway_testkit::rng::Rng;
use spillway_testkit::samples;
use spillway_testkit::services::jetstream::{
    DICTIONARY, End, Event, Fault, Growth, Jetstream, Kind, Options, random,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn by_hand() -> Options {
    Options { growth: Growth::ByHand, ..Options::default() }
}

/// The time of the latest event.
fn latest(events: &[Event]) -> u64 {
    events.iter().map(|event| event.time_us).max().unwrap()
}

fn ids(lines: &[Line]) -> HashSet<String> {
    lines.iter().map(|line| line.id.clone().unwrap()).collect()
}

#[tokio::test]
async fn the_recording_goes_through_byte_for_byte() {
    let Some(path) = samples::find("bluesky/jetstream_v1.jsonl", "the Bluesky recording") else { return };
    let text = std::fs::read(path).unwrap();
    let lines: Vec<Bytes> =
        text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(Bytes::copy_from_slice).collect();
    assert_eq!(lines.len(), 152);
    let dir = tempfile::tempdir().unwrap();
    for (piece, settings) in [(0, String::new()), (7, String::new()), (100, compressed(&dir))] {
        let options = Options { recording: Some(lines.clone()), piece, ..Options::default() };
        let server = Jetstream::start(options).unwrap();
        let mut client = Client::new(&[&server], &settings);
        let got = client.read(lines.len()).await;
        assert_eq!(got.iter().map(|line| &line.bytes).collect::<Vec<_>>(), lines.iter().collect::<Vec<_>>());
        assert_eq!(ids(&got).len(), lines.len());
        let met = client.met();
        assert_eq!(met.bytes, lines.iter().map(|line| line.len() as u64).sum::<u64>());
        assert!(met.tally.lag_ms.unwrap() > 0);
    }
}

/// Promise: every event that the upstream served and could serve again arrives, by id. `SPILLWAY_FAULTS`
/// says how many faults there are.
#[tokio::test]
async fn with_random_faults_every_event_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let seed = client::seed();
    let compressed = compressed(&dir);
    tokio::join!(random_faults(seed, ""), random_faults(seed ^ 1, &compressed));
}

async fn random_faults(seed: u64, settings: &str) {
    let given = std::env::var("SPILLWAY_FAULTS").ok().and_then(|faults| faults.parse().ok());
    let mut faults = random(seed, given.unwrap_or(20), 15, Duration::from_millis(450));
    for fault in &mut faults {
        // So close together, and without progress in between, 429 would rightly wait for minutes.
        if matches!(fault.kind, Kind::Refuse { status: 429, .. }) {
            fault.kind = Kind::Refuse { status: 503, times: 1, retry_after_s: Some(1) };
        }
    }
    // Two causes are met whatever the seed draws.
    (faults[0].kind, faults[1].kind) = (Kind::Drop, Kind::Close(1000));
    let is_end = |kind| !matches!(kind, Kind::Big(_) | Kind::Repeat(_) | Kind::Jump(_) | Kind::Stall(_));
    let ends = faults.iter().filter(|fault| is_end(fault.kind)).count();
    let wanted = 2 * faults.last().unwrap().after;
    // A rewind goes back by about ten events.
    let (step_us, jitter_us) = (100_000, 300_000);
    let server =
        Jetstream::start(Options { seed, faults, limit: wanted, step_us, jitter_us, ..Options::default() });
    let server = server.unwrap();
    let quick = "idle_timeout = '250ms'\nreconnect_max = '250ms'\nmax_record_bytes = '15MiB'\n";
    let mut client = Client::new(&[&server], &format!("{settings}{quick}"));
    let (mut got, mut seen) = (HashSet::new(), HashSet::new());
    let (mut rng, mut restarts) = (Rng::new(seed), 0);
    while got.len() as u64 != wanted && client.disconnects.len() < 1_000 {
        let lines = client.some().await;
        seen.extend(ids(&lines));
        got.extend(lines.into_iter().map(|line| line.bytes));
        if client.disconnects.len() > 1 && rng.chance(0.01) {
            // The daemon dies: it goes on at a place it had.
            client.restart();
            restarts += 1;
        }
    }
    let log = server.log();
    let missing: Vec<_> = log.iter().filter(|e| !got.contains(&e.bytes)).map(|e| e.number).collect();
    assert!(missing.is_empty(), "seed {seed}: missing {missing:?} of {}", log.len());
    assert_eq!(got.len(), log.len(), "seed {seed}: something came that was never sent");
    assert_eq!(seen.len(), log.len(), "seed {seed}: an id for each event, the same when it comes again");
    assert_eq!(client.gaps(), 0, "seed {seed}");
    let causes: HashSet<_> = client.disconnects.iter().map(|disconnect| disconnect.cause).collect();
    // A restart may come before an end that was under way.
    let met = client.disconnects.len() + restarts;
    assert!(met >= ends && causes.len() > 1, "seed {seed}: {met} of {ends} ends, {causes:?}");
}

#[tokio::test]
async fn what_comes_again_after_a_reconnect_is_left_out() {
    let server = Jetstream::start(by_hand()).unwrap();
    let mut client = Client::new(&[&server], "");
    client.open().await;
    server.publish(300);
    let mut got = client.read(300).await;
    server.fault(Kind::Reset);
    assert_eq!(client.disconnect().await.cause, Cause::Network);
    server.publish(50);
    got.extend(client.read(50).await);
    assert_eq!((got.len(), ids(&got).len()), (350, 350), "each once");
    let again = client.met().tally.duplicates;
    assert!(again > 0, "the rewind makes it repeat some");
    // The server notes what it has written, perhaps after it was read.
    assert!(server.wait_served(350 + again, PATIENCE));
    assert_eq!(server.connections()[1].served.len() as u64, 50 + again);
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let server = Jetstream::start(Options { piece: 50, ..by_hand() }).unwrap();
    let mut client = Client::new(&[&server], "");
    client.open().await;
    let mut got = Vec::new();
    for round in 1..=100 {
        // Nothing is there, so this wait is dropped for certain; those below as the frames come.
        assert_eq!(at_once(&mut client).await, None);
        server.publish(30);
        while got.len() < round * 30 {
            got.extend(at_once(&mut client).await.into_iter().flatten());
        }
    }
    let got: Vec<_> = got.into_iter().map(|line| line.bytes).collect();
    assert_eq!(got, server.log().into_iter().map(|event| event.bytes).collect::<Vec<_>>());
    assert!(client.disconnects.is_empty());
}

/// What is there, or nothing, by a wait that is dropped.
async fn at_once(client: &mut Client) -> Option<Vec<Line>> {
    tokio::select! {
        biased;
        lines = client.some() => Some(lines),
        () = tokio::task::yield_now() => None,
    }
}

#[tokio::test]
async fn an_outage_longer_than_the_look_back_is_reported_exactly() {
    let look_back = Duration::from_secs(60);
    let server = Jetstream::start(Options { look_back, step_us: 100_000, ..by_hand() }).unwrap();
    let mut client = Client::new(&[&server], "");
    client.open().await;
    server.publish(10);
    let before = client.read(10).await;
    let from_us = latest(&server.log());
    server.fault(Kind::Drop);
    client.disconnect().await;
    server.publish(5_000);
    let after = client.read(1).await;
    let oldest = server.log()[usize::try_from(server.connections()[1].from.unwrap() - 1).unwrap()].clone();
    assert_eq!((before.len(), &after[0].bytes), (10, &oldest.bytes));
    let gap = client.last_gap().unwrap();
    assert_eq!((gap.from_ms, gap.to_ms), ms(from_us, oldest.time_us));
    assert_eq!((client.gaps(), client.met().tally.gap_ms), (1, gap.length_ms()));
}

fn ms(from_us: u64, to_us: u64) -> (i64, i64) {
    (i64::try_from(from_us / 1_000).unwrap(), i64::try_from(to_us / 1_000).unwrap())
}

#[tokio::test]
async fn when_an_instance_fails_the_next_one_goes_on_with_a_rewound_cursor() {
    let (first, second) = (Jetstream::start(by_hand()).unwrap(), Jetstream::start(by_hand()).unwrap());
    let mut client = Client::new(&[&first, &second], "");
    client.open().await;
    first.publish(3_000);
    second.publish(3_500);
    let got = client.read(3_000).await;
    let asked = latest(&first.log()) - 5_000_000;
    first.stop();
    let more = client.read(500).await;
    assert_eq!(second.connections()[0].cursor, Some(asked));
    let both: HashSet<_> = ids(&got).union(&ids(&more)).cloned().collect();
    assert_eq!((more.len(), both.len()), (500, 3_500), "the same event has the same id from both");
    assert_eq!(client.gaps(), 0);
}

#[tokio::test]
async fn a_refused_upgrade_is_told_with_its_status_and_waits_as_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Jetstream::start(Options { token: Some("secret".into()), ..Options::default() }).unwrap();
    let refused = Client::new(&[&server], "").disconnect().await;
    assert_eq!((refused.cause, refused.retry_in >= Duration::from_secs(60)), (Cause::Refused, true));
    assert!(refused.detail.contains("401") && refused.detail.contains("the token is missing"), "{refused:?}");

    let token = client::file(&dir, "token", b"secret");
    let mut client = Client::new(&[&server], &format!("bearer_token_file = '{}'\n", token.display()));
    server.refuse(429, 1, Some(2));
    server.refuse(503, 1, None);
    assert!(!client.read(1).await.is_empty());
    let told: Vec<_> = client.disconnects.iter().map(|d| (d.cause, d.retry_in.as_secs())).collect();
    assert_eq!(told, [(Cause::RateLimited, 2), (Cause::Http, 1)]);
    let connections = server.connections();
    assert_eq!(connections.iter().map(|c| c.status).collect::<Vec<_>>(), [401, 429, 503, 101]);
    assert!(connections[2].at - connections[1].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_stalled_upstream_is_given_up_and_one_that_answers_pings_is_not() {
    let server = Jetstream::start(by_hand()).unwrap();
    let mut client = Client::new(&[&server], "idle_timeout = '300ms'\n");
    client.open().await;
    // Without an answer there is one ping, and the connection is given up: three on one are the proof. A machine that
    // is held up for so long makes the client begin anew, which proves nothing.
    let (mut is_open, deadline) = (true, Instant::now() + PATIENCE);
    while !is_open || server.connections().last().unwrap().pings < 3 {
        assert!(Instant::now() < deadline, "{:?}", server.connections());
        match tokio::time::timeout(Duration::from_millis(10), client.event()).await {
            Ok(Happened::Connected) => is_open = true,
            Ok(Happened::Disconnected(_)) => is_open = false,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    server.stall(true);
    assert_eq!(client.disconnect().await.cause, Cause::Stall);
}

#[tokio::test]
async fn the_pings_of_the_server_are_answered() {
    let ping_every = Some(Duration::from_millis(20));
    let server = Jetstream::start(Options { ping_every, ..by_hand() }).unwrap();
    let mut client = Client::new(&[&server], "");
    client.open().await;
    let deadline = Instant::now() + PATIENCE;
    while server.connections()[0].pongs < 3 {
        assert!(Instant::now() < deadline, "{:?}", server.connections());
        let quiet = tokio::time::timeout(Duration::from_millis(10), client.event()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}

#[tokio::test]
async fn a_record_over_the_limit_is_dropped_alone_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, folded) = (String::new(), compressed(&dir));
    // The last is so long that the service is asked not to send it.
    for (size, settings, counted) in [(2 << 20, &plain, 1), (2 << 20, &folded, 1), (40 << 20, &folded, 0)] {
        let faults = vec![Fault { after: 70, kind: Kind::Big(size) }];
        let server = Jetstream::start(Options { faults, limit: 300, ..Options::default() }).unwrap();
        let mut client = Client::new(&[&server], settings);
        let got = client.read(299).await;
        assert_eq!((client.met().odd.too_long, client.disconnects.len()), (counted, 0), "{size}");
        let big = server.log().into_iter().find(|event| event.bytes.len() > 1 << 20).unwrap();
        assert!(got.iter().all(|line| line.bytes != big.bytes));
        assert!(server.wait_finished(PATIENCE));
    }
}

#[tokio::test]
async fn another_dictionary_is_an_error_that_an_operator_must_see() {
    let dir = tempfile::tempdir().unwrap();
    let mut dictionary = DICTIONARY.to_vec();
    dictionary[4..8].copy_from_slice(&1_612_007_021_u32.to_le_bytes());
    let server = Jetstream::start(Options { dictionary, ..Options::default() }).unwrap();
    let mut client = Client::new(&[&server], &compressed(&dir));
    client.open().await;
    let told = client.disconnect().await;
    assert_eq!(told.cause, Cause::Refused);
    assert!(told.detail.contains("dictionary 1612007021") && told.detail.contains("20260704"), "{told:?}");
}

#[tokio::test]
async fn a_cursor_survives_a_restart_and_the_filter_is_the_servers() {
    let server = Jetstream::start(by_hand()).unwrap();
    let mut client = Client::new(&[&server], "wanted_collections = ['app.bsky.feed.post']\n");
    client.open().await;
    server.publish(500);
    let wanted = |event: &Event| event.collection.as_deref().is_none_or(|name| name == "app.bsky.feed.post");
    let events: Vec<_> = server.log().into_iter().filter(wanted).collect();
    let got = client.read(events.len()).await;
    assert!(events.len() < 250 && got.len() == events.len());
    let place = Cursor::Jetstream { time_us: latest(&events), host: server.address().to_string() };
    assert_eq!(client.cursor, Some(place));
    client.restart();
    assert!(!client.read(1).await.is_empty());
    assert_eq!(client.gaps(), 0);
    assert!(matches!(server.connections()[0].ended, Some((_, End::ClientGone)) | None));
    assert_eq!(server.connections()[1].cursor, Some(latest(&events) - 1_000_000));
}
