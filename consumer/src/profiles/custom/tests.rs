//! Tests of the custom profile: that it reads what it is told to, and how it says what is missing.

use super::*;

const ALL: Needs = Needs { actor: true, lists: true };

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn shop() -> Custom {
    let words = [("share", Kind::Repost), ("answer", Kind::Reply)];
    Custom {
        id: path("/order/no"),
        time: TimeOf { at: path("/order/at"), form: TimeForm::Rfc3339 },
        actor: Some(path("/buyer")),
        kind: Some(KindOf { at: path("/type"), words: words.map(|(w, k)| (w.to_owned(), k)).to_vec() }),
        place: Some(path("/shop/name")),
        place_type: Some(path("/shop/sort")),
        lang: Some(path("/lang")),
        text: Some(path("/note")),
        tags: Some(path("/items/*/tag")),
        rule_tags: Some(path("/rules")),
    }
}

const ORDER: &str = r#"{"order":{"no":17,"at":"2026-07-04T14:38:08Z"},"buyer":"ann","type":"share","shop":{"name":"Oslo","sort":"city"},
    "lang":"no","note":"good","items":[{"tag":"a"},{"tag":null},{"tag":"b"}],"rules":["r",1]}"#;

fn event_of(custom: &Custom, record: &str, needs: Needs) -> Event<'static> {
    match custom.read(record.as_bytes(), needs) {
        Ok(Message::Event(event)) => event,
        other => panic!("no event: {other:?}"),
    }
}

#[test]
fn each_part_is_read_where_it_is_said_to_stand() {
    let event = event_of(&shop(), ORDER, ALL);
    assert_eq!((event.id.as_ref(), event.actor.as_deref()), ("17", Some("ann")));
    assert_eq!(micros::show(event.time), "2026-07-04T14:38:08Z");
    assert_eq!((event.kind, event.referencing), (Kind::Repost, true));
    assert_eq!((event.place.as_deref(), event.place_type.as_deref()), (Some("Oslo"), Some("city")));
    assert_eq!((event.lang.as_deref(), event.text.as_deref()), (Some("no"), Some("good")));
    assert_eq!((event.tags, event.rule_tags), (vec!["a".into(), "b".into()], vec!["r".into(), "1".into()]));
    let few = event_of(&shop(), ORDER, Needs::default());
    assert!(few.tags.is_empty() && few.rule_tags.is_empty());
}

#[test]
fn a_list_without_end_is_cut() {
    let items = vec!["{\"tag\":\"a\"}"; 1000].join(",");
    let record =
        format!(r#"{{"order":{{"no":1,"at":"2026-07-04T14:38:08Z"}},"buyer":"a","items":[{items}]}}"#);
    assert_eq!(event_of(&shop(), &record, ALL).tags.len(), LIST_MAX);
}

#[test]
fn what_is_not_said_is_not_there() {
    let shop = Custom {
        actor: None,
        kind: None,
        place: None,
        place_type: None,
        lang: None,
        text: None,
        tags: None,
        rule_tags: None,
        ..shop()
    };
    let event = event_of(&shop, ORDER, Needs { actor: false, lists: true });
    assert_eq!((event.actor, event.kind, event.text, event.tags), (None, Kind::Original, None, vec![]));
    let fault = shop.read(ORDER.as_bytes(), ALL).unwrap_err();
    assert_eq!(fault.to_string(), "actor is missing");
}

#[test]
fn the_kind_is_what_the_words_say() {
    let kind = |word: &str| event_of(&shop(), &ORDER.replace("\"share\"", word), ALL).kind;
    assert_eq!(kind("\"answer\""), Kind::Reply);
    assert_eq!(kind("\"else\""), Kind::Other);
    assert_eq!(kind("null"), Kind::Original);
}

#[test]
fn times_are_read_in_the_form_that_is_said() {
    for (form, text, micros) in [
        (TimeForm::Seconds, "1690617099", Some(1_690_617_099_000_000)),
        (TimeForm::Seconds, "1690617099.25", Some(1_690_617_099_250_000)),
        (TimeForm::Seconds, "1690617099.1234567", Some(1_690_617_099_123_456)),
        (TimeForm::Seconds, "-0.5", Some(-500_000)),
        (TimeForm::Seconds, "1.é", None),
        (TimeForm::Seconds, "1.-5", None),
        (TimeForm::Seconds, "1e9", None),
        (TimeForm::Seconds, "9223372036854775807", None),
        (TimeForm::Millis, "1690617099250", Some(1_690_617_099_250_000)),
        (TimeForm::Millis, "9223372036854775807", None),
        (TimeForm::Micros, "1783175888085434", Some(1_783_175_888_085_434)),
        (TimeForm::Micros, "", None),
        (TimeForm::Rfc3339, "2023-07-29T07:51:39Z", Some(1_690_617_099_000_000)),
    ] {
        assert_eq!(form.parse(text), micros, "{form:?} {text}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let fault = |record: &str| shop().read(record.as_bytes(), ALL).unwrap_err().to_string();
    assert_eq!(fault(r#"{"order":{"at":"2026-07-04T14:38:08Z"}}"#), "/order/no is missing");
    assert_eq!(fault(r#"{"order":{"no":1,"at":{}}}"#), "/order/at is missing");
    assert_eq!(fault(r#"{"order":{"no":1,"at":17}}"#), "/order/at is no RFC 3339 time: \"17\"");
    assert_eq!(fault(r#"{"order":{"no":1,"at":"2026-07-04T14:38:08Z"}}"#), "/buyer is missing");
    assert_eq!(fault("[]"), "the record is no JSON object");
    assert!(fault(r#"{"order""#).starts_with("cannot be read as JSON"));
}
