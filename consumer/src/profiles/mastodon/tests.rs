//! Tests of Mastodon's profile: the shapes of its messages, and recorded streams.

use spillway_testkit::samples;

use super::*;
use crate::micros;

const ALL: Needs = Needs { actor: true, lists: true };

fn event_of(record: &str) -> Event<'_> {
    match read(record.as_bytes(), ALL) {
        Ok(Message::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn title_of(record: &[u8]) -> String {
    match read(record, ALL) {
        Ok(Message::Notice { title }) => title.into_owned(),
        other => panic!("no notice: {other:?}"),
    }
}

fn status(more: &str) -> String {
    format!(
        r#"{{"id":"1","created_at":"2026-08-02T05:25:16.840Z","account":{{"id":"9","acct":"ann"}},"content":"<p>hi</p>"{more}}}"#
    )
}

#[test]
fn a_status_is_read_as_text() {
    let record = status(
        r#","language":"en","edited_at":null,"reblog":null,"quote":null,"in_reply_to_id":null,"tags":[{"name":"rain","url":"x"},{"name":"sun"}]"#,
    );
    let event = event_of(&record);
    assert_eq!(
        (event.id.as_ref(), event.actor.as_deref(), event.lang.as_deref()),
        ("1", Some("9"), Some("en"))
    );
    assert_eq!(micros::show(event.time), "2026-08-02T05:25:16.840Z");
    assert_eq!((event.text.as_deref(), event.tags), (Some("hi"), vec!["rain".into(), "sun".into()]));
    assert_eq!((event.kind, event.referencing, event.place), (Kind::Original, false, None));
}

#[test]
fn the_kind_follows_what_the_status_carries() {
    let kind = |more: &str| {
        let record = status(more);
        let event = event_of(&record);
        (event.kind, event.referencing)
    };
    assert_eq!(kind(r#","in_reply_to_id":"3""#), (Kind::Reply, true));
    assert_eq!(kind(r#","quote":{"state":"accepted"}"#), (Kind::Quote, true));
    assert_eq!(kind(r#","reblog":{"id":"3"},"in_reply_to_id":"3""#), (Kind::Repost, true));
}

#[test]
fn a_boost_says_what_it_passes_on() {
    let record = r#"{"id":"2","created_at":"2026-08-02T05:25:16Z","account":{"id":"9"},"content":"","tags":[],"language":null,
        "reblog":{"id":"1","content":"<p>so <b>good</b></p>","language":"de","tags":[{"name":"rain"}]}}"#;
    let event = event_of(record);
    assert_eq!((event.text.as_deref(), event.lang.as_deref()), (Some("so good"), Some("de")));
    assert_eq!(event.tags, ["rain"]);
}

#[test]
fn a_change_is_an_event_at_the_time_of_the_change() {
    let record = status(r#","edited_at":"2026-08-03T00:00:00Z""#);
    let event = event_of(&record);
    assert_eq!(micros::show(event.time), "2026-08-03T00:00:00Z");
    assert_eq!((event.kind, event.referencing), (Kind::Other, true));
}

#[test]
fn what_is_no_status_is_a_notice() {
    for (record, title) in [
        ("1234", "delete"),
        ("\"117020617136550219\"", "delete"),
        ("undefined", "filters_changed"),
        ("", "filters_changed"),
        (
            r#"{"id":"5","type":"mention","created_at":"2026-08-02T05:25:16Z","status":{"id":"1"}}"#,
            "notification: mention",
        ),
        (r#"{"id":"6","unread":true,"accounts":[],"last_status":{"id":"1"}}"#, "conversation"),
        (r#"{"id":"7","content":"<p>x</p>","published_at":"2026-08-02T05:25:16Z"}"#, "announcement"),
        (r#"{"name":"x","count":1,"announcement_id":"7"}"#, "announcement.reaction"),
    ] {
        assert_eq!(title_of(record.as_bytes()), title, "{record}");
    }
}

#[test]
fn what_is_neither_says_why() {
    let fault = |record: &str| read(record.as_bytes(), ALL).unwrap_err().to_string();
    assert_eq!(fault("{}"), "/created_at is missing");
    assert_eq!(fault(r#"{"created_at":"2026-08-02T05:25:16Z","account":{"id":"1"}}"#), "/id is missing");
    assert_eq!(fault(&status(r#","edited_at":"now""#)), "/edited_at is no RFC 3339 time: \"now\"");
    assert_eq!(
        fault(r#"{"id":"1","created_at":"2026-08-02T05:25:16Z","account":7}"#),
        "/account/id is missing"
    );
    assert!(fault("12a").starts_with("cannot be read as JSON"));
    assert_eq!(fault("[]"), "the record is no JSON object");
}

/// The data of the events of an SSE body; the last one only if it is whole.
fn data(body: &str) -> Vec<String> {
    let blocks: Vec<&str> = body.split("\n\n").collect();
    let whole = &blocks[..blocks.len().saturating_sub(1)];
    let lines = |block: &&str| {
        let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    whole.iter().filter_map(lines).collect()
}

#[test]
fn recorded_streams_are_read() {
    let mut seen = Vec::new();
    for name in ["test_stream_user_local", "test_stream_direct", "test_stream_user_direct"] {
        let Some(path) = samples::find(&format!("mastodon/{name}.sse"), "recorded_streams_are_read") else {
            return;
        };
        for record in data(&std::fs::read_to_string(path).unwrap()) {
            seen.push(match read(record.as_bytes(), ALL).unwrap() {
                Message::Event(event) => format!("{}: {}", event.actor.unwrap(), event.text.unwrap()),
                Message::Notice { title } => title.into_owned(),
            });
        }
    }
    let expected = [
        "117020617404561855: it's cool guy",
        "conversation",
        "117020617404561855: only real cars respond.",
        "notification: mention",
        "117020617404561855: @mastodonpy_test_2 pssssst",
        "notification: mention",
        "117020617404561855: only real animals respond.",
        "delete",
    ];
    assert_eq!(seen, expected);
}
