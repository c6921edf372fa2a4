//! What a setting can be, read from TOML or from an environment variable.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::units;

/// A type that a setting can have. Errors complete the sentence "must be …".
pub trait Setting: Sized {
    /// From a value of the file.
    ///
    /// # Errors
    /// What was expected instead.
    fn from_value(value: &DeValue<'_>) -> Result<Self, String>;

    /// From the text of an environment variable.
    ///
    /// # Errors
    /// What was expected instead.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// A size in bytes, written as `64MiB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::show_bytes(self.0))
    }
}

/// A string, number or boolean, as text: for options that are passed on as they are.
pub(crate) struct Scalar(pub(crate) String);

impl Setting for Scalar {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(s) => Ok(Self(s.to_string())),
            DeValue::Integer(i) => Ok(Self(i.to_string())),
            DeValue::Float(x) => Ok(Self(x.to_string())),
            DeValue::Boolean(b) => Ok(Self(b.to_string())),
            _ => Err("a string, a number, true or false".to_owned()),
        }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl Setting for String {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| "a string in quotes".to_owned())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Setting for PathBuf {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map_or_else(|| Err("a path in quotes".to_owned()), Self::from_text)
    }
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path that is not empty".to_owned()) } else { Ok(Self::from(text)) }
    }
}

impl Setting for bool {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "true or false".to_owned())
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "true or false".to_owned())
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Setting for $t {
            fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
                let integer = value.as_integer().and_then(|i| Self::from_str_radix(i.as_str(), i.radix()).ok());
                integer.ok_or_else(|| format!("a whole number from {} to {}", Self::MIN, Self::MAX))
            }
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("a whole number from {} to {}", Self::MIN, Self::MAX))
            }
        }
    )*};
}
integers!(u16, u32, u64, usize);

impl Setting for f64 {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        let text = value
            .as_float()
            .map(toml::de::DeFloat::as_str)
            .or_else(|| value.as_integer().map(toml::de::DeInteger::as_str));
        text.map_or_else(|| Err("a number".to_owned()), Self::from_text)
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().ok().filter(|x: &Self| x.is_finite()).ok_or_else(|| "a number".to_owned())
    }
}

impl Setting for Duration {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map_or_else(|| Err(DURATION.to_owned()), Self::from_text)
    }
    fn from_text(text: &str) -> Result<Self, String> {
        units::parse_duration(text).ok_or_else(|| DURATION.to_owned())
    }
}

impl Setting for Size {
    fn from_value(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            DeValue::Integer(_) => u64::from_value(value).map(Self),
            _ => Err(SIZE.to_owned()),
        }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        units::parse_bytes(text).map(Self).ok_or_else(|| SIZE.to_owned())
    }
}

const DURATION: &str =
    "a duration in quotes with its unit, such as \"250ms\", \"10s\", \"5m\", \"2h\" or \"7d\"";
const SIZE: &str = "a size, such as \"64MiB\", \"512KiB\" or a number of bytes";
