//! A Jetstream subscription against the fake one: what is promised of it in `sources/jetstream.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "jetstream/client.rs"]
mod client;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use client::Client;
use spillway_daemon::sources::jetstream::Place;
use spillway_daemon::sources::websocket::Broken;
use spillway_daemon::sources::websocket::dictionary::Undecodable;
use spillway_testkit::rng::Rng;
use spillway_testkit::samples;
use spillway_testkit::services::jetstream::{DICTIONARY, End, Growth, Jetstream, Kind, Options, random};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_recording_comes_through_byte_for_byte_and_each_event_has_an_id_of_its_own() {
    let Some(path) = samples::find("bluesky/jetstream_v1.jsonl", "the Bluesky recording") else { return };
    let text = std::fs::read(path).unwrap();
    let lines: Vec<Bytes> =
        text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(Bytes::copy_from_slice).collect();
    assert_eq!(lines.len(), 152);
    for (piece, compress) in [(0, false), (7, false), (100, true)] {
        let options = Options { recording: Some(lines.clone()), piece, ..Options::default() };
        let server = Jetstream::start(options).unwrap();
        let mut client = Client::new(&[&server]);
        client.compress = compress;
        let got = client.read(lines.len()).await;
        assert_eq!(
            got.iter().map(|record| &record.bytes).collect::<Vec<_>>(),
            lines.iter().collect::<Vec<_>>()
        );
        let ids: HashSet<_> = got.iter().map(|record| record.id.clone().unwrap()).collect();
        assert_eq!(ids.len(), lines.len());
    }
}

/// Promise: every event that the upstream served and could serve again arrives, by id.
#[tokio::test]
async fn with_200_random_faults_every_event_arrives() {
    let seed = client::seed();
    let faults = random(seed, 200, 15, Duration::from_millis(450));
    let wanted = faults.last().unwrap().after;
    for compress in [false, true] {
        let options = Options { seed, faults: faults.clone(), limit: 2 * wanted, ..Options::default() };
        let server = Jetstream::start(options).unwrap();
        let mut client = Client::new(&[&server]);
        client.compress = compress;
        client.silence = Duration::from_millis(250);
        let mut got = HashSet::new();
        let mut rng = Rng::new(seed);
        while client.faults < 1_000 {
            let records = client.some().await;
            got.extend(records.iter().map(|record| record.bytes.clone()));
            if rng.chance(0.01) {
                // The daemon dies: it goes on at a place it had.
                client.restart();
            }
            let has_all = server.log().len() as u64 == 2 * wanted && got.len() as u64 == 2 * wanted;
            if has_all {
                break;
            }
        }
        let log = server.log();
        let missing: Vec<_> = log.iter().filter(|e| !got.contains(&e.bytes)).map(|e| e.number).collect();
        assert!(missing.is_empty(), "seed {seed}: missing {missing:?} of {}", log.len());
        assert_eq!(got.len(), log.len(), "seed {seed}: something came that was never sent");
        let ids: HashSet<_> = client.ids.iter().collect();
        assert_eq!(ids.len(), log.len(), "seed {seed}: an id for each event, the same when it comes again");
        assert_eq!(client.gaps, [], "seed {seed}");
        assert!(client.faults > 50, "seed {seed}: {} disconnects", client.faults);
    }
}

#[tokio::test]
async fn an_outage_longer_than_the_look_back_is_reported_exactly() {
    let look_back = Duration::from_secs(60);
    let options = Options { growth: Growth::ByHand, look_back, step_us: 100_000, ..Options::default() };
    let server = Jetstream::start(options).unwrap();
    let mut client = Client::new(&[&server]);
    client.open().await;
    server.publish(10);
    let before = client.read(10).await;
    server.fault(Kind::Drop);
    client.broken().await;
    server.publish(5_000);
    let after = client.read(1).await;
    let oldest = server.log()[usize::try_from(server.connections()[1].from.unwrap() - 1).unwrap()].clone();
    assert_eq!(after[0].bytes, oldest.bytes);
    let gap = after[0].gap.unwrap();
    assert_eq!(gap.from_us, before.iter().filter_map(|record| record.time_us).max().unwrap());
    assert_eq!(gap.to_us, oldest.time_us);
}

#[tokio::test]
async fn when_an_instance_fails_the_next_one_goes_on_with_a_rewound_cursor() {
    let options = || Options { growth: Growth::ByHand, ..Options::default() };
    let (first, second) = (Jetstream::start(options()).unwrap(), Jetstream::start(options()).unwrap());
    let mut client = Client::new(&[&first, &second]);
    client.open().await;
    first.publish(3_000);
    second.publish(3_500);
    let got = client.read(3_000).await;
    let latest = got.iter().filter_map(|record| record.time_us).max().unwrap();
    first.stop();
    let more = client.read(3_500).await;
    let asked = second.connections()[0].cursor.unwrap();
    assert_eq!(asked, latest - 5_000_000);
    let ids: HashSet<_> = got.iter().chain(&more).map(|record| record.id.clone().unwrap()).collect();
    assert_eq!(ids.len(), 3_500, "the same event has the same id from both");
    assert_eq!(client.gaps, []);
}

