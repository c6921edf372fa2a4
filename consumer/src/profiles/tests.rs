//! Tests of all profiles: no bytes break one, and only a fault in what an event cannot do without keeps it
//! out, with a reason that names the field.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use spillway_testkit::samples;

use super::*;
use crate::event::Kind;
use crate::micros;

const ALL: Needs = Needs { actor: true, lists: true };

fn custom() -> Profile {
    let path = |text| Path::parse(text).unwrap();
    Profile::Custom(Box::leak(Box::new(Custom {
        id: path("/id"),
        time: TimeOf { at: path("/at"), form: TimeForm::Millis },
        actor: Some(path("/who")),
        kind: Some(KindOf { at: path("/what"), words: vec![("share".to_owned(), Kind::Repost)] }),
        place: Some(path("/where/0")),
        place_type: None,
        lang: Some(path("/lang")),
        text: Some(path("/text")),
        tags: Some(path("/tags/*/name")),
        rule_tags: Some(path("/rules")),
    })))
}

/// A record of each profile, and the fields that it cannot do without.
fn whole() -> Vec<(Profile, Value, &'static [&'static str])> {
    let x_v2 = json!({"data": {"id": "1", "author_id": "2", "created_at": "2021-04-01T15:52:31Z", "text": "hi", "lang": "en",
        "referenced_tweets": [{"type": "quoted", "id": "5"}], "entities": {"hashtags": [{"tag": "a"}]}},
        "includes": {"places": [{"full_name": "Rome", "place_type": "city"}]}, "matching_rules": [{"id": 1, "tag": "r"}]});
    let x_v1 = json!({"id_str": "1", "created_at": "Wed Aug 27 13:08:45 +0000 2008", "user": {"id_str": "7"},
        "text": "hi", "place": {"full_name": "Rome"}, "retweeted_status": {"id": 2}, "entities": {"hashtags": [{"text": "a"}]},
        "extended_tweet": {"full_text": "hi all", "entities": {"hashtags": [{"text": "a"}]}}, "matching_rules": [{"tag": "r"}]});
    let wikimedia = json!({"meta": {"id": "a-b", "dt": "2023-07-29T07:51:39Z", "domain": "en.wikipedia.org"}, "id": 7,
        "type": "edit", "user": "Ann", "wiki": "enwiki", "comment": "typo", "length": {"old": 1}});
    let mastodon = json!({"id": "1", "created_at": "2026-08-02T05:25:16.840Z", "account": {"id": "9"}, "content": "<p>hi</p>",
        "language": "en", "reblog": {"content": "x", "tags": []}, "quote": {"state": "a"}, "tags": [{"name": "a"}]});
    let bluesky = json!({"did": "did:plc:ann", "time_us": 1_783_175_888_085_434_u64, "kind": "commit", "commit": {"rev": "3r",
        "operation": "create", "collection": "app.bsky.feed.post", "rkey": "3k", "record": {"text": "hi", "langs": ["en"],
        "facets": [{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "a"}]}], "reply": {"parent": {}}}}});
    let shop = json!({"id": 1, "at": 1_783_175_888_085_u64, "who": "ann", "what": "share", "where": ["Rome"], "lang": "en",
        "text": "hi", "tags": [{"name": "a"}], "rules": ["r"]});
    vec![
        (Profile::XV2, x_v2, &["/data/id", "/data/author_id", "/data/created_at"]),
        (Profile::XV1, x_v1, &["/id_str", "/created_at", "/user/id_str"]),
        (Profile::Wikimedia, wikimedia, &["/meta/id", "/meta/dt", "/user"]),
        (Profile::Mastodon, mastodon, &["/id", "/created_at", "/account/id"]),
        (
            Profile::Bluesky,
            bluesky,
            &[
                "/kind",
                "/did",
                "/time_us",
                "/commit/collection",
                "/commit/operation",
                "/commit/rkey",
                "/commit/rev",
            ],
        ),
        (custom(), shop, &["/id", "/at", "/who"]),
    ]
}

fn is_event(profile: Profile, record: &Value) -> bool {
    matches!(profile.read(record.to_string().as_bytes(), ALL), Ok(Message::Event(_)))
}

/// The pointers to all values of a document but itself.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

#[test]
fn the_whole_records_are_events_of_known_parts() {
    for (profile, record, _) in whole() {
        let record = record.to_string();
        let Ok(Message::Event(event)) = profile.read(record.as_bytes(), ALL) else { panic!("{profile:?}") };
        assert!(event.actor.is_some() && event.text.is_some() && event.time > 0, "{event:?}");
        assert!(profile == Profile::Wikimedia || event.tags == ["a"], "{event:?}");
    }
    let names: Vec<_> = PROFILES.iter().map(|(name, profile)| (*name, profile.name())).collect();
    assert!(names.iter().all(|(name, own)| name == own), "{names:?}");
}

