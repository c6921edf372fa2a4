//! The N groups that have most of something. Ties are broken by the groups' names, so that the same rows
//! come out whatever order they were found in.
//!
//! Only whole groups can be ranked: after all parts of a window are merged, never before.

use std::cmp::Ordering;

use super::plan::Value;

/// What rows are ranked by, and how many stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Which of the row's values.
    pub by: usize,
    /// How many rows.
    pub n: usize,
}

/// The first `rank.n` of `rows` (the group's name and its values), the greatest value first. A group that
/// has none of what is counted is not among them, nor is one without the value.
#[must_use]
pub fn top(mut rows: Vec<(String, Vec<Value>)>, rank: Rank) -> Vec<(String, Vec<Value>)> {
    rows.retain(|(_, values)| values.get(rank.by).is_some_and(counts));
    rows.sort_unstable_by(|(a_name, a), (b_name, b)| {
        order(&b[rank.by], &a[rank.by]).then_with(|| a_name.cmp(b_name))
    });
    rows.truncate(rank.n);
    rows
}

fn counts(value: &Value) -> bool {
    match value {
        Value::Count(count) => *count > 0,
        Value::Real(real) => real.is_some(),
        Value::Flag(_) => true,
        Value::Text(text) => text.is_some(),
    }
}

/// Values of one column are of one form.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Count(a), Value::Count(b)) => a.cmp(b),
        (Value::Real(Some(a)), Value::Real(Some(b))) => a.total_cmp(b),
        (Value::Flag(a), Value::Flag(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, count: u64, mean: Option<f64>) -> (String, Vec<Value>) {
        (name.to_owned(), vec![Value::Count(count), Value::Real(mean)])
    }

    fn names(rows: &[(String, Vec<Value>)]) -> Vec<&str> {
        rows.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_greatest_come_first_and_ties_by_name() {
        let rows = vec![
            row("b", 3, Some(-0.5)),
            row("c", 7, None),
            row("a", 3, Some(0.0)),
            row("none", 0, Some(0.25)),
            row("d", 1, Some(-0.5)),
        ];
        assert_eq!(names(&top(rows.clone(), Rank { by: 0, n: 3 })), ["c", "a", "b"]);
        assert_eq!(names(&top(rows.clone(), Rank { by: 0, n: 9 })), ["c", "a", "b", "d"]);
        assert_eq!(names(&top(rows.clone(), Rank { by: 1, n: 9 })), ["none", "a", "b", "d"]);
        assert_eq!(top(rows, Rank { by: 2, n: 9 }), []);
    }
}
