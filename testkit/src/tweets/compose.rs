//! Decides what a post says: who, where, in which language, about whom. Writes no JSON.

use super::world::{ANNOTATIONS, HASHTAGS, LANGUAGES, Language, OTHER_EMOJI, PLACES, Place, RULES, SMILES};
use crate::rng::{Rng, Weighted};

/// How a post refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    Retweeted,
    RepliedTo,
    Quoted,
}

impl Reference {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Retweeted => "retweeted",
            Self::RepliedTo => "replied_to",
            Self::Quoted => "quoted",
        }
    }
}

/// A person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    pub(super) id: u64,
    /// From 0, the most active first.
    pub(super) rank: usize,
}

/// All that a record says.
pub(super) struct Post {
    pub(super) id: u64,
    pub(super) created_ms: i64,
    pub(super) author: Author,
    pub(super) lang: &'static str,
    pub(super) text: String,
    pub(super) reference: Option<(Reference, Author, u64)>,
    pub(super) hashtags: Vec<&'static str>,
    pub(super) place: Option<&'static Place>,
    /// The place is that of the post referred to: only `includes` has it.
    pub(super) place_is_borrowed: bool,
    /// A further entry of `includes.places`, which is not where the post is from.
    pub(super) second_place: Option<&'static Place>,
    pub(super) annotations: Vec<(&'static str, &'static str)>,
    pub(super) rules: Vec<(&'static str, Option<&'static str>)>,
    pub(super) with_users: bool,
}

#[derive(Debug)]
pub(super) struct Composer {
    authors: Weighted,
    places: Weighted,
    languages: Weighted,
    hashtags: Weighted,
    place_share: f64,
}

impl Composer {
    pub(super) fn new(authors: Weighted, place_share: f64) -> Self {
        let tags = u32::try_from(HASHTAGS.len()).unwrap_or(u32::MAX);
        Self {
            authors,
            places: Weighted::new(PLACES.iter().map(|p| f64::from(p.weight))),
            languages: Weighted::new(LANGUAGES.iter().map(|l| f64::from(l.weight))),
            hashtags: Weighted::zipf(tags, 0),
            place_share,
        }
    }

    pub(super) fn compose(&self, rng: &mut Rng, id: u64, created_ms: i64) -> Post {
        let author = self.author(rng);
        let reference = self.reference(rng, id);
        let language = &LANGUAGES[self.languages.draw(rng)];
        let hashtags = self.draw_hashtags(rng);
        let place = rng.chance(self.place_share).then(|| &PLACES[self.places.draw(rng)]);
        // A retweet has no place of its own; `includes` may bring that of the original.
        let place_is_borrowed = matches!(reference, Some((Reference::Retweeted, ..)));
        let text = write_text(rng, language, &hashtags, reference.as_ref());
        Post {
            id,
            created_ms,
            author,
            lang: language.code,
            text,
            reference,
            hashtags,
            place,
            place_is_borrowed,
            second_place: (place.is_some() && rng.chance(0.05)).then(|| &PLACES[rng.index(PLACES.len())]),
            annotations: (0..rng.below(4).saturating_sub(1)).map(|_| rng.pick(ANNOTATIONS)).collect(),
            rules: draw_rules(rng),
            with_users: rng.chance(0.7),
        }
    }

    fn author(&self, rng: &mut Rng) -> Author {
        let rank = self.authors.draw(rng);
        // Spread over the range of real ids, and the same on every machine.
        let id = 10_000_000 + (rank as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_500_000_000_000_000_000;
        Author { id, rank }
    }

    /// Of posts that match a rule, roughly: 42 % retweets, 20 % replies, 7 % quotes.
    fn reference(&self, rng: &mut Rng, id: u64) -> Option<(Reference, Author, u64)> {
        let kind = match rng.below(100) {
            0..42 => Reference::Retweeted,
            42..62 => Reference::RepliedTo,
            62..69 => Reference::Quoted,
            _ => return None,
        };
        // Up to about a day older.
        let age = rng.below(86_400_000) << 22;
        Some((kind, self.author(rng), id.saturating_sub(age)))
    }

    fn draw_hashtags(&self, rng: &mut Rng) -> Vec<&'static str> {
        let wanted = match rng.below(10) {
            0..6 => 0,
            6..8 => 1,
            8 => 2,
            _ => 4,
        };
        let mut tags: Vec<&'static str> = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let tag = HASHTAGS[self.hashtags.draw(rng)];
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }
}

fn write_text(
    rng: &mut Rng,
    language: &Language,
    hashtags: &[&str],
    reference: Option<&(Reference, Author, u64)>,
) -> String {
    let mut text = match reference {
        Some((Reference::Retweeted, author, _)) => format!("RT @{}: ", username(author)),
        Some((Reference::RepliedTo, author, _)) => format!("@{} ", username(author)),
        _ => String::new(),
    };
    for i in 0..=rng.below(4) {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(rng.pick(language.phrases));
    }
    if rng.chance(0.15) {
        text.push(' ');
        text.push_str(rng.pick(SMILES));
    }
    if rng.chance(0.15) {
        text.push_str(rng.pick(OTHER_EMOJI));
    }
    for tag in hashtags {
        text.push_str(" #");
        text.push_str(tag);
    }
    text
}

fn draw_rules(rng: &mut Rng) -> Vec<(&'static str, Option<&'static str>)> {
    let first = rng.index(RULES.len());
    let count = if rng.chance(0.1) { 2 } else { 1 };
    RULES.iter().cycle().skip(first).take(count).copied().collect()
}

pub(super) fn username(author: &Author) -> String {
    const FIRST: [&str; 8] = ["blue", "night", "paper", "silent", "north", "tiny", "salt", "copper"];
    const SECOND: [&str; 8] = ["otter", "comet", "harbour", "fox", "lantern", "reader", "sparrow", "wave"];
    let (first, second) = (FIRST[author.rank % 8], SECOND[author.rank / 8 % 8]);
    format!("{first}_{second}{}", author.rank)
}
