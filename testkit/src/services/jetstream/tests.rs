use super::*;
use crate::rng::Rng;

fn log(options: Options, events: u64) -> Log {
    let mut log = Log::new(&Options { growth: Growth::ByHand, ..options });
    log.ask(events);
    log.grow(Instant::now(), false);
    log
}

#[test]
fn a_seed_gives_the_same_events_and_each_is_json_with_its_time() {
    let events = log(Options::default(), 2_000);
    assert_eq!(events.events(), log(Options::default(), 2_000).events());
    assert_ne!(events.events(), log(Options { seed: 2, ..Options::default() }, 2_000).events());
    for event in events.events() {
        let again = Event::recorded(event.number, event.bytes.clone());
        assert_eq!(&again, event);
    }
    let times: Vec<u64> = events.events().iter().map(|event| event.time_us).collect();
    assert!(!times.is_sorted(), "the real one's times do not rise strictly either");
}

#[test]
fn a_cursor_is_inclusive_moved_up_at_the_look_back_and_ignored_from_the_future() {
    let options = Options { jitter_us: 0, look_back: Duration::from_millis(100), ..Options::default() };
    let log = log(options, 1_000);
    let events = log.events();
    let newest = events[999].time_us;
    assert_eq!(log.begin_at(None), 1_000);
    assert_eq!(log.begin_at(Some(events[990].time_us)), 990);
    assert_eq!(log.begin_at(Some(events[990].time_us + 1)), 991);
    assert_eq!(log.begin_at(Some(newest + 1)), 1_000);
    let floor = log.begin_at(Some(events[0].time_us));
    assert!(
        floor > 0
            && newest - events[floor].time_us <= 100_000
            && newest - events[floor - 1].time_us > 100_000
    );
}

#[test]
fn a_filter_knows_collections_dids_and_sizes() {
    let filter = |query: &str| {
        Filter::read(&Request::parse(&format!("GET /subscribe?{query} HTTP/1.1\r\n\r\n")).unwrap())
    };
    let event = |did: &str, collection: Option<&str>| Event {
        number: 1,
        time_us: 1,
        did: did.into(),
        collection: collection.map(Into::into),
        bytes: Bytes::from_static(b"12345"),
        served: 0,
    };
    let posts = filter("wantedCollections=app.bsky.feed.*&wantedDids=did%3Aplc%3Aa").unwrap();
    assert!(posts.wants(&event("did:plc:a", Some("app.bsky.feed.post"))));
    assert!(posts.wants(&event("did:plc:a", None)), "identities come in any case");
    assert!(!posts.wants(&event("did:plc:b", Some("app.bsky.feed.post"))));
    assert!(!posts.wants(&event("did:plc:a", Some("app.bsky.graph.follow"))));
    assert!(!filter("maxMessageSizeBytes=4").unwrap().wants(&event("d", None)));
    assert_eq!(filter("cursor=x"), None);
    assert_eq!(filter(&"wantedCollections=a&".repeat(101)), None);
}

#[test]
fn random_faults_are_in_order_and_of_every_kind() {
    let faults = random(7, 300, 20, Duration::from_secs(1));
    assert_eq!(faults, random(7, 300, 20, Duration::from_secs(1)));
    assert!(faults.is_sorted_by_key(|fault| fault.after));
    let kinds: std::collections::HashSet<_> =
        faults.iter().map(|fault| std::mem::discriminant(&fault.kind)).collect();
    assert_eq!(kinds.len(), 10);
}

#[test]
fn the_dictionary_makes_events_smaller_than_they_are_without() {
    let event = Event::made(1, 1_783_175_888_000_000, &mut Rng::new(1), None);
    let with =
        zstd::bulk::Compressor::with_dictionary(3, DICTIONARY).unwrap().compress(&event.bytes).unwrap();
    let without = zstd::bulk::Compressor::new(3).unwrap().compress(&event.bytes).unwrap();
    assert!(with.len() < without.len(), "{} {}", with.len(), without.len());
}
