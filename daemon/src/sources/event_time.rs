//! When an event was, from the text of its field: RFC 3339, or a unix time in seconds, milliseconds,
//! microseconds or nanoseconds, told apart by its size.

/// Unix milliseconds; `None` for what is no time.
#[must_use]
pub fn parse_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some((whole, _)) = text.split_once('.')
        && let Ok(seconds) = whole.parse::<i64>()
    {
        let ms = text.parse::<f64>().ok()? * 1000.0;
        return (0..100_000_000_000).contains(&seconds).then(|| to_i64(ms));
    }
    match text.parse::<i64>() {
        Ok(number) => unix(number),
        Err(_) => chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has checked that it is below 10^14")]
fn to_i64(ms: f64) -> i64 {
    ms.round() as i64
}

fn unix(number: i64) -> Option<i64> {
    // In seconds the first limit is the year 5138; in milliseconds it is 1973.
    match number {
        ..0 => None,
        0..100_000_000_000 => Some(number * 1000),
        100_000_000_000..100_000_000_000_000 => Some(number),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number / 1000),
        _ => Some(number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_the_services_write_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2021-06-01T12:34:56.000Z", 1_622_550_896_000),
            ("2026-08-02T05:22:17.399Z", 1_785_648_137_399),
            ("2023-07-29T07:51:39Z", 1_690_617_099_000),
            ("2024-02-29T23:59:60.5+02:00", 1_709_244_000_500),
            ("1969-12-31T23:59:59.999Z", -1),
            ("1690617099", 1_690_617_099_000),
            ("1690617099123", 1_690_617_099_123),
            ("1725911162329308", 1_725_911_162_329),
            ("1725911162329308123", 1_725_911_162_329),
            ("1690617099.25", 1_690_617_099_250),
        ] {
            assert_eq!(parse_ms(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "x",
            "-5",
            "2021-13-01T00:00:00Z",
            "2021-06-01",
            "2021-06-01T12:34:56",
            "2021-06-01T12:34:56.Z",
            "2021-06-01T12:34:56+0200",
            "Tue Jun 01 12:00:00 +0000 2021",
            "1.x",
            "é021-06-01T12:34:56Z",
            "1e300.0",
        ] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }
}
