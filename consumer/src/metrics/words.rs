//! The words of a text for tables by word: in lower case, longer than two letters, no stop words, each once.
//!
//! 1. The text in lower case, with `'` for the typographic apostrophe.
//! 2. Without what begins with `@`, `#` or `http`, up to the next space.
//! 3. Words are runs of letters, digits and apostrophes inside them. So `don't` is one, and a stop word; the
//!    `rt` of a repost is one, and too short.
//!
//! Stop words are Snowball's English ones: `data/README.md`.

use std::collections::HashSet;
use std::sync::LazyLock;

static STOP_WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("../../data/stopwords/english.txt").split_whitespace().collect());

/// Letters that a word must have more of.
const LENGTH_TOO_SHORT: usize = 2;

/// The words of `text`, sorted.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('\u{2019}', "'");
    let mut words: Vec<String> = without_links(&text)
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\''))
        .filter(|word| word.chars().count() > LENGTH_TOO_SHORT && !STOP_WORDS.contains(word))
        .map(str::to_owned)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Without mentions, hashtags and links, wherever in a word they begin.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = begin_of_link(rest) {
        plain.push_str(&rest[..begin]);
        let link = &rest[begin..];
        rest = &link[link.find(char::is_whitespace).unwrap_or(link.len())..];
    }
    plain.push_str(rest);
    plain
}

fn begin_of_link(text: &str) -> Option<usize> {
    let mark = text.find(['@', '#']);
    let http = text.find("http");
    mark.into_iter().chain(http).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_word_is_left_out() {
        assert_eq!(
            words("RT @ann: The rain, the RAIN in #Spain isn't bad! See https://t.co/x?y=http and http"),
            ["bad", "rain", "see"]
        );
        assert_eq!(words("Don’t worry, 'be' 'happy' 2026 café's ok"), ["2026", "café's", "happy", "worry"]);
        assert_eq!(words("art part rt x"), ["art", "part"]);
        assert_eq!(words("go#tag word mail@example.org end"), ["end", "mail", "word"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(STOP_WORDS.len(), 174);
    }

    proptest! {
        #[test]
        fn words_are_words_once_each(text in "(rt )?([@#a-cA-C'’é ]|http|the ){0,40}") {
            let words = words(&text);
            for pair in words.windows(2) {
                prop_assert!(pair[0] < pair[1]);
            }
            for word in &words {
                prop_assert!(word.chars().count() > 2 && !STOP_WORDS.contains(word.as_str()));
                prop_assert_eq!(&word.to_lowercase(), word);
                prop_assert!(text.to_lowercase().replace('’', "'").contains(word.as_str()));
                prop_assert!(!word.contains("http"));
            }
        }
    }
}
