use proptest::prelude::*;

use super::identity::Reader;
use super::*;

const T: u64 = 1_783_175_888_000_000;
const NOW: u64 = T + 5_000_000;

fn settings(instances: &[&str]) -> Settings {
    Settings {
        instances: instances.iter().map(|text| Address::new((*text).to_owned())).collect(),
        wanted_collections: Vec::new(),
        wanted_dids: Vec::new(),
        rewind: REWIND,
        compress: false,
        zstd_dictionary: None,
        message_bytes_max: 1_000,
    }
}

fn two() -> Settings {
    settings(&["wss://a.example/subscribe", "wss://b.example:8443"])
}

fn cursor(address: &Address) -> Option<u64> {
    let url = Url::parse(address.reveal()).unwrap();
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.parse().unwrap())
}

fn at(time_us: u64, host: &str) -> Place {
    Place { time_us, host: host.to_owned() }
}

#[test]
fn the_address_asks_for_what_is_wanted() {
    let mut asked = two();
    asked.wanted_collections = vec!["app.bsky.feed.post".into(), "app.bsky.graph.*".into()];
    asked.wanted_dids = vec!["did:plc:a".into()];
    asked.compress = true;
    assert_eq!(
        asked.address(1, Some(T)).reveal(),
        "wss://b.example:8443/subscribe?wantedCollections=app.bsky.feed.post&wantedCollections=app.bsky.graph.*&wantedDids=did%3Aplc%3Aa&maxMessageSizeBytes=1000&compress=true&cursor=1783175888000000"
    );
    assert_eq!(two().address(0, None).reveal(), "wss://a.example/subscribe?maxMessageSizeBytes=1000");
    assert_eq!((two().host(0), two().host(1)), ("a.example".into(), "b.example:8443".into()));
}

#[test]
fn every_problem_is_told_with_its_setting() {
    assert_eq!(settings(&INSTANCES).problems(), []);
    let mut wrong = settings(&[]);
    wrong.wanted_collections = vec!["posts".into(); 101];
    wrong.wanted_dids = vec!["somebody".into()];
    wrong.compress = true;
    let found = wrong.problems();
    let keys: Vec<_> = found.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["urls", "wanted_collections", "wanted_collections", "wanted_dids", "compress"]);
    assert!(found[4].1.starts_with("needs zstd_dictionary"), "{}", found[4].1);
    let mut idle = two();
    idle.zstd_dictionary = Some(PathBuf::from("dictionary"));
    assert_eq!(idle.problems()[0].0, "zstd_dictionary");
}

#[test]
fn ids_come_from_what_every_instance_says_alike() {
    let id = |json: &str| Reader::default().read(json.as_bytes());
    let commit = |time: u64, operation: &str| {
        id(&format!(
            r#"{{"did":"did:plc:a","time_us":{time},"kind":"commit","commit":{{"rev":"3r","operation":"{operation}","collection":"c.d","rkey":"k","record":{{"rev":"other"}},"cid":"x"}}}}"#
        ))
    };
    let first = commit(T, "create");
    assert_eq!(first.id.as_deref(), Some("did:plc:a/c.d/k@3r/create"));
    assert_eq!(first.time_us, Some(T));
    assert_eq!(first.id, commit(T + 7, "create").id, "another instance has another time");
    assert_ne!(first.id, commit(T, "delete").id);
    let identity =
        r#"{"did":"did:plc:a","time_us":1,"kind":"identity","identity":{"did":"did:plc:a","seq":17}}"#;
    assert_eq!(id(identity).id.as_deref(), Some("did:plc:a#identity/17"));
    let account = r#"{"kind":"account","account":{"active":true,"seq":18},"time_us":2,"did":"did:plc:a"}"#;
    assert_eq!(id(account).id.as_deref(), Some("did:plc:a#account/18"), "in any order");
    let unknown = r#"{"did":"did:plc:a","time_us":3,"kind":"sync","sync":{}}"#;
    assert_eq!(id(unknown).id.as_deref(), Some("did:plc:a#sync@3"));
    for nothing in ["", "{}", "[1]", r#"{"did":"d","kind":"commit"}"#, "{\"did\":"] {
        assert_eq!(id(nothing), Default::default(), "{nothing}");
    }
}

