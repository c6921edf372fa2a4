//! Which topic a record goes to: that of the first route that it matches, else the usual one. Pure.
//!
//! A record is read only for a route that asks for a field of it, and that no route before it has decided;
//! then once, for all of them.

use std::collections::HashMap;

use crate::pointer::{Pointer, extract_all};
use crate::record::SourceIndex;
use crate::topics::TopicIndex;

/// One route: what a record must be like, and where it goes then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The sources that it is for; empty for all.
    pub sources: Vec<SourceIndex>,
    /// What must be in the record; none if the source alone decides.
    pub condition: Option<Condition>,
    /// The topic.
    pub topic: String,
}

/// A field and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: Pointer,
    /// It must have one of these values. Numbers and booleans are compared as they are written.
    pub equals: Vec<String>,
}

/// All routes. As a configuration gives them, the usual topic has the number 0, and the others the next ones.
#[derive(Debug, Clone)]
pub struct Routes {
    topics: Vec<String>,
    usual: TopicIndex,
    by_source: Vec<Plan>,
}

/// The routes of one source.
#[derive(Debug, Clone, Default)]
struct Plan {
    fields: Vec<Pointer>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Index of the field, and its values; none to match all.
    condition: Option<(usize, Vec<String>)>,
    topic: TopicIndex,
}

impl Routes {
    /// The routes of `sources` sources, in the order in which they are tried.
    #[must_use]
    pub fn new(usual: &str, routes: &[Route], sources: usize) -> Self {
        let mut topics = vec![usual.to_owned()];
        let mut index_of: HashMap<&str, TopicIndex> = HashMap::from([(usual, 0)]);
        let mut by_source = vec![Plan::default(); sources];
        for route in routes {
            let topic = *index_of.entry(&route.topic).or_insert_with(|| {
                topics.push(route.topic.clone());
                // The configuration limits the number of routes.
                TopicIndex::try_from(topics.len() - 1).unwrap_or(0)
            });
            for (source, plan) in (0..).zip(&mut by_source) {
                if route.sources.is_empty() || route.sources.contains(&source) {
                    plan.add(route.condition.as_ref(), topic);
                }
            }
        }
        Self { topics, usual: 0, by_source }
    }

    /// The same routes with other numbers for the topics; `None` when a topic has none.
    #[must_use]
    pub fn renumbered(&self, number: impl FnMut(&str) -> Option<TopicIndex>) -> Option<Self> {
        let numbers: Vec<TopicIndex> =
            self.topics.iter().map(String::as_str).map(number).collect::<Option<_>>()?;
        let of = |topic: TopicIndex| numbers.get(usize::from(topic)).copied();
        let mut routes = self.clone();
        routes.usual = of(self.usual)?;
        for rule in routes.by_source.iter_mut().flat_map(|plan| &mut plan.rules) {
            rule.topic = of(rule.topic)?;
        }
        Some(routes)
    }

    /// The topics, in the order of the numbers that [`Self::new`] gives them.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Where a record of the source goes.
    #[must_use]
    pub fn topic_of(&self, source: SourceIndex, record: &[u8]) -> TopicIndex {
        self.by_source.get(usize::from(source)).and_then(|plan| plan.topic_of(record)).unwrap_or(self.usual)
    }
}

impl Plan {
    fn add(&mut self, condition: Option<&Condition>, topic: TopicIndex) {
        let condition = condition.map(|Condition { field, equals }| {
            let known = self.fields.iter().position(|known| known == field);
            let at = known.unwrap_or_else(|| {
                self.fields.push(field.clone());
                self.fields.len() - 1
            });
            (at, equals.clone())
        });
        self.rules.push(Rule { condition, topic });
    }

    /// The topic of the first rule that the record matches.
    fn topic_of(&self, record: &[u8]) -> Option<TopicIndex> {
        let mut read = None;
        for rule in &self.rules {
            let Some((field, equals)) = &rule.condition else { return Some(rule.topic) };
            let values = read.get_or_insert_with(|| extract_all(record, &self.fields));
            if values[*field].iter().any(|value| equals.contains(value)) {
                return Some(rule.topic);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(sources: &[SourceIndex], field: Option<(Pointer, &[&str])>, topic: &str) -> Route {
        let condition = field.map(|(field, equals)| Condition {
            field,
            equals: equals.iter().map(|value| (*value).to_owned()).collect(),
        });
        Route { sources: sources.to_vec(), condition, topic: topic.to_owned() }
    }

    fn lang(values: &'static [&'static str]) -> Option<(Pointer, &'static [&'static str])> {
        Some((Pointer::parse("/data/lang").unwrap(), values))
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routes = Routes::new(
            "events",
            &[
                route(&[], Some((Pointer::tags(), &["hk"])), "events.hk"),
                route(&[], lang(&["en", "fr"]), "events.west"),
                route(&[1], None, "events.second"),
                route(&[], Some((Pointer::tags(), &["jp", "kr"])), "events.east"),
                route(&[], Some((Pointer::parse("/n").unwrap(), &["7"])), "events"),
            ],
            3,
        );
        assert_eq!(routes.topics(), ["events", "events.hk", "events.west", "events.second", "events.east"]);
        let hk = br#"{"data":{"lang":"en"},"matching_rules":[{"id":"1","tag":"jp"},{"id":"2","tag":"hk"}]}"#;
        let east = br#"{"data":{"lang":"ja"},"matching_rules":[{"id":"1"},{"id":"2","tag":"kr"}]}"#;
        let of =
            |source, record: &[u8]| routes.topics()[usize::from(routes.topic_of(source, record))].as_str();
        assert_eq!(of(0, hk), "events.hk", "a later element of the array");
        assert_eq!(of(0, br#"{"data":{"lang":"fr"}}"#), "events.west");
        assert_eq!((of(0, east), of(1, east), of(2, east)), ("events.east", "events.second", "events.east"));
        for usual in [&b"no JSON"[..], br#"{"n":7}"#, br#"{"matching_rules":{"tag":"hk"}}"#, b""] {
            assert_eq!(of(0, usual), "events");
        }
        assert_eq!(of(9, hk), "events", "a source that is not there");
    }

    #[test]
    fn topics_can_have_other_numbers() {
        let routes = Routes::new("events", &[route(&[0], None, "a"), route(&[1], lang(&["en"]), "b")], 2);
        let numbers = |name: &str| ["b", "x", "events", "a"].iter().position(|known| *known == name);
        let other = routes.renumbered(|name| TopicIndex::try_from(numbers(name)?).ok()).unwrap();
        let english = br#"{"data":{"lang":"en"}}"#;
        assert_eq!((other.topic_of(0, b""), other.topic_of(1, english), other.topic_of(1, b"")), (3, 0, 2));
        assert_eq!(other.topic_of(9, b""), 2, "a source that is not there");
        assert!(routes.renumbered(|name| (name != "b").then_some(0)).is_none());
    }

    #[test]
    fn without_a_route_that_asks_for_it_nothing_is_read() {
        let routes = Routes::new("events", &[route(&[0], None, "a")], 2);
        assert!(routes.by_source.iter().all(|plan| plan.fields.is_empty()));
        assert_eq!((routes.topic_of(0, b""), routes.topic_of(1, b"")), (1, 0));
    }
}
