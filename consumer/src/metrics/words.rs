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
    let is_between = |c: char| !(c.is_alphanumeric() || c == '\'');
    let mut words: Vec<String> = text
        .split_whitespace()
        .flat_map(|run| before_link(run).split(is_between))
        .map(|word| word.trim_matches('\''))
        .filter(|word| word.chars().count() > LENGTH_TOO_SHORT && !STOP_WORDS.contains(word))
        .map(str::to_owned)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What stands before a mention, a hashtag or a link, wherever in `run` one begins.
fn before_link(run: &str) -> &str {
    let link = run.find(['@', '#']).into_iter().chain(run.find("http")).min();
    &run[..link.unwrap_or(run.len())]
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

    #[test]
    fn many_mentions_take_no_quadratic_time() {
        let began = std::time::Instant::now();
        assert_eq!(words(&"@a rain ".repeat(100_000)), ["rain"]);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
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
