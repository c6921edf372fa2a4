//! Happiness of hashtags: the smiles in a text, and hashtags that differ only by case.

/// The emoji that count as a smile.
const SMILES: [char; 6] = ['\u{1f600}', '\u{1f605}', '\u{1f606}', '\u{1f607}', '\u{1f60e}', '\u{1f642}'];

/// How often `:)` stands in `text`.
#[must_use]
pub fn faces(text: &str) -> u64 {
    text.matches(":)").count() as u64
}

/// How many emoji of a smile stand in `text`: U+1F600, 1F605, 1F606, 1F607, 1F60E and 1F642.
#[must_use]
pub fn smile_emoji(text: &str) -> u64 {
    text.chars().filter(|c| SMILES.contains(c)).count() as u64
}

/// A hashtag in lower case.
#[must_use]
pub fn folded(tag: &str) -> String {
    tag.to_lowercase()
}

#[cfg(test)]
mod tests;
