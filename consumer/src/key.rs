//! An identifier kept in a set: the id of an event or of an actor. Exact, never a hash of it.
//!
//! Sets of these are what the consumer's memory consists of. Most upstreams number their events and
//! actors, and a number needs 8 bytes and no allocation.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// An identifier, by value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// The decimal form of this number, without sign or leading zeros.
    Number(u64),
    /// Anything else.
    Bytes(Box<[u8]>),
}

impl Key {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        number(bytes).map_or_else(|| Self::Bytes(bytes.into()), Self::Number)
    }
}

/// In the log a number is a number and the rest is text; what is no text cannot be written.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Bytes(bytes) => {
                serializer.serialize_str(str::from_utf8(bytes).map_err(ser::Error::custom)?)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Key;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Key, E> {
                Ok(Key::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key::new(text.as_bytes()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The number that `bytes` is the only way to write; so "7" and "07" stay two keys.
fn number(bytes: &[u8]) -> Option<u64> {
    let canonical = matches!(bytes, [b'0'] | [b'1'..=b'9', ..]);
    if !canonical {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|d| *d <= 9)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_kept_as_one_and_the_rest_as_bytes() {
        assert_eq!(Key::new(b"18446744073709551615"), Key::Number(u64::MAX));
        assert_eq!(Key::new(b"0"), Key::Number(0));
        for text in ["18446744073709551616", "007", "", "-1", "+1", "1a", "did:plc:abc"] {
            assert_eq!(Key::new(text.as_bytes()), Key::Bytes(text.as_bytes().into()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn two_keys_are_equal_when_their_bytes_are(a in "[0-9a]{0,21}", b in "[0-9a]{0,21}") {
            prop_assert_eq!(Key::new(a.as_bytes()) == Key::new(b.as_bytes()), a == b);
            prop_assert_eq!(Key::new(a.as_bytes()), Key::new(a.as_bytes()));
        }

        #[test]
        fn a_key_survives_as_json(text in "[0-9]{0,21}|\\PC{0,12}") {
            let key = Key::new(text.as_bytes());
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
        }
    }
}
