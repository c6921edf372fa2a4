//! Sizes, durations and times as people write them: `64MiB`, `250ms`, and back.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

const SIZES: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
const DURATIONS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `64MiB`, `512 KiB`, `0` (bytes). `None` when it is no size or larger than a `u64`.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    scaled(text, &SIZES, 1)
}

/// Reads `250ms`, `10s`, `5m`, `2h`, `7d`. A bare number other than 0 has no unit and is refused.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATIONS_MS, 0).map(Duration::from_millis)
}

/// `bare` is the factor of a number without a unit; 0 refuses it unless the number is 0.
fn scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim_start() {
        "" if bare > 0 || number == 0 => number.checked_mul(bare),
        unit => {
            let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*factor)
        }
    }
}

/// Writes a size with the largest unit that keeps at least one whole: `1.5 MiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn show_bytes(bytes: u64) -> String {
    let unit = SIZES[..4].iter().rev().find(|(_, size)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(name, size)| format!("{:.1} {name}", bytes as f64 / *size as f64),
    )
}

/// Writes a duration with a unit that suits it: `250 ms`, `3.2 s`, `2 m 05 s`, `3 h 20 m`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = duration.as_secs();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{} m {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} m", s / 3600, s / 60 % 60),
    }
}

/// Writes a time, given in milliseconds since 1970, as `2026-11-20T22:47:56.123Z`.
#[must_use]
pub fn show_time(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| format!("{unix_ms} ms"), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Writes a count with thousands separated: `1,234,567`.
#[must_use]
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_exactly() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("512 KiB"), Some(512 << 10));
        assert_eq!(parse_bytes("0"), Some(0));
        assert_eq!(parse_bytes("17"), Some(17));
        assert_eq!(parse_bytes("64MB"), None);
        assert_eq!(parse_bytes("-1"), None);
        assert_eq!(parse_bytes("99999999999999TiB"), None);
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        assert_eq!(parse_duration("10"), None, "a bare number could be anything");
        assert_eq!(parse_duration(""), None);
    }

    #[test]
    fn figures_are_shown_as_people_read_them() {
        assert_eq!(show_bytes(0), "0 B");
        assert_eq!(show_bytes(1536), "1.5 KiB");
        assert_eq!(show_bytes(3 << 30), "3.0 GiB");
        assert_eq!(show_duration(Duration::from_millis(250)), "250 ms");
        assert_eq!(show_duration(Duration::from_secs(125)), "2 m 05 s");
        assert_eq!(show_duration(Duration::from_secs(12_000)), "3 h 20 m");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_time(1_622_507_727_000), "2021-06-01T00:35:27.000Z");
    }
}
