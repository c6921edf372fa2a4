//! Where a value stands in a document: a JSON pointer (RFC 6901), in which a step `*` leads to each element
//! of an array. (A key that is a lone `*` cannot be named.)

use std::fmt;

use serde_json::Value;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A key of an object, or an index of an array.
    Key(String),
    /// Each element of an array.
    Each,
}

impl Path {
    /// Reads `/data/id` or `/entities/*/text`. `None` when it does not begin with `/`, or when a `~` in it
    /// is neither `~0` nor `~1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let steps = text.strip_prefix('/')?.split('/').map(Step::parse).collect::<Option<_>>()?;
        Some(Self { text: text.to_owned(), steps })
    }

    /// Whether it can lead to more than one value.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// The values that it leads to in `document`, those in a list at its end one by one; strings as they
    /// are, numbers and booleans as they are written. What is of another type is not there.
    pub(super) fn texts(&self, document: &Value) -> Vec<String> {
        let mut found = Vec::new();
        walk(document, &self.steps, &mut |value| match value {
            Value::Array(items) => found.extend(items.iter().filter_map(scalar)),
            other => found.extend(scalar(other)),
        });
        found
    }

    /// The first of them, if it leads to one value.
    pub(super) fn text(&self, document: &Value) -> Option<String> {
        let mut found = None;
        walk(document, &self.steps, &mut |value| found = found.take().or_else(|| scalar(value)));
        found
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Each);
        }
        let escapes = text
            .match_indices('~')
            .all(|(at, _)| text[at..].starts_with("~0") || text[at..].starts_with("~1"));
        escapes.then(|| Self::Key(text.replace("~1", "/").replace("~0", "~")))
    }
}

fn walk<'v>(value: &'v Value, steps: &[Step], found: &mut impl FnMut(&'v Value)) {
    match (steps, value) {
        ([], value) => found(value),
        ([Step::Key(key), rest @ ..], Value::Object(object)) => {
            if let Some(value) = object.get(key) {
                walk(value, rest, found);
            }
        }
        ([Step::Key(index), rest @ ..], Value::Array(items)) => {
            if let Some(value) = position(index).and_then(|index| items.get(index)) {
                walk(value, rest, found);
            }
        }
        ([Step::Each, rest @ ..], Value::Array(items)) => {
            items.iter().for_each(|item| walk(item, rest, found));
        }
        _ => {}
    }
}

/// An index as the RFC has it: digits, without leading zeros.
fn position(index: &str) -> Option<usize> {
    let plain = index == "0" || !index.starts_with('0');
    let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    if plain && digits { index.parse().ok() } else { None }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_what_the_rfc_says_and_to_each_element() {
        let document =
            json!({"a": [{"b": 1}, {"b": "two"}, {}, {"b": [true]}, 7], "m~n": {"x/y": 1.50}, "": null});
        let texts = |path| Path::parse(path).unwrap().texts(&document);
        assert_eq!(texts("/a/*/b"), ["1", "two", "true"]);
        assert_eq!(texts("/a/1/b"), ["two"]);
        assert_eq!(texts("/m~0n/x~1y"), ["1.5"]);
        assert_eq!(texts("/a"), ["7"], "of a list what is no list and no object");
        for nothing in ["/a/01/b", "/a/9", "/b", "/", "/a/-", "/m~0n/*"] {
            assert_eq!(texts(nothing), [""; 0], "{nothing}");
        }
        assert_eq!(Path::parse("/a/*/b").unwrap().text(&document).as_deref(), Some("1"));
        assert!(Path::parse("/a/*/b").unwrap().is_many() && !Path::parse("/a").unwrap().is_many());
        assert_eq!(Path::parse("/m~0n").unwrap().to_string(), "/m~0n");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a", "a/b", "/a~", "/~2", "/a~b"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
