//! The polarity of a text by VADER, equal to what vaderSentiment 3.3.2 gives as `compound` to its four
//! decimals. Rules and lexicon are of Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for
//! Sentiment Analysis of Social Media Text" (ICWSM 2014); `data/README.md` says where the lexicon is from.
//!
//! Texts that are not English have words that the lexicon lacks, and come out neutral. No I/O, no clock.

mod lexicon;
mod rules;
mod token;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A polarity from -1 (most negative) to 1 (most positive), kept in ten-thousandths: sums of it are exact,
/// in whatever order they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Polarity(i16);

/// Parts of a whole.
pub(crate) const PARTS: f64 = 10_000.0;

impl Polarity {
    /// Neither positive nor negative.
    pub const NEUTRAL: Self = Self(0);

    /// The polarity of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let plain = with_names(text);
        let plain = plain.trim_matches(token::is_space);
        let tokens = token::tokens(plain);
        if tokens.is_empty() {
            return Self::NEUTRAL;
        }
        Self::rounded(normalised(emphasised(rules::sum(&tokens), plain)))
    }

    /// In ten-thousandths.
    #[must_use]
    pub fn parts(self) -> i16 {
        self.0
    }

    /// From -1 to 1.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.0) / PARTS
    }

    #[expect(clippy::cast_possible_truncation, reason = "a normalised score is within -1 and 1")]
    fn rounded(score: f64) -> Self {
        Self((score * PARTS).round_ties_even() as i16)
    }
}

/// The text with the name of each emoji in its place, apart from what stands before it.
fn with_names(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| lexicon::emoji(c).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() * 2);
    let mut is_after_space = true;
    for c in text.chars() {
        if let Some(name) = lexicon::emoji(c) {
            if !is_after_space {
                plain.push(' ');
            }
            plain.push_str(name);
            is_after_space = false;
        } else {
            plain.push(c);
            is_after_space = c == ' ';
        }
    }
    Cow::Owned(plain)
}

/// Exclamation and question marks make a score stronger, whatever its sign; they give a neutral one none.
fn emphasised(sum: f64, text: &str) -> f64 {
    let count = |mark: u8| text.bytes().filter(|b| *b == mark).count();
    let exclamations = match count(b'!') {
        0 => 0.0,
        1 => 0.292,
        2 => 2.0 * 0.292,
        3 => 3.0 * 0.292,
        _ => 4.0 * 0.292,
    };
    let questions = match count(b'?') {
        0 | 1 => 0.0,
        2 => 2.0 * 0.18,
        3 => 3.0 * 0.18,
        _ => 0.96,
    };
    let emphasis = exclamations + questions;
    match () {
        () if sum > 0.0 => sum + emphasis,
        () if sum < 0.0 => sum - emphasis,
        () => sum,
    }
}

/// Brings a sum into -1 to 1. 15 is about the largest square of one in practice.
fn normalised(sum: f64) -> f64 {
    (sum / (sum * sum + 15.0).sqrt()).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests;
