//! VADER's rules over the tokens of a text: what a word's neighbours make of its valence. Where the
//! published program does something odd, so does this, since it is what its scores are compared with.

use std::collections::{BTreeSet, HashMap};

use super::lexicon::{boost_of_two, idiom_of_three, idiom_of_two, negates};
use super::token::Token;

/// A word in capitals among others counts for more by this.
const CAPITALS: f64 = 0.733;
/// What a negation makes of a valence.
const NEGATED: f64 = -0.74;
/// How much of a boost is left over a distance of one, two and three words.
const FADING: [f64; 3] = [1.0, 0.95, 0.9];

/// The sum of the tokens' valences.
pub(super) fn sum(tokens: &[Token<'_>]) -> f64 {
    let capitals = tokens.iter().filter(|token| token.is_upper).count();
    let words = Words { tokens, has_contrast: 0 < capitals && capitals < tokens.len() };
    let mut valences: Vec<f64> = (0..tokens.len()).map(|i| words.valence(i)).collect();
    if let Some(but) = tokens.iter().position(|token| token.is("but")) {
        weigh_around(but, &mut valences);
    }
    // From left to right, as Python added when this was published. Its `sum` has carried the rounding errors
    // along since 3.12, which tells only where valences cancel each other out but for those.
    valences.iter().sum()
}

struct Words<'t> {
    tokens: &'t [Token<'t>],
    /// Some words are in capitals, others not.
    has_contrast: bool,
}

impl Words<'_> {
    fn is(&self, i: usize, word: &str) -> bool {
        self.tokens.get(i).is_some_and(|token| token.is(word))
    }

    /// Whether the word `distance` before `i` is `word`.
    fn was(&self, i: usize, distance: usize, word: &str) -> bool {
        i.checked_sub(distance).is_some_and(|at| self.is(at, word))
    }

    fn is_known(&self, i: usize) -> bool {
        self.tokens.get(i).is_some_and(|token| token.valence.is_some())
    }

    /// What the token at `i` adds to the sum.
    fn valence(&self, i: usize) -> f64 {
        let token = &self.tokens[i];
        let Some(own) = token.valence else { return 0.0 };
        if token.boost.is_some() || (token.is("kind") && self.is(i + 1, "of")) {
            return 0.0;
        }
        let mut valence = self.after_no(i, own);
        if token.is_upper && self.has_contrast {
            valence += if valence > 0.0 { CAPITALS } else { -CAPITALS };
        }
        for distance in 1..=3 {
            if i >= distance && !self.is_known(i - distance) {
                valence += self.boost(i - distance, valence) * FADING[distance - 1];
                valence = self.after_negation(i, distance, valence);
                if distance == 3 {
                    valence = self.in_idiom(i, valence);
                }
            }
        }
        self.after_least(i, valence)
    }

    /// "no" is a word of its own, or it negates one that follows.
    fn after_no(&self, i: usize, own: f64) -> f64 {
        let is_after_no = self.was(i, 1, "no")
            || self.was(i, 2, "no")
            || (self.was(i, 3, "no") && (self.was(i, 1, "or") || self.was(i, 1, "nor")));
        match () {
            () if is_after_no => own * NEGATED,
            () if self.is(i, "no") && self.is_known(i + 1) => 0.0,
            () => own,
        }
    }

    /// By how much the word at `at` changes a valence.
    fn boost(&self, at: usize, valence: f64) -> f64 {
        let token = &self.tokens[at];
        let Some(boost) = token.boost else { return 0.0 };
        let boost = if valence < 0.0 { -boost } else { boost };
        match () {
            () if !(token.is_upper && self.has_contrast) => boost,
            () if valence > 0.0 => boost + CAPITALS,
            () => boost - CAPITALS,
        }
    }

    /// What the word `distance` before `i` makes of a valence if it negates; "never so good" and
    /// "without doubt good" do not.
    fn after_negation(&self, i: usize, distance: usize, valence: f64) -> f64 {
        let was = |distance, words: [&str; 2]| words.iter().any(|word| self.was(i, distance, word));
        let so = ["so", "this"];
        let (is_stronger, is_same) = match distance {
            1 => (false, false),
            2 => {
                (self.was(i, 2, "never") && was(1, so), self.was(i, 2, "without") && self.was(i, 1, "doubt"))
            }
            // "so" or "this" right before the word is enough, with or without "never".
            _ => (
                (self.was(i, 3, "never") && was(2, so)) || was(1, so),
                self.was(i, 3, "without") && (self.was(i, 2, "doubt") || self.was(i, 1, "doubt")),
            ),
        };
        match () {
            () if is_stronger => valence * 1.25,
            () if is_same => valence,
            () if negates(&self.tokens[i - distance].lower) => valence * NEGATED,
            () => valence,
        }
    }

    /// Idioms around the word at `i`, which has three before it.
    fn in_idiom(&self, i: usize, valence: f64) -> f64 {
        let word = |i: usize| self.tokens[i].lower.as_ref();
        let two = |i: usize| [word(i), word(i + 1)];
        let three = |i: usize| [word(i), word(i + 1), word(i + 2)];
        let before = idiom_of_two(two(i - 1))
            .or_else(|| idiom_of_three(three(i - 2)))
            .or_else(|| idiom_of_two(two(i - 2)))
            .or_else(|| idiom_of_three(three(i - 3)))
            .or_else(|| idiom_of_two(two(i - 3)));
        let mut valence = before.unwrap_or(valence);
        if i + 1 < self.tokens.len() {
            valence = idiom_of_two(two(i)).unwrap_or(valence);
        }
        if i + 2 < self.tokens.len() {
            valence = idiom_of_three(three(i)).unwrap_or(valence);
        }
        for at in [i - 3, i - 2] {
            valence += boost_of_two(two(at)).unwrap_or(0.0);
        }
        valence
    }

    /// "least" negates, but "at least" and "very least" do not.
    fn after_least(&self, i: usize, valence: f64) -> f64 {
        let is_least = self.was(i, 1, "least") && !self.is_known(i.saturating_sub(1));
        if is_least && !self.was(i, 2, "at") && !self.was(i, 2, "very") { valence * NEGATED } else { valence }
    }
}

/// What comes before "but" counts half, what comes after it half as much again. The published program
/// goes over the values one by one and changes the first that is equal to each, so a value can be
/// changed twice and another never. Valences of 0 stay 0.
fn weigh_around(but: usize, valences: &mut [f64]) {
    let mut places: HashMap<u64, BTreeSet<usize>> = HashMap::new();
    for (place, valence) in valences.iter().enumerate() {
        places.entry(valence.to_bits()).or_default().insert(place);
    }
    for i in 0..valences.len() {
        let bits = valences[i].to_bits();
        let Some(first) = places.get(&bits).and_then(|at| at.first().copied()) else { continue };
        let weight = match first.cmp(&but) {
            std::cmp::Ordering::Less => 0.5,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 1.5,
        };
        if valences[i] == 0.0 || weight == 1.0 {
            continue;
        }
        if let Some(at) = places.get_mut(&bits) {
            at.remove(&first);
        }
        valences[first] *= weight;
        places.entry(valences[first].to_bits()).or_default().insert(first);
    }
}
