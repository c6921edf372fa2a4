//! Words and emoticons of a text, as VADER tells them apart: what stands between spaces, without the
//! punctuation around it unless little else is left. Spaces and case are Python's.

use std::borrow::Cow;

use super::lexicon;

/// A word or an emoticon, with what is asked of it several times.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) lower: Cow<'t, str>,
    /// In capitals, as far as it has letters at all.
    pub(super) is_upper: bool,
    pub(super) valence: Option<f64>,
    pub(super) boost: Option<f64>,
}

/// The tokens of `text`.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    text.split(is_space).filter(|word| !word.is_empty()).map(|word| Token::new(stripped(word))).collect()
}

impl<'t> Token<'t> {
    fn new(word: &'t str) -> Self {
        let lower = lower(word);
        let (valence, boost) = (lexicon::valence(&lower), lexicon::boost(&lower));
        Self { lower, is_upper: is_upper(word), valence, boost }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.lower == word
    }
}

/// Python's idea of a space: Unicode's, and the separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The word without the punctuation around it, unless that leaves at most two characters: then it
/// probably is an emoticon.
fn stripped(word: &str) -> &str {
    let inner = word.trim_matches(|c: char| c.is_ascii_punctuation());
    if inner.chars().nth(2).is_some() { inner } else { word }
}

fn lower(word: &str) -> Cow<'_, str> {
    let is_lower = word.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) }
}

/// Whether there is an upper-case letter and no other that could be one.
fn is_upper(word: &str) -> bool {
    let mut has_upper = false;
    for c in word.chars() {
        if c.is_lowercase() || is_title(c) {
            return false;
        }
        has_upper |= c.is_uppercase();
    }
    has_upper
}

/// Letters in title case, of which Unicode has no more than these.
fn is_title(c: char) -> bool {
    matches!(c,
        'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_taken_off_words_and_left_on_emoticons() {
        let words = |text| tokens(text).into_iter().map(|t| t.lower.into_owned()).collect::<Vec<_>>();
        assert_eq!(
            words("  \"Great!!\" :) (ok) isn't\u{1c}(...)\u{a0}#Café "),
            ["great", ":)", "(ok)", "isn't", "(...)", "café"]
        );
        assert_eq!(words(" \t\n"), [""; 0]);
    }

    #[test]
    fn capitals_are_words_with_upper_case_letters_only() {
        for (word, expected) in [
            ("GREAT", true),
            ("A1!", true),
            ("ÄÖ", true),
            ("Great", false),
            ("123", false),
            ("中文", false),
            ("ǅA", false),
            ("Ⅷ", true),
        ] {
            assert_eq!(is_upper(word), expected, "{word}");
        }
    }
}
