//! Which events a table takes.

use crate::event::{Event, Kind};

/// Events that have one of each of what is listed; an empty list asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of places.
    pub places: Vec<String>,
    /// Sorts of places, such as `city`.
    pub place_types: Vec<String>,
    /// Language codes.
    pub langs: Vec<String>,
    /// Tags, in whatever case.
    pub tags: Vec<String>,
    /// Tags of rules.
    pub rules: Vec<String>,
    /// What was done.
    pub kinds: Vec<Kind>,
}

impl Filter {
    /// Only events at a place of this sort, such as `city`.
    #[must_use]
    pub fn place_type(name: &str) -> Self {
        Self { place_types: vec![name.to_owned()], ..Self::default() }
    }

    /// Whether an event is one of these.
    pub(crate) fn takes(&self, event: &Event<'_>) -> bool {
        let one = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|name| name == value))
        };
        let any =
            |list: &[String], is: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|name| is(name));
        one(&self.place_types, event.place_type.as_deref())
            && one(&self.places, event.place.as_deref())
            && one(&self.langs, event.lang.as_deref())
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && any(&self.rules, &|name| event.rule_tags.iter().any(|tag| tag == name))
            && any(&self.tags, &|name| {
                let name = name.to_lowercase();
                event.tags.iter().any(|tag| tag.to_lowercase() == name)
            })
    }

    /// Whether an event's lists of tags must be read for it.
    pub(crate) fn needs_lists(&self) -> bool {
        !(self.tags.is_empty() && self.rules.is_empty())
    }

    /// In words, for the log; nothing when it takes everything.
    pub(crate) fn definition(&self) -> String {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name().to_owned()).collect();
        let lists = [
            ("place", &self.places),
            ("place_type", &self.place_types),
            ("lang", &self.langs),
            ("tag", &self.tags),
            ("rule", &self.rules),
            ("kind", &kinds),
        ];
        let said = lists.iter().filter(|(_, list)| !list.is_empty());
        said.map(|(name, list)| format!(" {name}={list:?}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_event_must_have_one_of_each_list() {
        let mut event = testing::event("1", 0, "ann", Kind::Reply).at("Rome", "city");
        event.lang = Some("en".into());
        event.tags = vec!["Rain".into(), "sun".into()];
        event.rule_tags = vec!["r1".into()];
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = Filter {
            places: list(&["Oslo", "Rome"]),
            place_types: list(&["city"]),
            langs: list(&["en", "no"]),
            tags: list(&["RAIN"]),
            rules: list(&["r1", "r2"]),
            kinds: vec![Kind::Reply],
        };
        assert!(all.takes(&event) && Filter::default().takes(&event));
        let others = [
            Filter { places: list(&["Oslo"]), ..all.clone() },
            Filter { place_types: list(&["country"]), ..all.clone() },
            Filter { langs: list(&["no"]), ..all.clone() },
            Filter { tags: list(&["snow"]), ..all.clone() },
            Filter { rules: list(&["R1"]), ..all.clone() },
            Filter { kinds: vec![Kind::Original], ..all.clone() },
        ];
        for other in others {
            assert!(!other.takes(&event), "{other:?}");
            assert_ne!(other.definition(), all.definition());
        }
        let bare = testing::event("1", 0, "ann", Kind::Original);
        assert!(!Filter::place_type("city").takes(&bare) && Filter::default().takes(&bare));
        assert_eq!(Filter::default().definition(), "");
    }
}