#[test]
fn the_first_connection_begins_at_the_tip_and_the_second_where_the_first_began() {
    let mut resume = Resume::new(two(), None);
    assert_eq!(cursor(&resume.address(NOW)), None);
    assert_eq!(resume.place(), None, "nothing has come");
    assert_eq!(cursor(&resume.address(NOW + 9_000_000)), Some(NOW - 5_000_000));
    assert_eq!(resume.take(NOW + 1, NOW), None, "what was not received before cannot be missing");
    assert_eq!(resume.place(), Some(&at(NOW + 1, "a.example")));
}

#[test]
fn the_cursor_is_set_back_a_little_and_more_at_another_instance() {
    let mut resume = Resume::new(two(), Some(at(T, "b.example:8443")));
    assert_eq!(resume.host(), "b.example:8443");
    assert_eq!(cursor(&resume.address(NOW)), Some(T - 1_000_000));
    resume.failed(true);
    assert_eq!(resume.host(), "b.example:8443", "one that gave is tried again");
    resume.failed(false);
    assert_eq!(resume.host(), "a.example");
    assert_eq!(cursor(&resume.address(NOW)), Some(T - 5_000_000));
    // Its times are its own: the cursor follows them, although they are behind.
    assert_eq!(resume.take(T - 4_000_000, NOW), None);
    assert_eq!(resume.place(), Some(&at(T - 4_000_000, "a.example")));
    assert_eq!(Resume::new(two(), Some(at(T, "gone.example"))).host(), "a.example");
}

#[test]
fn the_cursor_is_the_latest_time_and_never_in_the_future() {
    let mut resume = Resume::new(two(), Some(at(T, "a.example")));
    for (time, place) in [
        (T + 10, T + 10),
        (T + 5, T + 10),
        (17, T + 10),
        (NOW + 60_000_000, NOW + 60_000_000),
        (NOW + 60_000_001, NOW),
        (NOW + 3, NOW + 3),
    ] {
        resume.take(time, NOW);
        assert_eq!(resume.place().unwrap().time_us, place, "after {time}");
    }
}

#[test]
fn what_the_service_no_longer_has_is_a_gap_told_once() {
    let mut resume = Resume::new(two(), Some(at(T, "a.example")));
    let _ = resume.address(NOW);
    let gap = resume.take(T + 1_000_001, NOW).unwrap();
    assert_eq!((gap.from_us, gap.to_us, gap.length()), (T, T + 1_000_001, Duration::from_micros(1_000_001)));
    assert_eq!(resume.take(T + 9_000_000, NOW), None);
    let _ = resume.address(NOW);
    assert_eq!(resume.take(T + 9_000_000, NOW), None, "the event itself comes again: nothing is missing");
    // Another instance may have had it later.
    resume.failed(false);
    let _ = resume.address(NOW);
    assert_eq!(resume.take(T + 14_000_000, NOW), None);
}

proptest! {
    /// A server with times that do not rise strictly, and a client that is thrown back at any moment to
    /// any place that it had, as after a crash: nothing between is missed, and no gap is told.
    #[test]
    fn nothing_is_missed_wherever_the_stream_is_taken_up(
        jitter in proptest::collection::vec(0..33_000_u64, 1..200),
        steps in proptest::collection::vec((1..60_usize, 0..60_usize), 1..12),
    ) {
        let times: Vec<u64> = jitter.iter().zip(0..).map(|(j, n)| T + 1_000 * n + 33_000 - j).collect();
        let mut places = vec![(0, at(times[0], "a.example"))];
        for (read, back) in steps {
            // What is durable is any place so far, and with it the number of events before it.
            let (done, place) = places[places.len().saturating_sub(1 + back)].clone();
            let mut resume = Resume::new(two(), Some(place));
            let asked = cursor(&resume.address(NOW)).unwrap();
            let begin = times.iter().position(|time| *time >= asked).unwrap_or(times.len());
            prop_assert!(begin <= done, "begins at {} although only {} are durable", begin, done);
            for (number, time) in times.iter().enumerate().skip(begin).take(read) {
                prop_assert_eq!(resume.take(*time, NOW), None);
                places.push((number + 1, resume.place().unwrap().clone()));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Reader::default().read(&bytes);
    }
}
