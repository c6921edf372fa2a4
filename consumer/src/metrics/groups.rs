//! Which groups of a table an event counts in: none, one, or several when it has several tags or words.

use std::borrow::Cow;

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

    /// The groups that an event counts in, each once.
    pub fn groups<'r>(self, reading: &'r Reading<'_>) -> Vec<Cow<'r, str>> {
        let event = reading.event();
        let one = |name: &'r Option<Cow<'_, str>>| name.as_deref().map(Cow::Borrowed).into_iter().collect();
        match self {
            Self::None => vec![Cow::Borrowed("")],
            Self::Place => one(&event.place),
            Self::Tag => reading.tags().into_iter().map(Cow::Borrowed).collect(),
            Self::FoldedTag => reading.folded_tags().into_iter().map(Cow::Owned).collect(),
            Self::Word => reading.words().iter().map(|word| Cow::Borrowed(word.as_str())).collect(),
            Self::Lang => one(&event.lang),
            Self::Rule => reading.rule_tags().into_iter().map(Cow::Borrowed).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let groups = |by: By| by.groups(&reading).into_iter().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(groups(By::None), [""]);
        assert_eq!(groups(By::Place), ["Rome"]);
        assert_eq!(groups(By::Tag), ["Rain", "rain"]);
        assert_eq!(groups(By::FoldedTag), ["rain"]);
        assert_eq!(groups(By::Word), ["rain", "sun"]);
        assert_eq!(groups(By::Lang), [""; 0]);
        assert_eq!(groups(By::Rule), ["r2", "r1"]);
        let all = [By::None, By::Place, By::Tag, By::FoldedTag, By::Word, By::Lang, By::Rule];
        assert_eq!(all.iter().filter(|by| by.column().is_some()).count(), 6);
        assert_eq!(all.iter().filter(|by| by.needs_lists()).count(), 3);
    }
}
