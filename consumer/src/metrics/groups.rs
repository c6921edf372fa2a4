//! Which groups of a table an event counts in: none, one, or several when it has several tags or words.

use super::reading::Reading;

/// What the rows of a table are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// All events are one group, named "".
    None,
    /// The name of the place.
    Place,
    /// Each tag, as it is written.
    Tag,
    /// Each tag, in lower case.
    FoldedTag,
    /// Each word of the text: [`super::words`].
    Word,
    /// The language.
    Lang,
    /// Each tag of a rule.
    Rule,
}

impl By {
    /// The name of the column, if there is one.
    #[must_use]
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Place => Some("place"),
            Self::Tag | Self::FoldedTag => Some("tag"),
            Self::Word => Some("word"),
            Self::Lang => Some("lang"),
            Self::Rule => Some("rule"),
        }
    }

    /// Whether an event's lists of tags must be read for it.
    #[must_use]
    pub fn needs_lists(self) -> bool {
        matches!(self, Self::Tag | Self::FoldedTag | Self::Rule)
    }

    /// Its name, as a configuration says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// Calls `with` for each group that an event counts in, once.
    pub fn each(self, reading: &Reading<'_>, mut with: impl FnMut(&str)) {
        let event = reading.event();
        match self {
            Self::None => with(""),
            Self::Place => event.place.as_deref().into_iter().for_each(with),
            Self::Tag => reading.tags().into_iter().for_each(with),
            Self::FoldedTag => reading.folded_tags().iter().for_each(|tag| with(tag)),
            Self::Word => reading.words().iter().for_each(|word| with(word)),
            Self::Lang => event.lang.as_deref().into_iter().for_each(with),
            Self::Rule => reading.rule_tags().into_iter().for_each(with),
        }
    }
}

/// What `group_by = […]` can say.
pub(crate) const NAMES: [(&str, By); 7] = [
    ("none", By::None),
    ("place", By::Place),
    ("tag", By::Tag),
    ("folded_tag", By::FoldedTag),
    ("word", By::Word),
    ("lang", By::Lang),
    ("rule", By::Rule),
];

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::Kind;
    use crate::testing;

    #[test]
    fn an_event_counts_in_the_groups_of_what_it_has() {
        let mut event = testing::event("1", 0, "ann", Kind::Original).at("Rome", "city");
        event.tags = ["Rain", "rain", "Rain"].map(Cow::Borrowed).to_vec();
        event.rule_tags = vec!["r2".into(), "r1".into()];
        event.text = Some("Rain, rain and SUN".into());
        let reading = Reading::new(&event);
        let groups = |by: By| {
            let mut groups = Vec::new();
            by.each(&reading, |group| groups.push(group.to_owned()));
            groups
        };
        assert_eq!(groups(By::None), [""]);
        assert_eq!(groups(By::Place), ["Rome"]);
        assert_eq!(groups(By::Tag), ["Rain", "rain"]);
        assert_eq!(groups(By::FoldedTag), ["rain"]);
        assert_eq!(groups(By::Word), ["rain", "sun"]);
        assert_eq!(groups(By::Lang), [""; 0]);
        assert_eq!(groups(By::Rule), ["r2", "r1"]);
        assert_eq!(NAMES.iter().filter(|(_, by)| by.column().is_some()).count(), 6);
        assert_eq!(NAMES.iter().filter(|(_, by)| by.needs_lists()).count(), 3);
        assert!(NAMES.iter().all(|(name, by)| by.name() == *name));
    }
}
