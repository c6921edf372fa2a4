//! What VADER knows of single words: their valence, whether they strengthen or weaken the next, whether
//! they negate it, the idioms, and the names of emoji.

use std::collections::HashMap;
use std::sync::LazyLock;

static VALENCES: LazyLock<HashMap<&'static str, f64>> = LazyLock::new(|| {
    let valence = |line: &'static str| {
        let mut fields = line.trim().split('\t');
        Some((fields.next()?, fields.next()?.parse().ok()?))
    };
    // Of a word that is there twice the last valence counts.
    include_str!("../../../data/vader/vader_lexicon.txt").lines().filter_map(valence).collect()
});

static EMOJI: LazyLock<HashMap<char, &'static str>> = LazyLock::new(|| {
    let name = |line: &'static str| {
        let mut fields = line.trim().split('\t');
        let mut emoji = fields.next()?.chars();
        // A text is looked at character by character, so the longer sequences are never found.
        let single = emoji.next().filter(|_| emoji.next().is_none())?;
        Some((single, fields.next()?))
    };
    include_str!("../../../data/vader/emoji_utf8_lexicon.txt").lines().filter_map(name).collect()
});

/// No emoji that is a single character comes before this one.
const FIRST_EMOJI: char = '\u{a9}';

/// The valence of a word in lower case, from -4 to 4.
pub(super) fn valence(word: &str) -> Option<f64> {
    VALENCES.get(word).copied()
}

/// The name of an emoji.
pub(super) fn emoji(c: char) -> Option<&'static str> {
    if c < FIRST_EMOJI { None } else { EMOJI.get(&c).copied() }
}

const STRONGER: f64 = 0.293;
const WEAKER: f64 = -0.293;

/// By how much a word in lower case changes the valence of the one after it.
pub(super) fn boost(word: &str) -> Option<f64> {
    match word {
        "absolutely" | "amazingly" | "awfully" | "completely" | "considerable" | "considerably"
        | "decidedly" | "deeply" | "effing" | "enormous" | "enormously" | "entirely" | "especially"
        | "exceptional" | "exceptionally" | "extreme" | "extremely" | "fabulously" | "flippin"
        | "flipping" | "frackin" | "fracking" | "frickin" | "fricking" | "friggin" | "frigging"
        | "fuckin" | "fucking" | "fuggin" | "fugging" | "fully" | "greatly" | "hella" | "highly"
        | "hugely" | "incredible" | "incredibly" | "intensely" | "major" | "majorly" | "more" | "most"
        | "particularly" | "purely" | "quite" | "really" | "remarkably" | "so" | "substantially"
        | "thoroughly" | "total" | "totally" | "tremendous" | "tremendously" | "uber" | "unbelievably"
        | "unusually" | "utter" | "utterly" | "very" => Some(STRONGER),
        "almost" | "barely" | "hardly" | "kind-of" | "kinda" | "kindof" | "less" | "little" | "marginal"
        | "marginally" | "occasional" | "occasionally" | "partly" | "scarce" | "scarcely" | "slight"
        | "slightly" | "somewhat" | "sort-of" | "sorta" | "sortof" => Some(WEAKER),
        _ => None,
    }
}

/// The same for two words. (No three are known.)
pub(super) fn boost_of_two(words: [&str; 2]) -> Option<f64> {
    matches!(words, ["just", "enough"] | ["kind" | "sort", "of"]).then_some(WEAKER)
}

/// The valence of idioms of two words.
pub(super) fn idiom_of_two(words: [&str; 2]) -> Option<f64> {
    match words {
        ["the", "shit" | "bomb"] => Some(3.0),
        ["bad", "ass"] => Some(1.5),
        ["bus", "stop"] => Some(0.0),
        ["yeah", "right"] => Some(-2.0),
        ["beating", "heart"] => Some(3.5),
        _ => None,
    }
}

/// The valence of idioms of three words.
pub(super) fn idiom_of_three(words: [&str; 3]) -> Option<f64> {
    match words {
        ["kiss", "of", "death"] => Some(-1.5),
        ["to", "die", "for"] => Some(3.0),
        _ => None,
    }
}

/// Whether a word in lower case negates what comes after it.
pub(super) fn negates(word: &str) -> bool {
    let listed = matches!(
        word,
        "aint"
            | "arent"
            | "cannot"
            | "cant"
            | "couldnt"
            | "darent"
            | "despite"
            | "didnt"
            | "doesnt"
            | "dont"
            | "hadnt"
            | "hasnt"
            | "havent"
            | "isnt"
            | "mightnt"
            | "mustnt"
            | "neednt"
            | "neither"
            | "never"
            | "none"
            | "nope"
            | "nor"
            | "not"
            | "nothing"
            | "nowhere"
            | "oughtnt"
            | "rarely"
            | "seldom"
            | "shant"
            | "shouldnt"
            | "uh-uh"
            | "uhuh"
            | "wasnt"
            | "werent"
            | "without"
            | "wont"
            | "wouldnt"
    );
    // All forms with an apostrophe.
    listed || word.contains("n't")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_whole() {
        assert_eq!(VALENCES.len(), 7506);
        assert_eq!(
            (valence("great"), valence(":)"), valence("horrible")),
            (Some(3.1), Some(2.0), Some(-2.5))
        );
        assert_eq!(EMOJI.len(), 1212);
        assert_eq!((emoji('😀'), emoji('a'), emoji('中')), (Some("grinning face"), None, None));
        assert_eq!(EMOJI.keys().min(), Some(&FIRST_EMOJI));
    }

    #[test]
    fn but_has_no_valence_and_every_form_with_an_apostrophe_negates() {
        assert_eq!(valence("but"), None);
        assert!(negates("mustn't") && negates("n'tx") && !negates("note"));
    }
}
