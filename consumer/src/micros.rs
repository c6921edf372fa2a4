//! Event time as whole microseconds since 1970 in UTC: reading, rounding and writing it. No clock.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Microseconds since 1970-01-01T00:00:00Z; negative before it.
pub type Micros = i64;

/// A span as microseconds. One that does not fit (292,000 years) becomes the longest that does.
pub(crate) fn of(span: Duration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX)
}

/// The start of the interval of `width` that holds `time`; intervals are counted from 1970.
pub(crate) fn floor(time: Micros, width: Micros) -> Micros {
    time.saturating_sub(time.rem_euclid(width))
}

/// Reads an RFC 3339 time such as `2021-06-01T00:35:27.000Z`.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// For people: `2021-06-01T00:35:00Z`, with a fraction only when there is one.
pub(crate) fn show(time: Micros) -> String {
    let text = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    DateTime::from_timestamp_micros(time).map_or_else(|| format!("{time} us"), text)
}

/// For the name of a folder: `2021-06-01`.
pub(crate) fn day(time: Micros) -> String {
    formatted(time, "%Y-%m-%d")
}

/// For the name of an object: `20210601T003500Z`.
pub(crate) fn compact(time: Micros) -> String {
    formatted(time, "%Y%m%dT%H%M%SZ")
}

fn formatted(time: Micros, pattern: &str) -> String {
    DateTime::from_timestamp_micros(time)
        .map_or_else(|| format!("{time}us"), |t| t.format(pattern).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_rounded_and_written() {
        let time = parse("2021-06-01T00:37:27.250Z").unwrap();
        assert_eq!(time, 1_622_507_847_250_000);
        assert_eq!(parse("2021-06-01T02:37:27.250+02:00"), Some(time), "an offset is honoured");
        let start = floor(time, of(Duration::from_secs(300)));
        assert_eq!(show(start), "2021-06-01T00:35:00Z");
        assert_eq!(show(time), "2021-06-01T00:37:27.250Z");
        assert_eq!((day(start), compact(start)), ("2021-06-01".to_owned(), "20210601T003500Z".to_owned()));
    }

    #[test]
    fn times_before_1970_round_down_too() {
        assert_eq!(floor(-1, 300), -300);
        assert_eq!(floor(-300, 300), -300);
        assert_eq!(floor(0, 300), 0);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2021-06-01", "2021-13-01T00:00:00Z", "1622507847"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
