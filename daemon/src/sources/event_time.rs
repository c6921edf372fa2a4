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
        Err(_) => rfc3339(text.as_bytes()),
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

fn rfc3339(text: &[u8]) -> Option<i64> {
    let punctuation = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")];
    if punctuation.iter().any(|(at, mark)| text.get(*at..=*at) != Some(&mark[..])) {
        return None;
    }
    if !matches!(text.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let field = |from: usize, to: usize| digits(text.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
    let (fraction_ms, zone) = fraction(text.get(19..)?)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    in_range.then_some(seconds * 1000 + fraction_ms)
}

fn digits(text: &[u8]) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// Milliseconds of `.123456`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (number, zone) = rest.split_at(length);
    let first_three = number.iter().chain(b"000").take(3);
    Some((first_three.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')), zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = digits(&[*h1, *h2])? * 3600 + digits(&[*m1, *m2])? * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin with March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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
