//! Which settings two versions of a configuration file disagree on, by their names.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

/// The settings of a file as text, by their names: `kafka.brokers`, and `source[2].url` in the second table
/// of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, String>);

impl Written {
    /// The settings of `text`. A text that is no TOML gives those that can be read.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        let mut written = Self::default();
        written.add_table("", root.get_ref());
        written
    }

    /// The names of the settings that the two disagree on. What is only a comment, or said in another way,
    /// is no difference; a default that is written out is one.
    #[must_use]
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let names = self.0.keys().chain(other.0.keys());
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key = key.get_ref();
            let name = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            self.add(name, value.get_ref());
        }
    }

    fn add(&mut self, name: String, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(&name, table),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {
                for (number, item) in (1..).zip(list.iter()) {
                    self.add(format!("{name}[{number}]"), item.get_ref());
                }
            }
            plain => {
                self.0.insert(name, show(plain));
            }
        }
    }
}

fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("{} in base {}", number.as_str(), number.radix()),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(list) => {
            let items: Vec<_> = list.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let items =
                table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), show(value.get_ref())));
            format!("{{{}}}", items.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(old: &str, new: &str) -> Vec<String> {
        Written::of(old).differences(&Written::of(new)).into_iter().collect()
    }

    #[test]
    fn differences_have_the_names_that_the_file_uses() {
        let old = "[kafka]\nbrokers = 'a'\ntopic = 't'\n[[source]]\nname = 'x'\n[[source]]\nname = 'y'\n";
        let new = "[kafka]\nbrokers = \"a\" # the same\ntopic = 'u'\noptions = { 'a.b' = 1 }\n\
                   [[source]]\nname = 'x'\n[[source]]\nname = 'z'\n[log]\nlevel = 'debug'\n";
        assert_eq!(
            differences(old, new),
            ["kafka.options.a.b", "kafka.topic", "log.level", "source[2].name"]
        );
        assert_eq!(differences(new, old), differences(old, new));
        assert_eq!(differences(new, new), [""; 0]);
    }

    #[test]
    fn lists_and_numbers_are_compared_as_wholes() {
        assert_eq!(differences("a = [1, 2]\n", "a = [1, 3]\n"), ["a"]);
        assert_eq!(differences("a = [1, 2]\n", "a = [1,\n 2]\n"), [""; 0]);
        assert_eq!(differences("a = 10\n", "a = 0o10\n"), ["a"]);
    }
}
