//! Tests of the X v2 profile: shapes seen in recordings and shapes that must not break it.

use super::*;
use crate::micros;

const ALL: Needs = Needs { actor: true, lists: true };
const FEW: Needs = Needs { actor: true, lists: false };

fn event_of(record: &str, needs: Needs) -> Event<'_> {
    match read(record.as_bytes(), needs) {
        Ok(Message::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

fn title_of(record: &str) -> String {
    match read(record.as_bytes(), FEW) {
        Ok(Message::Notice { title }) => title.into_owned(),
        other => panic!("no notice: {other:?}"),
    }
}

fn fault_of(record: &str) -> String {
    read(record.as_bytes(), FEW).unwrap_err().to_string()
}

const FULL: &str = r#"{"__twarc":{"version":"2"},"matching_rules":[{"id":1377649934414049282,"tag":null},{"id":"2","tag":"rain"}],
 "includes":{"users":[{"id":"9"}],"places":[{"place_type":"city","id":"p1","full_name":"Denver, CO"},{"id":"p2","full_name":"Malawi","place_type":"country"}]},
 "data":{"lang":"en","referenced_tweets":[{"type":"quoted","id":"5"},{"type":"replied_to","id":"6"}],"text":"caf\u00e9 :)",
  "entities":{"hashtags":[{"start":0,"tag":"Sun"},{"tag":"Rain"}]},"geo":{"place_id":"p2"},"created_at":"2021-04-01T15:52:31.000Z","author_id":"4602771083","id":"1377650090978992134"}}"#;

#[test]
fn a_full_record_is_read_whatever_the_order_of_its_fields() {
    let event = event_of(FULL, ALL);
    assert_eq!(event.id, "1377650090978992134");
    assert_eq!(micros::show(event.time), "2021-04-01T15:52:31Z");
    assert_eq!(event.actor.as_deref(), Some("4602771083"));
    assert_eq!((event.kind, event.referencing), (Kind::Reply, true));
    assert_eq!(
        (event.place.as_deref(), event.place_type.as_deref()),
        (Some("Denver, CO"), Some("city")),
        "the first place"
    );
    assert_eq!((event.lang.as_deref(), event.text.as_deref()), (Some("en"), Some("café :)")));
    assert_eq!(
        (event.tags, event.rule_tags),
        (vec!["Sun".into(), "Rain".into()], vec![Cow::Borrowed("rain")])
    );
}

#[test]
fn lists_are_read_only_when_needed() {
    let event = event_of(FULL, FEW);
    assert!(event.tags.is_empty() && event.rule_tags.is_empty());
    assert!(matches!(event.id, Cow::Borrowed(_)), "nothing is copied that need not be");
}

#[test]
fn the_kind_follows_the_references() {
    let with = |references: &str| {
        let record = format!(
            r#"{{"data":{{"id":"1","author_id":"2","created_at":"2021-04-01T15:52:31Z"{references}}}}}"#
        );
        let event = event_of(&record, FEW);
        (event.kind, event.referencing)
    };
    let of = |kind: &str| with(&format!(r#","referenced_tweets":[{{"type":"{kind}","id":"1"}}]"#));
    assert_eq!(with(""), (Kind::Original, false));
    assert_eq!(of("retweeted"), (Kind::Repost, true));
    assert_eq!(of("replied_to"), (Kind::Reply, true));
    assert_eq!(of("quoted"), (Kind::Quote, true));
    assert_eq!(of("remixed"), (Kind::Other, true));
    for none in [r#","referenced_tweets":[]"#, r#","referenced_tweets":null"#, r#","referenced_tweets":{}"#] {
        assert_eq!(with(none), (Kind::Original, false), "{none}");
    }
}

#[test]
fn odd_shapes_of_what_is_optional_do_not_keep_an_event_out() {
    let record = r#"{"data":{"id":1,"author_id":2,"created_at":"2021-04-01T15:52:31Z","lang":{},"text":null,"geo":[],
        "entities":{"hashtags":{}},"attachments":{"media_keys":{}}},"includes":{"places":[]},"matching_rules":{},"errors":[{"title":"Not Found Error"}]}"#;
    let event = event_of(record, ALL);
    assert_eq!((event.id.as_ref(), event.actor.as_deref()), ("1", Some("2")), "ids may be numbers");
    assert_eq!((event.lang, event.text, event.place, event.place_type), (None, None, None, None));
}

#[test]
fn a_message_without_data_is_a_notice() {
    let disconnect = r#"{"errors": [{"title": "operational-disconnect", "disconnect_type": "OperationalDisconnect"}], "__twarc": {"url": "x"}}"#;
    assert_eq!(title_of(disconnect), "operational-disconnect");
    assert_eq!(
        title_of(r#"{"title":"ConnectionException","connection_issue":"TooManyConnections"}"#),
        "ConnectionException"
    );
    assert_eq!(title_of(r#"{"data":null,"errors":["what"]}"#), "(without a title)");
    assert_eq!(title_of("{}"), "(without a title)");
}

#[test]
fn what_is_no_event_says_why() {
    assert!(
        fault_of(r#"{"data": {"author_id": "1021159080151404544"adr"#).starts_with("cannot be read as JSON")
    );
    assert!(fault_of("").starts_with("cannot be read as JSON"));
    assert!(fault_of(r#"{"data":{}} {"data":{}}"#).starts_with("cannot be read as JSON"));
    assert_eq!(fault_of("[]"), "the record is no JSON object");
    assert_eq!(fault_of("7"), "the record is no JSON object");
    assert_eq!(fault_of(r#"{"data":["1","2"]}"#), "/data is no JSON object");
    assert_eq!(fault_of(r#"{"data":{"id":"1","author_id":"2"}}"#), "/data/created_at is missing");
    assert_eq!(
        fault_of(r#"{"data":{"created_at":"2021-04-01T15:52:31Z","author_id":"2"}}"#),
        "/data/id is missing"
    );
    assert_eq!(
        fault_of(r#"{"data":{"id":"1","created_at":"2021-04-01T15:52:31Z"}}"#),
        "/data/author_id is missing"
    );
    assert_eq!(
        fault_of(r#"{"data":{"id":"1","created_at":"yesterday"}}"#),
        "/data/created_at is no RFC 3339 time: \"yesterday\""
    );
}

#[test]
fn an_actor_is_asked_for_only_when_a_table_needs_it() {
    let record = r#"{"data":{"id":"1","created_at":"2021-04-01T15:52:31Z"}}"#;
    assert_eq!(event_of(record, Needs::default()).actor, None);
}
