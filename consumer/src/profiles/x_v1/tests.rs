//! Tests of X's API v1.1: tweets as archives of its streams have them, and the stream's other messages.

use super::*;
use crate::micros;

const ALL: Needs = Needs { actor: true, lists: true };

fn event_of(record: &str) -> Event<'_> {
    match read(record.as_bytes(), ALL) {
        Ok(Message::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn with(more: &str) -> String {
    format!(
        r#"{{"created_at":"Wed Aug 27 13:08:45 +0000 2008","id":1,"id_str":"1","user":{{"id":7,"id_str":"7"}}{more}}}"#
    )
}

const LONG: &str = r##"{"created_at":"Thu Apr 06 15:24:15 +0200 2017","id":850006245121695744,"id_str":"850006245121695744","text":"1/ Today we\u2019re #sharing \u2026",
 "truncated":true,"extended_tweet":{"full_text":"1/ Today we\u2019re #sharing our #vision","display_text_range":[0,36],"entities":{"hashtags":[{"text":"sharing","indices":[14,22]},{"text":"vision","indices":[27,34]}]}},
 "user":{"id":2244994945,"id_str":"2244994945","screen_name":"Dev"},"place":{"id":"p","place_type":"city","full_name":"Manhattan, NY"},"is_quote_status":false,
 "in_reply_to_status_id":null,"in_reply_to_status_id_str":null,"entities":{"hashtags":[{"text":"sharing","indices":[14,22]}]},"lang":"en","matching_rules":[{"tag":"vis","id":3}],"timestamp_ms":"1491485055000"}"##;

#[test]
fn a_long_tweet_is_read_with_its_whole_text() {
    let event = event_of(LONG);
    assert_eq!((event.id.as_ref(), event.actor.as_deref()), ("850006245121695744", Some("2244994945")));
    assert_eq!(micros::show(event.time), "2017-04-06T13:24:15Z");
    assert_eq!(event.text.as_deref(), Some("1/ Today we’re #sharing our #vision"));
    assert_eq!((event.tags, event.rule_tags), (vec!["sharing".into(), "vision".into()], vec!["vis".into()]));
    assert_eq!((event.place.as_deref(), event.place_type.as_deref()), (Some("Manhattan, NY"), Some("city")));
    assert_eq!((event.lang.as_deref(), event.kind, event.referencing), (Some("en"), Kind::Original, false));
}

#[test]
fn a_short_tweet_has_its_text_at_the_top() {
    let record = with(r#","text":"hi #there","entities":{"hashtags":[{"text":"there"}]}"#);
    let event = event_of(&record);
    assert_eq!((event.text.as_deref(), event.tags), (Some("hi #there"), vec!["there".into()]));
    let compat = with(r#","full_text":"whole","text":null"#);
    assert_eq!(event_of(&compat).text.as_deref(), Some("whole"));
}

#[test]
fn the_kind_is_the_strongest_reference() {
    let kind = |more: &str| {
        let record = with(more);
        let event = event_of(&record);
        assert_eq!(event.referencing, event.kind != Kind::Original);
        event.kind
    };
    assert_eq!(kind(""), Kind::Original);
    assert_eq!(kind(r#","retweeted_status":{"id":2},"quoted_status":{"id":3}"#), Kind::Repost);
    assert_eq!(kind(r#","in_reply_to_status_id_str":"2","quoted_status_id_str":"3""#), Kind::Reply);
    assert_eq!(kind(r#","in_reply_to_status_id":2"#), Kind::Reply);
    assert_eq!(kind(r#","quoted_status":{"id":3}"#), Kind::Quote);
    assert_eq!(kind(r#","quoted_status_id_str":"3""#), Kind::Quote, "the quoted one is gone");
    assert_eq!(kind(r#","retweeted_status":null,"quoted_status":null"#), Kind::Original);
}

#[test]
fn messages_about_the_stream_are_notices() {
    for (record, expected) in [
        (r#"{"delete":{"status":{"id":1,"id_str":"1","user_id":3}}}"#, "delete"),
        (r#"{"limit":{"track":1234}}"#, "limit"),
        (r#"{"disconnect":{"code":4,"reason":""}}"#, "disconnect"),
        (r#"{"warning":{"code":"FALLING_BEHIND","percent_full":60}}"#, "warning"),
        (r#"{"scrub_geo":{"user_id":1}}"#, "scrub_geo"),
        (r#"{"status_withheld":{"id":1}}"#, "status_withheld"),
        (r#"{"user_withheld":{"id":1}}"#, "user_withheld"),
    ] {
        let Ok(Message::Notice { title }) = read(record.as_bytes(), ALL) else { panic!("{record}") };
        assert_eq!(title, expected);
    }
}

#[test]
fn what_is_no_tweet_says_why() {
    let fault = |record: &str| read(record.as_bytes(), ALL).unwrap_err().to_string();
    assert_eq!(fault("{}"), "/id_str is missing");
    assert_eq!(fault(r#"{"id":1}"#), "/created_at is missing");
    assert_eq!(
        fault(r#"{"id":1,"created_at":"2021-04-01T15:52:31Z"}"#),
        "/created_at is no time of API v1.1: \"2021-04-01T15:52:31Z\""
    );
    assert_eq!(
        fault(r#"{"id":1,"created_at":"Wed Aug 27 13:08:45 +0000 2008","user":[]}"#),
        "/user/id_str is missing"
    );
    assert_eq!(fault("[]"), "the record is no JSON object");
}
