//! JSON values that are read when they have the expected type and are absent when they have another.
//! A field that an event can do without must not keep the event out: recordings show `{}` where a
//! list should be, and upstreams add types. Text is borrowed where it holds no escapes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string; a number counts as its decimal form (ids are numbers in older recordings).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl Text<'_> {
    /// This, or else `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

/// No event has more tags than this; the rest of a list is read over.
pub(super) const LIST_MAX: usize = 64;

/// The first element of a list.
#[derive(Debug)]
pub(super) struct First<T>(pub(super) Option<T>);

/// All elements of a list.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// The visits that mean "another type than expected".
macro_rules! visits {
    ($instead:expr; $($visit:ident($($arg:ty)?)),*) => {$(
        fn $visit<E>(self $(, _: $arg)?) -> Result<Self::Value, E> {
            Ok($instead)
        }
    )*};
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                skip_map(map).map(|()| Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                skip_seq(seq).map(|()| Text::default())
            }
            visits!(Text(None); visit_unit(), visit_bool(bool), visit_f64(f64));
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Collects the elements of a list up to `LIMIT` and skips the rest.
struct ListVisitor<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for ListVisitor<T, LIMIT> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < LIMIT {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(items),
            }
        }
        skip_seq(seq).map(|()| items)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| Vec::new())
    }
    visits!(Vec::new(); visit_unit(), visit_bool(bool), visit_f64(f64), visit_u64(u64), visit_i64(i64), visit_str(&str));
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = deserializer.deserialize_any(ListVisitor::<T, 1>(PhantomData))?;
        Ok(Self(items.into_iter().next()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor::<T, LIST_MAX>(PhantomData)).map(Self)
    }
}

/// A value that should be a JSON object. (A derived struct alone would take a list for one.)
#[derive(Debug, Default)]
pub(super) enum Object<T> {
    /// It is one.
    Is(T),
    /// The value is missing or `null`.
    #[default]
    Absent,
    /// The value is something else.
    Other,
}

impl<T> Object<T> {
    /// The object, when it is one.
    pub(super) fn get(self) -> Option<T> {
        if let Self::Is(object) = self { Some(object) } else { None }
    }

    /// As [`Object::get`], by reference.
    pub(super) fn peek(&self) -> Option<&T> {
        if let Self::Is(object) = self { Some(object) } else { None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Object::Is)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                skip_seq(seq).map(|()| Object::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object::Absent)
            }
            visits!(Object::Other; visit_bool(bool), visit_f64(f64), visit_u64(u64), visit_i64(i64), visit_str(&str));
        }
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_it_holds_escapes() {
        let Text(Some(Cow::Borrowed(plain))) = serde_json::from_str("\"plain\"").unwrap() else {
            panic!("copied")
        };
        assert_eq!(plain, "plain");
        assert_eq!(serde_json::from_str::<Text<'_>>("\"a\\u00e9\\n\"").unwrap().0.as_deref(), Some("aé\n"));
        assert_eq!(
            serde_json::from_str::<Text<'_>>("1377649934414049282").unwrap().0.as_deref(),
            Some("1377649934414049282")
        );
    }

    #[test]
    fn another_type_is_absent_and_read_over() {
        for other in ["null", "true", "1.5", "{\"a\":[1,{}]}", "[1,[2],{}]"] {
            let json = format!("[{other},7]");
            let read: (Text<'_>, u8) = serde_json::from_str(&json).unwrap();
            assert_eq!(read, (Text(None), 7), "{other}");
        }
        for other in ["null", "true", "1.5", "-1", "\"x\"", "\"\\n\"", "{\"a\":[1]}"] {
            let (first, list, seven): (First<u8>, List<u8>, u8) =
                serde_json::from_str(&format!("[{other},{other},7]")).unwrap();
            assert_eq!((first.0, list.0, seven), (None, vec![], 7), "{other}");
        }
        for other in ["true", "1.5", "-1", "\"x\"", "[1,{}]"] {
            let (object, seven): (Object<IgnoredAny>, u8) =
                serde_json::from_str(&format!("[{other},7]")).unwrap();
            assert!(matches!(object, Object::Other), "{other}");
            assert_eq!(seven, 7);
        }
        assert!(matches!(serde_json::from_str("null").unwrap(), Object::<IgnoredAny>::Absent));
        assert!(matches!(serde_json::from_str("{\"a\":1}").unwrap(), Object::<IgnoredAny>::Is(_)));
    }

    #[test]
    fn a_list_gives_its_first_or_all() {
        let (first, list): (First<u8>, List<u8>) = serde_json::from_str("[[1,2,3],[1,2,3]]").unwrap();
        assert_eq!((first.0, list.0), (Some(1), vec![1, 2, 3]));
        let (first, list): (First<u8>, List<u8>) = serde_json::from_str("[[],[]]").unwrap();
        assert_eq!((first.0, list.0), (None, vec![]));
    }
}
