//! An event with what the metrics compute from its text, each at most once, however many tables and
//! groups ask for it: an event counts in a group for each of its words.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::hashtags::{faces, folded, smile_emoji};
use super::sentiment::Polarity;
use super::words::words;
use crate::event::Event;

/// See the module.
#[derive(Debug)]
pub struct Reading<'e> {
    event: &'e Event<'e>,
    polarity: OnceCell<Option<Polarity>>,
    smiles: OnceCell<u64>,
    smile_emoji: OnceCell<u64>,
    words: OnceCell<Vec<String>>,
}

impl<'e> Reading<'e> {
    /// Nothing is computed yet.
    #[must_use]
    pub fn new(event: &'e Event<'e>) -> Self {
        Self {
            event,
            polarity: OnceCell::new(),
            smiles: OnceCell::new(),
            smile_emoji: OnceCell::new(),
            words: OnceCell::new(),
        }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &'e Event<'e> {
        self.event
    }

    /// The polarity of its text; `None` when it has no text.
    #[must_use]
    pub fn polarity(&self) -> Option<Polarity> {
        *self.polarity.get_or_init(|| self.event.text.as_deref().map(Polarity::of))
    }

    /// How often `:)` stands in its text.
    #[must_use]
    pub fn smiles(&self) -> u64 {
        *self.smiles.get_or_init(|| faces(self.text()))
    }

    /// How many smiling emoji stand in its text.
    #[must_use]
    pub fn smile_emoji(&self) -> u64 {
        *self.smile_emoji.get_or_init(|| smile_emoji(self.text()))
    }

    /// The words of its text, each once: [`words`].
    #[must_use]
    pub fn words(&self) -> &[String] {
        self.words.get_or_init(|| words(self.text()))
    }

    /// Its tags as they are written, each once.
    #[must_use]
    pub fn tags(&self) -> Vec<&str> {
        once(self.event.tags.iter().map(Cow::as_ref))
    }

    /// Its tags in lower case, each once.
    #[must_use]
    pub fn folded_tags(&self) -> Vec<String> {
        once(self.event.tags.iter().map(|tag| folded(tag)))
    }

    /// The tags of the rules that let it through, each once.
    #[must_use]
    pub fn rule_tags(&self) -> Vec<&str> {
        once(self.event.rule_tags.iter().map(Cow::as_ref))
    }

    fn text(&self) -> &str {
        self.event.text.as_deref().unwrap_or_default()
    }
}

/// What is different, in the order of first appearance. Lists are short: an event has few tags.
fn once<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut different = Vec::new();
    for item in items {
        if !different.contains(&item) {
            different.push(item);
        }
    }
    different
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::testing;

    #[test]
    fn a_tag_that_an_event_has_twice_is_there_once() {
        let mut event = testing::event("1", 0, "ann", Kind::Original);
        event.tags = ["Rain", "sun", "Rain", "rain"].map(Cow::Borrowed).to_vec();
        event.rule_tags = vec!["a".into(), "a".into()];
        let reading = Reading::new(&event);
        assert_eq!(reading.tags(), ["Rain", "sun", "rain"]);
        assert_eq!(reading.folded_tags(), ["rain", "sun"]);
        assert_eq!(reading.rule_tags(), ["a"]);
    }

    #[test]
    fn an_event_without_text_has_no_polarity_and_one_with_an_empty_text_a_neutral_one() {
        let mut event = testing::event("1", 0, "ann", Kind::Original);
        assert_eq!(Reading::new(&event).polarity(), None);
        event.text = Some("".into());
        assert_eq!(Reading::new(&event).polarity(), Some(Polarity::NEUTRAL));
    }
}
