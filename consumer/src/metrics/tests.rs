//! Tests of a group's metrics: against a second, naive implementation, and that the order of events and
//! the parts they are counted in do not matter.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::testing;

fn all() -> Plan {
    Plan::new(KINDS.map(|(_, kind)| kind).to_vec())
}

fn event(id: u32, actor: Option<u8>, kind: Deed, text: Option<String>) -> Event<'static> {
    Event {
        id: Cow::Owned(id.to_string()),
        actor: actor.map(|actor| Cow::Owned(format!("actor {actor}"))),
        text: text.map(Cow::Owned),
        ..testing::event("", 0, "", kind)
    }
}

fn metrics<'e>(plan: &Plan, events: impl IntoIterator<Item = &'e Event<'e>>) -> Metrics {
    let mut metrics = Metrics::default();
    events.into_iter().for_each(|event| metrics.observe(plan, &Reading::new(event)));
    metrics
}

fn events() -> impl Strategy<Value = Vec<Event<'static>>> {
    let text = "(good|bad|rain|very|not| |:\\)|😀|🙂|😡|!){0,8}";
    let kind = prop_oneof![Just(Deed::Original), Just(Deed::Repost), Just(Deed::Reply)];
    let one = (0_u32..50, prop::option::of(0_u8..9), kind, prop::option::weighted(0.9, text));
    prop::collection::vec(one.prop_map(|(id, actor, kind, text)| event(id, actor, kind, text)), 0..40)
}

/// The same values by the plainest means: lists, two passes, sorting.
fn naive(events: &[Event<'_>]) -> Vec<Value> {
    let texts: Vec<&str> = events.iter().filter_map(|event| event.text.as_deref()).collect();
    let scores: Vec<f64> = texts.iter().map(|text| Polarity::of(text).value()).collect();
    let n = scores.len() as f64;
    let mean = (n > 0.0).then(|| scores.iter().sum::<f64>() / n);
    let variance = mean
        .filter(|_| n > 1.0)
        .map(|mean| scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0));
    let mut placed: Vec<(Polarity, &str, &str)> = events
        .iter()
        .filter_map(|event| Some((Polarity::of(event.text.as_deref()?), &*event.id, event.text.as_deref()?)))
        .collect();
    placed.sort_unstable();
    let negative = placed.first().copied();
    let best = placed.last().map(|place| place.0);
    let positive = placed.into_iter().find(|place| Some(place.0) == best);
    let count = |count: usize| Value::Count(count as u64);
    let end = |end: Option<(Polarity, &str, &str)>| {
        [
            Value::Real(end.map(|end| end.0.value())),
            Value::Text(end.map(|end| end.1.to_owned())),
            Value::Text(end.map(|end| end.2.to_owned())),
        ]
    };
    let actors: BTreeSet<_> = events.iter().filter_map(|event| event.actor.as_deref()).collect();
    let mut values = vec![
        count(events.len()),
        count(events.iter().filter(|event| event.kind == Deed::Repost).count()),
        count(events.iter().filter(|event| event.referencing).count()),
        count(actors.len()),
        Value::Flag(true),
        count(texts.iter().map(|text| text.split(":)").count() - 1).sum()),
        count(texts.iter().map(|text| text.chars().filter(|c| "😀😅😆😇😎🙂".contains(*c)).count()).sum()),
        count(scores.len()),
        Value::Real(mean),
        Value::Real(variance.map(f64::sqrt)),
        Value::Real(variance),
        Value::Real(scores.iter().copied().min_by(f64::total_cmp)),
        Value::Real(scores.iter().copied().max_by(f64::total_cmp)),
    ];
    values.extend(end(positive).into_iter().chain(end(negative)));
    values
}

fn are_close(a: &[Value], b: &[Value]) -> bool {
    let is_close = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Real(Some(a)), Value::Real(Some(b))) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(is_close)
}

proptest! {
    #[test]
    fn the_values_are_those_of_a_naive_count(events in events()) {
        let plan = all();
        let values = metrics(&plan, &events).values(&plan);
        prop_assert!(are_close(&values, &naive(&events)), "{:?} {:?}", values, naive(&events));
        prop_assert_eq!(values.len(), plan.columns().count());
        for (value, column) in values.iter().zip(plan.columns()) {
            let form = match value {
                Value::Count(_) => Form::Count,
                Value::Real(_) => Form::Real,
                Value::Flag(_) => Form::Flag,
                Value::Text(_) => Form::Text,
            };
            prop_assert_eq!(form, column.form, "{}", column.name);
            prop_assert!(column.is_nullable || !matches!(value, Value::Real(None) | Value::Text(None)));
        }
    }

    /// Exactly: the same bytes in the log and the same bits in the columns.
    #[test]
    fn order_parts_and_a_stop_in_the_log_do_not_matter(
        (events, shuffled) in events().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        parts in 1_usize..6,
        salt in any::<usize>(),
    ) {
        let plan = all();
        let whole = metrics(&plan, &events);
        let part = |at| shuffled.iter().enumerate().filter(move |(i, _)| (i ^ salt) % parts == at).map(|(_, e)| e);
        let mut in_order = Metrics::default();
        let mut in_reverse = Metrics::default();
        for at in 0..parts {
            in_order.merge(&plan, metrics(&plan, part(at)));
            let stored = serde_json::to_vec(&metrics(&plan, part(parts - 1 - at))).unwrap();
            in_reverse.merge(&plan, serde_json::from_slice(&stored).unwrap());
        }
        for merged in [in_order, in_reverse] {
            prop_assert_eq!(serde_json::to_string(&merged).unwrap(), serde_json::to_string(&whole).unwrap());
            prop_assert_eq!(merged.values(&plan), whole.values(&plan));
            prop_assert_eq!(&merged, &whole);
        }
    }
}

