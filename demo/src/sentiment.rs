//! Whether the rows of `sentiment_extremes` fit the posts that were sent. There is no second VADER here, so
//! the polarities themselves are not counted again; the tests have that. What can be told without one:
//!
//! - there is a row for each window in which a post has a text, and it counts them all;
//! - the mean lies within the range, and the ends of the range are those of the two posts;
//! - both posts were sent in the window, with this text, and of equal texts it is the first id;
//! - one text has one polarity, and no text whose polarity is known from any window is beyond the range of
//!   a window in which it was sent.

use std::collections::BTreeMap;

use crate::posts::Texts;

/// A row of `sentiment_extremes`; polarities are from -1 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sentiment {
    pub(crate) count: i64,
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) positive: Extreme,
    pub(crate) negative: Extreme,
}

/// One of the two posts of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extreme {
    pub(crate) polarity: f64,
    pub(crate) id: String,
    pub(crate) text: String,
}

/// Rows of the table by window start, in microseconds since 1970.
pub(crate) type SentimentTable = BTreeMap<i64, Sentiment>;

/// What does not fit: window start, what should be, what is; `None` for a row that should not be or is not.
pub(crate) type Misfit = (i64, Option<String>, Option<String>);

/// See the module.
pub(crate) fn misfits(table: &SentimentTable, sent: &BTreeMap<i64, Texts>) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (start, texts) in sent.iter().filter(|(start, _)| !table.contains_key(start)) {
        misfits.push((*start, Some(format!("sentiment_count {}", texts.posts)), None));
    }
    let known = polarities(table);
    for (start, row) in table {
        match sent.get(start) {
            Some(texts) => misfits.extend(
                faults(row, texts, &known).into_iter().map(|(should, is)| (*start, Some(should), Some(is))),
            ),
            None => misfits.push((*start, None, Some(format!("sentiment_count {}", row.count)))),
        }
    }
    misfits.sort();
    misfits
}

/// The polarity of each text that a row shows; of one with several the least, so that the others misfit.
fn polarities(table: &SentimentTable) -> BTreeMap<&str, f64> {
    let mut known = BTreeMap::new();
    for end in table.values().flat_map(|row| [&row.positive, &row.negative]) {
        let polarity = known.entry(end.text.as_str()).or_insert(end.polarity);
        *polarity = polarity.min(end.polarity);
    }
    known
}

/// What should be, and what is.
fn faults(row: &Sentiment, texts: &Texts, known: &BTreeMap<&str, f64>) -> Vec<(String, String)> {
    let Sentiment { count, mean, min, max, positive, negative } = row;
    let mut faults = Vec::new();
    let mut must = |holds: bool, should: String, is: String| {
        if !holds {
            faults.push((should, is));
        }
    };
    must(*count == texts.posts, format!("sentiment_count {}", texts.posts), format!("{count}"));
    let is_range = -1.0 <= *min && min <= mean && mean <= max && *max <= 1.0;
    must(
        is_range,
        "-1 <= sentiment_min <= sentiment_mean <= sentiment_max <= 1".into(),
        format!("{min}, {mean}, {max}"),
    );
    for (name, end, bound) in [("most_positive", positive, *max), ("most_negative", negative, *min)] {
        must(same(end.polarity, bound), format!("{name} {bound}"), format!("{}", end.polarity));
        let first = texts.first_ids.get(&end.text);
        must(first.is_some(), format!("{name}_text that was sent in this window"), end.text.clone());
        if let Some(first) = first {
            must(*first == end.id, format!("{name}_id {first}, the first that says so"), end.id.clone());
        }
        let polarity = known.get(end.text.as_str()).copied().unwrap_or(end.polarity);
        must(
            same(end.polarity, polarity),
            format!("{name} {polarity}, as elsewhere for this text"),
            format!("{}", end.polarity),
        );
    }
    for (text, polarity) in known.iter().filter(|(text, _)| texts.first_ids.contains_key(**text)) {
        must(
            min <= polarity && polarity <= max,
            format!("a range with {polarity}, which {text:?} has elsewhere"),
            format!("{min} to {max}"),
        );
    }
    faults
}

/// Polarities have four decimals.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.000_01
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posts::{Posts, post};

    /// 2026-01-01T00:00:00Z
    const MIDNIGHT: i64 = 1_767_225_600_000_000;
    const LATER: i64 = MIDNIGHT + 300_000_000;

    fn end(polarity: f64, id: &str, text: &str) -> Extreme {
        Extreme { polarity, id: id.into(), text: text.into() }
    }

    fn good() -> (SentimentTable, Posts) {
        let mut posts = Posts::default();
        for (id, at, text) in [
            ("3", "00:00:00", "love"),
            ("2", "00:01:00", "love"),
            ("1", "00:02:00", "fog"),
            ("4", "00:03:00", "hate"),
            ("5", "00:06:00", "fog"),
        ] {
            posts.add(&post(id, at, text, &[]));
        }
        let first = Sentiment {
            count: 4,
            mean: 0.2,
            min: -0.5,
            max: 0.6,
            positive: end(0.6, "2", "love"),
            negative: end(-0.5, "4", "hate"),
        };
        let fog = end(0.0, "5", "fog");
        let second =
            Sentiment { count: 1, mean: 0.0, min: 0.0, max: 0.0, positive: fog.clone(), negative: fog };
        ([(MIDNIGHT, first), (LATER, second)].into(), posts)
    }

    #[test]
    fn what_fits_fits() {
        let (table, posts) = good();
        assert_eq!(misfits(&table, posts.texts()), []);
    }

    #[test]
    fn a_row_too_few_and_one_too_many_are_found() {
        let (mut table, posts) = good();
        let row = table.remove(&LATER).unwrap();
        table.insert(LATER + 300_000_000, row);
        let one = Some("sentiment_count 1".to_owned());
        let wanted = [(LATER, one.clone(), None), (LATER + 300_000_000, None, one)];
        assert_eq!(misfits(&table, posts.texts()), wanted);
    }

    #[test]
    fn every_kind_of_wrong_row_is_found() {
        type Spoil = fn(&mut Sentiment);
        let spoil: [(Spoil, &str); 8] = [
            (|r| r.count = 3, "sentiment_count 4"),
            (|r| r.mean = 0.7, "-1 <= sentiment_min"),
            (|r| r.max = 1.1, "-1 <= sentiment_min"),
            (|r| r.positive.polarity = 0.5, "most_positive 0.6"),
            (|r| r.positive.id = "3".into(), "most_positive_id 2, the first that says so"),
            (|r| r.negative.text = "rain".into(), "most_negative_text that was sent in this window"),
            // What the other window knows of "fog" is below this range.
            (|r| (r.min, r.negative) = (0.1, end(0.1, "4", "hate")), "a range with 0, which \"fog\" has"),
            (|r| (r.min, r.negative) = (-0.1, end(-0.1, "1", "fog")), "most_positive -0.1, as elsewhere"),
        ];
        for (spoil, wanted) in spoil {
            let (mut table, posts) = good();
            spoil(table.get_mut(&MIDNIGHT).unwrap());
            let found = misfits(&table, posts.texts());
            let is_said = |(_, should, is): &Misfit| {
                is.is_some() && should.as_ref().is_some_and(|should| should.starts_with(wanted))
            };
            assert!(found.iter().any(is_said), "{wanted}: {found:?}");
        }
    }
}
