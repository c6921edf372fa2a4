//! JSON pointers (RFC 6901) into a record: the one or two fields that the daemon needs, read without
//! building the document and without reading on once they are found.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A path to a scalar, or to the same one in each element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A key of an object, or an index of an array.
    Key(String),
    /// Each element of an array. No pointer of the RFC says that.
    Each,
}

impl Pointer {
    /// Reads `/data/id`. `None` when it is no pointer to a field.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix('/')?;
        let steps = path.split('/').map(|step| Step::Key(step.replace("~1", "/").replace("~0", "~")));
        Some(Self(steps.collect()))
    }

    /// The tags of the rules that a post of X's filtered stream matches: each `tag` in `/matching_rules`.
    #[must_use]
    pub fn tags() -> Self {
        Self(vec![Step::Key("matching_rules".to_owned()), Step::Each, Step::Key("tag".to_owned())])
    }

    /// The path made of these keys, taken as they are.
    #[must_use]
    pub fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// Whether it can lead to more than one value.
    fn is_many(&self) -> bool {
        self.0.contains(&Step::Each)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::Each => f.write_str("/*"),
        })
    }
}

/// The values at `pointers` in the JSON text `json`: strings as they are, numbers and booleans as they
/// are written. `None` for what is absent, is no scalar, or comes after the text stops being JSON.
pub fn extract<const N: usize>(json: &[u8], pointers: [Option<&Pointer>; N]) -> [Option<String>; N] {
    let mut found: [Option<String>; N] = std::array::from_fn(|_| None);
    search(json, &pointers, &mut |slot, text| {
        // Of a key that is there twice the first value counts, whatever else is looked for.
        let is_first = found[slot].is_none();
        if is_first {
            found[slot] = Some(text);
        }
        is_first
    });
    found
}

/// As [`extract`], with all the values that each pointer leads to.
#[must_use]
pub fn extract_all(json: &[u8], pointers: &[Pointer]) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new(); pointers.len()];
    let wanted: Vec<_> = pointers.iter().map(Some).collect();
    search(json, &wanted, &mut |slot, text| {
        found[slot].push(text);
        found[slot].len() == 1 && !pointers[slot].is_many()
    });
    found
}

/// Gives each value with the slot of its pointer to `take`, which says whether that was the slot's last.
fn search(json: &[u8], pointers: &[Option<&Pointer>], take: &mut dyn FnMut(usize, String) -> bool) {
    let indexed = pointers.iter().enumerate();
    let wanted: Vec<_> = indexed.filter_map(|(slot, p)| Some(Want { slot, path: &p.as_ref()?.0 })).collect();
    if !wanted.is_empty() {
        let mut search = Search { left: wanted.len(), take };
        let mut reader = serde_json::Deserializer::from_slice(json);
        // The error that stops the reading early and one of a text that is no JSON mean the same here.
        let _ = Node { wanted, search: &mut search }.deserialize(&mut reader);
    }
}

/// A value to be found further down.
#[derive(Clone, Copy)]
struct Want<'p> {
    slot: usize,
    path: &'p [Step],
}

struct Search<'f> {
    /// Slots whose last value was not found yet.
    left: usize,
    take: &'f mut dyn FnMut(usize, String) -> bool,
}

/// One value of the document, and what is wanted at or below it.
struct Node<'p, 's, 'f> {
    wanted: Vec<Want<'p>>,
    search: &'s mut Search<'f>,
}

impl<'p> Node<'p, '_, '_> {
    fn scalar<E: serde::de::Error>(self, text: &dyn fmt::Display) -> Result<(), E> {
        for want in self.wanted.iter().filter(|w| w.path.is_empty()) {
            if (self.search.take)(want.slot, text.to_string()) {
                self.search.left -= 1;
            }
        }
        Ok(())
    }

