//! Tests of Bluesky's profile: the shapes of commits, and a recorded stream.

use std::collections::BTreeMap;

use spillway_testkit::samples;

use super::*;
use crate::micros;

fn event_of(record: &str) -> Event<'_> {
    match read(record.as_bytes()) {
        Ok(Message::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn commit(operation: &str, collection: &str, record: &str) -> String {
    format!(
        r#"{{"did":"did:plc:ann","time_us":1783175888085434,"kind":"commit","commit":{{"rev":"3r","operation":"{operation}","collection":"{collection}","rkey":"3k"{record}}}}}"#
    )
}

fn post(more: &str) -> String {
    commit(
        "create",
        "app.bsky.feed.post",
        &format!(r#","record":{{"text":"good rain","langs":["en","de"]{more}}}"#),
    )
}

#[test]
fn a_post_is_read_with_the_tags_in_it_and_beside_it() {
    let record = post(
        r#","tags":["beside"],"facets":[{"features":[{"$type":"app.bsky.richtext.facet#tag","tag":"rain"},{"$type":"app.bsky.richtext.facet#link","uri":"x"}]},{"features":[{"$type":"app.bsky.richtext.facet#tag","tag":"sun"}]}]"#,
    );
    let event = event_of(&record);
    assert_eq!(event.id, "did:plc:ann/app.bsky.feed.post/3k@3r/create");
    assert_eq!(micros::show(event.time), "2026-07-04T14:38:08.085434Z");
    assert_eq!((event.actor.as_deref(), event.lang.as_deref()), (Some("did:plc:ann"), Some("en")));
    assert_eq!(
        (event.text.as_deref(), event.kind, event.referencing),
        (Some("good rain"), Kind::Original, false)
    );
    assert_eq!(event.tags, ["rain", "sun", "beside"]);
}

#[test]
fn the_kind_follows_the_collection_and_what_the_post_carries() {
    let kind = |record: &str| {
        let event = event_of(record);
        (event.kind, event.referencing)
    };
    assert_eq!(
        kind(&post(r#","reply":{"parent":{}},"embed":{"$type":"app.bsky.embed.record"}"#)),
        (Kind::Reply, true)
    );
    assert_eq!(kind(&post(r#","embed":{"$type":"app.bsky.embed.recordWithMedia"}"#)), (Kind::Quote, true));
    assert_eq!(kind(&post(r#","embed":{"$type":"app.bsky.embed.images"}"#)), (Kind::Original, false));
    let subject = r#","record":{"subject":{"uri":"at://did:plc:bob/app.bsky.feed.post/1","cid":"b"}}"#;
    assert_eq!(kind(&commit("create", "app.bsky.feed.repost", subject)), (Kind::Repost, true));
    assert_eq!(kind(&commit("create", "app.bsky.feed.like", subject)), (Kind::Other, true));
    let account = r#","record":{"subject":"did:plc:bob"}"#;
    assert_eq!(kind(&commit("create", "app.bsky.graph.follow", account)), (Kind::Other, false));
    assert_eq!(kind(&commit("create", "app.bsky.actor.profile", r#","record":{}"#)), (Kind::Other, false));
    assert_eq!(kind(&commit("update", "app.bsky.feed.post", r#","record":{}"#)), (Kind::Other, true));
    assert_eq!(kind(&commit("delete", "app.bsky.feed.post", "")), (Kind::Other, true));
}

#[test]
fn messages_about_accounts_are_notices_and_the_rest_says_why_it_is_unreadable() {
    let account = br#"{"did":"did:plc:ann","time_us":1,"kind":"account","account":{"seq":1}}"#;
    assert!(matches!(read(account), Ok(Message::Notice { title }) if title == "account"));
    let fault = |record: &str| read(record.as_bytes()).unwrap_err().to_string();
    assert_eq!(fault("{}"), "/kind is missing");
    assert_eq!(fault(r#"{"kind":"commit"}"#), "/did is missing");
    assert_eq!(fault(r#"{"kind":"commit","did":"d"}"#), "/time_us is missing");
    assert_eq!(
        fault(r#"{"kind":"commit","did":"d","time_us":"x"}"#),
        "/time_us is no number of microseconds: \"x\""
    );
    assert_eq!(fault(r#"{"kind":"commit","did":"d","time_us":1}"#), "/commit is no JSON object");
    assert_eq!(
        fault(r#"{"kind":"commit","did":"d","time_us":1,"commit":{}}"#),
        "/commit/collection is missing"
    );
}

#[test]
fn a_recorded_stream_is_read_to_its_end() {
    let Some(path) = samples::find("bluesky/jetstream_v1.jsonl", "a_recorded_stream_is_read_to_its_end")
    else {
        return;
    };
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let what = match read(line.as_bytes()).unwrap() {
            Message::Event(event) => format!("{:?} {}", event.kind, event.text.is_some()),
            Message::Notice { title } => title.into_owned(),
        };
        *seen.entry(what).or_default() += 1;
    }
    let expected = [
        ("Original true", 9),
        ("Other false", 118),
        ("Reply true", 8),
        ("Repost false", 15),
        ("account", 1),
        ("identity", 1),
    ];
    assert_eq!(seen, expected.map(|(what, count)| (what.to_owned(), count)).into());
}
