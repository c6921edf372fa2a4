//! The id and the time of a record.

use std::borrow::Cow;

use super::Item;
use crate::pointer::{self, Pointer};

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'p> {
    pub(super) id: Option<&'p Pointer>,
    pub(super) time: Option<&'p Pointer>,
}

impl Fields<'_> {
    /// The id, and the time in unix milliseconds.
    pub(super) fn of<'a>(&self, item: Item<'a>) -> (Option<Cow<'a, str>>, Option<i64>) {
        let [id, time] = pointer::extract(item.value, [self.id, self.time]);
        let id = match self.id {
            Some(_) => id.map(Cow::Owned),
            None => item.id.map(Cow::Borrowed),
        };
        let time = match self.time {
            Some(_) => time.and_then(|text| parse_time(&text)),
            None => item.time_ms,
        };
        (id, time)
    }
}

/// A time as streams write it: RFC 3339, or a number since 1970 whose unit its size tells. Seconds have
/// 12 digits only after the year 5000, milliseconds have had 12 since 1973, and so on.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return match number.unsigned_abs() {
            0..100_000_000_000 => number.checked_mul(1_000),
            100_000_000_000..100_000_000_000_000 => Some(number),
            100_000_000_000_000..100_000_000_000_000_000 => Some(number.div_euclid(1_000)),
            _ => Some(number.div_euclid(1_000_000)),
        };
    }
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_unit() {
        let expected = Some(1_670_732_822_001);
        assert_eq!(parse_time("2022-12-11T04:27:02.001Z"), expected);
        assert_eq!(parse_time("2022-12-11T05:27:02.001+01:00"), expected);
        assert_eq!(parse_time("1670732822001"), expected);
        assert_eq!(parse_time("1670732822001999"), expected);
        assert_eq!(parse_time("1670732822001999999"), expected);
        assert_eq!(parse_time("1670732822"), Some(1_670_732_822_000));
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn a_pointer_goes_before_what_the_topic_says() {
        let item = Item { value: br#"{"a":7,"t":1000}"#, id: Some("header"), time_ms: Some(5) };
        let (a, t, other) = (Pointer::parse("/a"), Pointer::parse("/t"), Pointer::parse("/x"));
        let of = |id: &Option<Pointer>, time: &Option<Pointer>| {
            let (id, time) = Fields { id: id.as_ref(), time: time.as_ref() }.of(item);
            (id.map(Cow::into_owned), time)
        };
        assert_eq!(of(&None, &None), (Some("header".to_owned()), Some(5)));
        assert_eq!(of(&a, &t), (Some("7".to_owned()), Some(1_000_000)));
        assert_eq!(of(&other, &other), (None, None));
    }
}