    fn below(&self, leads: impl Fn(&Step) -> bool) -> Vec<Want<'p>> {
        let inside = self.wanted.iter().filter(|w| w.path.first().is_some_and(&leads));
        inside.map(|w| Want { slot: w.slot, path: &w.path[1..] }).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(&text)
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.scalar(&number)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.scalar(&number)
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.scalar(&number)
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&value)
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let wanted = self.below(|step| matches!(step, Step::Key(name) if *name == key));
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Node { wanted, search: &mut *self.search })?;
            if self.search.left == 0 {
                return Err(A::Error::custom("all is found"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let name = index.to_string();
            let wanted = self.below(|step| match step {
                Step::Each => true,
                Step::Key(key) => *key == name,
            });
            let more = if wanted.is_empty() {
                seq.next_element::<IgnoredAny>()?.is_some()
            } else {
                seq.next_element_seed(Node { wanted, search: &mut *self.search })?.is_some()
            };
            if self.search.left == 0 {
                return Err(A::Error::custom("all is found"));
            }
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// A key of an object, borrowed from the text when it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(key.into())
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(key.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(json: &str, pointer: &str) -> Option<String> {
        extract(json.as_bytes(), [Pointer::parse(pointer).as_ref()]).into_iter().next().flatten()
    }

    #[test]
    fn scalars_are_found_wherever_they_are() {
        let json = r#"{"errors":[{"a":1}],"da\u0074a":{"text":"}\"{","id":"17","n":-3,"b":true,"x":null},"m":[{"tag":"t0"},{"tag":"t1"}]}"#;
        assert_eq!(at(json, "/data/id").as_deref(), Some("17"));
        assert_eq!(at(json, "/data/n").as_deref(), Some("-3"));
        assert_eq!(at(json, "/data/b").as_deref(), Some("true"));
        assert_eq!(at(json, "/m/1/tag").as_deref(), Some("t1"));
        assert_eq!(at(json, "/data/text").as_deref(), Some("}\"{"));
        for absent in ["/data/x", "/data", "/data/id/0", "/m/2/tag", "/nothing", "/m/01/tag"] {
            assert_eq!(at(json, absent), None, "{absent}");
        }
    }

    #[test]
    fn several_are_found_in_one_pass_and_what_follows_is_not_read() {
        let id = Pointer::parse("/data/id");
        let key = Pointer::parse("/data/user");
        let found =
            extract(br#"{"data":{"user":7,"id":"a"} this is not read"#, [id.as_ref(), None, key.as_ref()]);
        assert_eq!(found, [Some("a".to_owned()), None, Some("7".to_owned())]);
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_first_value_counts() {
        let (id, absent) = (Pointer::parse("/id"), Pointer::parse("/x"));
        for others in [[None, None], [absent.as_ref(), None], [absent.as_ref(), absent.as_ref()]] {
            let found = extract(br#"{"id":1,"id":2}"#, [id.as_ref(), others[0], others[1]]);
            assert_eq!(found[0].as_deref(), Some("1"));
        }
    }

    #[test]
    fn each_element_of_an_array_is_read_and_only_of_an_array() {
        let pointers = [Pointer::tags(), Pointer::parse("/data/lang").unwrap()];
        let of = |json: &str| extract_all(json.as_bytes(), &pointers);
        let json =
            r#"{"matching_rules":[{"tag":"a"},{"id":1},{"tag":"b","tag2":"c"},7],"data":{"lang":"en"}}"#;
        assert_eq!(of(json), [vec!["a", "b"], vec!["en"]]);
        assert_eq!(
            of(r#"{"matching_rules":{"0":{"tag":"a"}},"data":{"lang":["en"]}}"#),
            [vec![""; 0], vec![]]
        );
    }

    #[test]
    fn escapes_of_the_pointer() {
        assert_eq!(at(r#"{"a/b":{"~":1}}"#, "/a~1b/~0").as_deref(), Some("1"));
        assert_eq!(Pointer::parse("data"), None);
        assert_eq!(Pointer::parse("/a~1b/~0").unwrap().to_string(), "/a~1b/~0");
    }

    proptest! {
        /// An independent reader: `serde_json::Value::pointer`.
        #[test]
        fn agrees_with_serde_json(keys in proptest::collection::vec("[ab]{1,2}", 1..4), value in any::<u32>(), noise in "[a-c]{0,3}") {
            let mut json = serde_json::json!(value);
            for key in keys.iter().rev() {
                json = serde_json::json!({ "z": [noise.clone()], key.as_str(): json });
            }
            let pointer = format!("/{}", keys.join("/"));
            let expected = json.pointer(&pointer).map(ToString::to_string);
            prop_assert_eq!(at(&json.to_string(), &pointer), expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let id = Pointer::parse("/data/id");
            let _ = extract(&bytes, [id.as_ref()]);
        }
    }
}