#[test]
fn without_a_field_that_it_needs_a_record_is_unreadable_and_the_reason_names_it() {
    for (profile, record, needed) in whole() {
        for field in needed {
            let (parent, key) = field.rsplit_once('/').unwrap();
            for wrong in [None, Some(json!([])), Some(json!({"a": 1}))] {
                let mut record = record.clone();
                let object = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                match wrong {
                    None => object.remove(key),
                    Some(wrong) => object.insert(key.to_owned(), wrong),
                };
                let reason = profile.read(record.to_string().as_bytes(), ALL).unwrap_err().to_string();
                assert_eq!(reason, format!("{field} is missing"), "{profile:?} {record}");
            }
        }
    }
}

#[test]
fn any_other_field_may_be_of_any_type() {
    for (profile, record, needed) in whole() {
        let mut places = Vec::new();
        pointers(&record, "", &mut places);
        for place in places.iter().filter(|place| !needed.iter().any(|field| field.starts_with(*place))) {
            for wrong in [
                json!(null),
                json!(true),
                json!(-1.5),
                json!(7),
                json!("x"),
                json!([[{}]]),
                json!({"a": [1]}),
            ] {
                let mut record = record.clone();
                *record.pointer_mut(place).unwrap() = wrong;
                assert!(is_event(profile, &record), "{profile:?} {place} {record}");
            }
        }
    }
}

#[test]
fn recorded_changes_of_wikimedia_are_read() {
    let test = "recorded_changes_of_wikimedia_are_read";
    let Some(path) = samples::find("wikimedia/recentchange.ndjson", test) else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let events: Vec<_> = text
        .lines()
        .map(|line| match Profile::Wikimedia.read(line.as_bytes(), ALL).unwrap() {
            Message::Event(event) => event,
            Message::Notice { title } => panic!("{title}"),
        })
        .collect();
    assert_eq!(events.len(), 100);
    for event in &events {
        assert_eq!((event.place.as_deref(), event.place_type.as_deref()), (Some("enwiki"), Some("wiki")));
        assert_eq!(
            (event.lang.as_deref(), event.kind, event.referencing),
            (Some("en"), Kind::Original, false)
        );
    }
    let first = &events[0];
    assert_eq!(
        (first.id.as_ref(), first.actor.as_deref()),
        ("0416300b-980c-45bb-b0a2-c9d7a9e2b7eb", Some("87.12.215.232"))
    );
    assert_eq!(micros::show(first.time), "2023-07-29T07:51:39Z");
    assert_eq!(first.text.as_deref(), Some("/* League champions, runners-up and play-off finalists */"));
}

#[test]
fn recorded_tweets_have_texts_and_actors() {
    let Some(path) = samples::find("x/hk.v2stream.ndjson", "recorded_tweets_have_texts_and_actors") else {
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let read = |line: &str| match Profile::XV2.read(line.as_bytes(), ALL).unwrap() {
        Message::Event(event) => event.text.is_some() && event.actor.is_some() && !event.rule_tags.is_empty(),
        Message::Notice { .. } => false,
    };
    assert_eq!(text.lines().filter(|line| read(line)).count(), 1628);
}

proptest! {
    #[test]
    fn no_bytes_break_a_profile(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (profile, ..) in whole() {
            let _ = profile.read(&bytes, ALL);
        }
    }

    /// Bytes of a record changed, dropped and repeated.
    #[test]
    fn a_damaged_record_is_read_or_refused(
        which in 0_usize..6,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let (profile, record, _) = whole().swap_remove(which);
        let mut bytes = record.to_string().into_bytes();
        for (at, byte, what) in damage {
            let at = at.index(bytes.len().max(1));
            match what {
                _ if bytes.is_empty() => bytes.push(byte),
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..)),
                2 => bytes.insert(at, b"{}[]\",:0"[usize::from(byte % 8)]),
                _ => bytes.extend_from_within(at..),
            }
        }
        if let Err(unreadable) = profile.read(&bytes, ALL) {
            let reason = unreadable.to_string();
            prop_assert!(
                reason.starts_with('/') || reason.starts_with("the record is") || reason.starts_with("cannot be read"),
                "{}", reason
            );
        }
    }

    #[test]
    fn several_fields_of_other_types_break_no_profile(
        which in 0_usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), select(vec!["null", "[]", "{}", "\"é\\n\"", "-1", "[[1],{\"a\":2}]"])), 1..8),
    ) {
        let (profile, mut record, _) = whole().swap_remove(which);
        for (at, other) in changes {
            let mut places = Vec::new();
            pointers(&record, "", &mut places);
            if places.is_empty() {
                break;
            }
            *record.pointer_mut(&places[at.index(places.len())]).unwrap() = serde_json::from_str(other).unwrap();
        }
        let _ = profile.read(record.to_string().as_bytes(), ALL);
        let _ = profile.read(record.to_string().as_bytes(), Needs::default());
    }
}