#[tokio::test]
async fn a_refused_upgrade_is_told_with_its_status_and_when_to_come_again() {
    let server = Jetstream::start(Options { token: Some("secret".into()), ..Options::default() }).unwrap();
    let mut client = Client::new(&[&server]);
    let broken = client.try_open().await.unwrap_err();
    assert_eq!((broken.status(), broken.needs_operator()), (Some(401), true));
    assert!(broken.to_string().ends_with("check the credentials"), "{broken}");
    client.token = Some("secret".into());
    server.refuse(429, 1, Some(7));
    server.refuse(503, 1, None);
    let broken = client.try_open().await.unwrap_err();
    assert!(!broken.needs_operator());
    assert!(
        matches!(broken, Broken::Status { status: 429, retry_after: Some(wait), .. } if wait.as_secs() == 7),
        "{broken:?}"
    );
    assert_eq!(client.try_open().await.unwrap_err().status(), Some(503));
    assert!(!client.read(1).await.is_empty());
    let statuses: Vec<_> = server.connections().iter().map(|connection| connection.status).collect();
    assert_eq!(statuses, [401, 429, 503, 101]);
}

#[tokio::test]
async fn a_stalled_upstream_is_given_up_and_one_that_answers_pings_is_not() {
    let server = Jetstream::start(Options { growth: Growth::ByHand, ..Options::default() }).unwrap();
    let mut client = Client::new(&[&server]);
    client.silence = Duration::from_millis(300);
    client.open().await;
    let quiet = tokio::time::timeout(Duration::from_millis(1_000), client.one_batch()).await;
    assert!(quiet.is_err(), "an idle stream that answers pings is no stall: {quiet:?}");
    assert!(server.connections()[0].pings >= 3, "{:?}", server.connections());
    server.stall(true);
    let broken = client.one_batch().await.unwrap_err();
    assert!(broken.is_stall(), "{broken:?}");
}

#[tokio::test]
async fn the_pings_of_the_server_are_answered() {
    let every = Some(Duration::from_millis(20));
    let options = Options { growth: Growth::ByHand, ping_every: every, ..Options::default() };
    let server = Jetstream::start(options).unwrap();
    let mut client = Client::new(&[&server]);
    client.open().await;
    let _ = tokio::time::timeout(Duration::from_millis(400), client.one_batch()).await;
    assert!(server.connections()[0].pongs >= 3, "{:?}", server.connections());
}

#[tokio::test]
async fn a_record_over_the_limit_is_dropped_alone_and_counted() {
    let faults = vec![spillway_testkit::services::jetstream::Fault { after: 70, kind: Kind::Big(2 << 20) }];
    let server = Jetstream::start(Options { faults, limit: 300, ..Options::default() }).unwrap();
    let mut client = Client::new(&[&server]);
    let got = client.read(299).await;
    assert_eq!((client.too_long(), client.faults), (1, 0));
    let big = server.log().into_iter().find(|event| event.bytes.len() > 1 << 20).unwrap();
    assert!(got.iter().all(|record| record.bytes != big.bytes));
    assert!(server.wait_finished(PATIENCE));
}

#[tokio::test]
async fn another_dictionary_is_an_error_that_an_operator_must_see() {
    let mut dictionary = DICTIONARY.to_vec();
    dictionary[4..8].copy_from_slice(&1_612_007_021_u32.to_le_bytes());
    let server = Jetstream::start(Options { dictionary, ..Options::default() }).unwrap();
    let mut client = Client::new(&[&server]);
    client.compress = true;
    client.open().await;
    let broken = client.one_batch().await.unwrap_err();
    assert!(broken.needs_operator());
    let Broken::Compressed(Undecodable::OtherDictionary { found, ours }) = broken else {
        panic!("{broken:?}");
    };
    assert_eq!((found, ours), (1_612_007_021, 20_260_704));
}

#[tokio::test]
async fn a_place_survives_a_restart_and_the_filter_is_the_servers() {
    let options = Options { growth: Growth::ByHand, ..Options::default() };
    let server = Jetstream::start(options).unwrap();
    let mut client = Client::new(&[&server]);
    client.collections = vec!["app.bsky.feed.post".into()];
    client.open().await;
    server.publish(500);
    let wanted = |event: &spillway_testkit::services::jetstream::Event| {
        event.collection.as_deref().is_none_or(|name| name == "app.bsky.feed.post")
    };
    let count = server.log().iter().filter(|event| wanted(event)).count();
    let got = client.read(count).await;
    assert!(count < 250 && got.len() == count);
    let place = got.last().unwrap().place.clone().unwrap();
    let stored: Place = serde_json::from_str(&serde_json::to_string(&place).unwrap()).unwrap();
    client.resume_at(Some(stored));
    assert_eq!(client.read(1).await[0].gap, None);
    assert!(matches!(server.connections()[0].ended, Some((_, End::ClientGone)) | None));
    assert_eq!(server.connections()[1].cursor, Some(place.time_us - 1_000_000));
}