#[test]
fn only_what_the_plan_asks_for_is_kept() {
    let events = [event(1, Some(1), Deed::Repost, Some("good :)".to_owned()))];
    let stored = |kinds: Vec<Kind>| serde_json::to_string(&metrics(&Plan::new(kinds), &events)).unwrap();
    assert_eq!(stored(vec![Kind::Events]), r#"{"events":1,"reposts":1,"referencing":1}"#);
    let smiles = r#"{"events":1,"reposts":1,"referencing":1,"text":{"smiles":1}}"#;
    assert_eq!(stored(vec![Kind::Smiles]), smiles);
    assert!(stored(vec![Kind::UniqueActors]).contains(r#""actors":{"exact":["actor 1"]}"#));
    assert_eq!(size_of::<Metrics>(), 56, "there are a million of them");
}

#[test]
fn columns_come_in_the_order_of_the_plan() {
    let plan = Plan::new(vec![Kind::Smiles, Kind::Events]);
    let metrics = metrics(&plan, &[event(1, None, Deed::Original, Some(":):)".to_owned()))]);
    assert_eq!(metrics.values(&plan), [Value::Count(2), Value::Count(1)]);
    assert_eq!(plan.columns().map(|column| column.name).collect::<Vec<_>>(), ["smiles", "events"]);
    assert!(!plan.needs().actor && Plan::new(vec![Kind::UniqueActors]).needs().actor);
}

#[test]
fn a_metric_that_the_log_has_and_we_do_not_know_is_an_error_and_no_loss() {
    assert!(serde_json::from_str::<Metrics>(r#"{"events":1,"bots":3}"#).is_err());
}

/// Sums stay exact where those of floating-point numbers would not: many small deviations from a large mean.
#[test]
fn a_million_polarities_have_the_variance_of_two() {
    let mut moments = Moments::default();
    let (good, better) = (Polarity::of("good"), Polarity::of("good!"));
    (0..500_000).for_each(|_| [good, better].into_iter().for_each(|p| moments.observe(p)));
    let half = (better.value() - good.value()) / 2.0;
    let expected = half * half * 1_000_000.0 / 999_999.0;
    assert!((moments.variance().unwrap() / expected - 1.0).abs() < 1e-12, "{moments:?}");
}

/// Each word's polarities, as lists; against the groups of recorded tweets that are cut into five parts.
#[test]
fn the_polarity_of_words_is_that_of_the_tweets_they_are_in() {
    let test = "the_polarity_of_words_is_that_of_the_tweets_they_are_in";
    let Some(path) = spillway_testkit::samples::find("expected/vader_compound.jsonl", test) else { return };
    let plan = Plan::new(vec![Kind::Events, Kind::Sentiment]);
    let mut parts: Vec<HashMap<String, Metrics>> = vec![HashMap::new(); 5];
    let mut lists: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (i, line) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
        let scored: serde_json::Value = serde_json::from_str(line).unwrap();
        let event = event(0, None, Deed::Original, scored["text"].as_str().map(str::to_owned));
        let reading = Reading::new(&event);
        By::Word.each(&reading, |word| {
            parts[i % 5].entry(word.to_owned()).or_default().observe(&plan, &reading);
            lists.entry(word.to_owned()).or_default().push(scored["vader_compound"].as_f64().unwrap());
        });
    }
    let mut whole: HashMap<String, Metrics> = HashMap::new();
    for (word, metrics) in parts.into_iter().flatten() {
        whole.entry(word).or_default().merge(&plan, metrics);
    }
    assert!(lists.len() > 1000, "{}", lists.len());
    assert_eq!(whole.len(), lists.len());
    for (word, scores) in lists {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let squares = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
        let variance = (n > 1.0).then(|| squares / (n - 1.0));
        let expected = [
            Value::Count(scores.len() as u64),
            Value::Count(scores.len() as u64),
            Value::Real(Some(mean)),
            Value::Real(variance.map(f64::sqrt)),
            Value::Real(variance),
            Value::Real(scores.iter().copied().min_by(f64::total_cmp)),
            Value::Real(scores.iter().copied().max_by(f64::total_cmp)),
        ];
        let values = whole[&word].values(&plan);
        assert!(are_close(&values, &expected), "{word}: {values:?} {expected:?}");
    }
}
