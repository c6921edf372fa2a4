//! Problems of a configuration file, as a person reads them: where, what, and what to do.

use std::fmt;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` when it belongs to no line (a missing table, the environment).
    pub line: Option<usize>,
    /// The setting, as `table.key`; empty when it is about the file.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All problems of one file, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        Self { file: file.to_owned(), list }
    }

    pub(crate) fn single(file: &str, message: String) -> Self {
        Self::new(file, vec![Problem { line: None, key: String::new(), message }])
    }

    /// The problems, one by one.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { line, key, message }) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file)?;
            if let Some(line) = line {
                write!(f, "{line}:")?;
            }
            if key.is_empty() { write!(f, " {message}")? } else { write!(f, " {key}: {message}")? }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `; did you mean "…"?` for the candidate that differs by at most two edits, else nothing.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let best = candidates.map(|c| (distance(word, c), c)).min();
    best.filter(|(d, c)| *d <= 2 && *d < c.len())
        .map_or_else(String::new, |(_, c)| format!("; did you mean {c:?}?"))
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("url", "url"), 0);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn only_near_names_are_offered() {
        assert_eq!(
            nearest("max_record", ["max_records", "topic"].into_iter()),
            "; did you mean \"max_records\"?"
        );
        assert_eq!(nearest("colour", ["max_records", "topic"].into_iter()), "");
    }
}
