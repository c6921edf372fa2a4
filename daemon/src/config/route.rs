//! The `[[route]]` tables: which records go to which topic.

use spillway_service::settings::Section;

use super::{KafkaConfig, SourceConfig, check_topic};
use crate::pointer::Pointer;
use crate::record::SourceIndex;
use crate::routes::{Condition, Route, Routes};

/// Routes that one daemon takes. Each probe asks for every topic.
const ROUTES_MAX: usize = 500;

pub(super) fn routes(root: &Section<'_>, kafka: &KafkaConfig, sources: &[SourceConfig]) -> Routes {
    let sections = root.sections("route");
    if sections.len() > ROUTES_MAX {
        root.problem("route", &format!("there may be at most {ROUTES_MAX} routes"));
    }
    let routes: Vec<Route> = sections.iter().map(|section| route(section, kafka, sources)).collect();
    Routes::new(&kafka.topic, &routes, sources.len())
}

fn route(section: &Section<'_>, kafka: &KafkaConfig, sources: &[SourceConfig]) -> Route {
    let topic: String = section.require("topic", "\"events.hk\"");
    check_topic(section, "topic", &topic);
    if kafka.dead_letter_topic.as_deref() == Some(&topic) {
        section.problem("topic", "must be another topic than kafka.dead_letter_topic");
    }
    let wanted = section.one_or_more_strings("source");
    let condition = condition(section);
    let asks = ["source", "tag", "pointer"].iter().any(|key| section.has(key));
    if !asks {
        section.problem("", "must say what it is for: source, tag, or pointer with equals");
    }
    Route { sources: indexes(section, &wanted, sources), condition, topic }
}

fn indexes(section: &Section<'_>, wanted: &[String], sources: &[SourceConfig]) -> Vec<SourceIndex> {
    let index = |name: &String| {
        let found = (0..).zip(sources).find(|(_, source)| source.name == *name);
        if found.is_none() {
            let names: Vec<_> = sources.iter().map(|source| format!("{:?}", source.name)).collect();
            let message = format!("{name:?} is the name of no source; there is {}", names.join(", "));
            section.problem("source", &message);
        }
        found.map(|(index, _)| index)
    };
    wanted.iter().filter_map(index).collect()
}

fn condition(section: &Section<'_>) -> Option<Condition> {
    let tags = section.one_or_more_strings("tag");
    let pointer = super::source::pointer(section, "pointer", None);
    let equals = section.one_or_more_strings("equals");
    if section.has("pointer") != section.has("equals") {
        section.problem("pointer", "pointer and equals belong together");
    }
    match (tags.is_empty(), pointer) {
        (true, None) => None,
        (true, Some(field)) => Some(Condition { field, equals }),
        (false, None) => Some(Condition { field: Pointer::tags(), equals: tags }),
        (false, Some(_)) => {
            section.problem("tag", "set either tag or pointer; write two routes for both");
            None
        }
    }
}
