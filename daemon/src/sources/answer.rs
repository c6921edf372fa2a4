//! What an HTTP answer means that is no stream and no WebSocket: which cause it is, how long its headers
//! ask us to wait, and what an operator can do about it. Pure; the clock comes in as an argument.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::sources::event_time;
use crate::sources::reconnect::Cause;

/// X's header: the second at which its rate limit begins anew.
const RATE_LIMIT_RESET: &str = "x-rate-limit-reset";
/// Mastodon's, which gives the time itself.
const RATELIMIT_RESET: &str = "x-ratelimit-reset";
/// A reset before this is no time but something else, such as seconds from now: the year 2001.
const TIME_MIN_MS: i64 = 1_000_000_000_000;
/// X's older status for too many requests.
const ENHANCE_YOUR_CALM: u16 = 420;
/// Headers cannot make us come back faster than this.
const TOLD_MIN: Duration = Duration::from_secs(1);

/// The cause that a status stands for.
#[must_use]
pub(crate) fn cause(status: StatusCode) -> Cause {
    match status.as_u16() {
        429 | ENHANCE_YOUR_CALM => Cause::RateLimited,
        // Timeouts of the upstream's own.
        408 | 425 => Cause::Http,
        300..=499 => Cause::Refused,
        _ => Cause::Http,
    }
}

/// How long the headers ask us to wait: `Retry-After` in seconds or as a date, or the beginning of the
/// next rate limit; the longest when there are several.
#[must_use]
pub(crate) fn told(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let until = |when: SystemTime| when.duration_since(now).unwrap_or_default();
    let after = text(RETRY_AFTER.as_str()).and_then(|value| match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok().map(until),
    });
    let reset = text(RATE_LIMIT_RESET)
        .and_then(|value| value.parse().ok())
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .map(until);
    let time = text(RATELIMIT_RESET).and_then(event_time::parse_ms).filter(|ms| *ms >= TIME_MIN_MS);
    let time = time
        .and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms.unsigned_abs())))
        .map(until);
    after.max(reset).max(time).map(|told| told.max(TOLD_MIN))
}

/// The answer in words, with what an operator can do.
#[must_use]
pub(crate) fn describe(status: StatusCode, service: &str) -> String {
    let advice = match (service, status.as_u16()) {
        ("x_filtered_stream", 409) => "the stream has no rules; add some before it is read",
        ("x_filtered_stream", 403) => "the project or plan of this token may not read the filtered stream",
        ("mastodon", 401) => "this server's streams need a user token; set bearer_token_file",
        (_, 401) => "the token is missing, wrong or expired",
        (_, 403) => "the token may not read this stream",
        (_, 300..=399) => "the stream is elsewhere; set source.url to where it points",
        (_, 404 | 410) => "there is no such stream; check source.url",
        (_, 407) => "the proxy wants a user and a password; set proxy_user and proxy_password_file",
        (_, 429 | ENHANCE_YOUR_CALM) => {
            "too many connections or requests; is another client using the token?"
        }
        _ => return format!("the upstream answered {status}"),
    };
    format!("the upstream answered {status}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by(headers: &[(&'static str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        told(&map, now).map(|told| told.as_secs())
    }

    #[test]
    fn waits_that_are_told_in_each_way() {
        assert_eq!(told_by(&[("retry-after", "120")]), Some(120));
        assert_eq!(told_by(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(60));
        assert_eq!(told_by(&[("x-rate-limit-reset", "784112377")]), Some(600));
        assert_eq!(told_by(&[("retry-after", "5"), ("x-rate-limit-reset", "784112377")]), Some(600));
        assert_eq!(told_by(&[("x-rate-limit-reset", "1")]), Some(1), "a time in the past is no haste");
        assert_eq!(told_by(&[("x-ratelimit-reset", "1994-11-06T08:50:00.000000Z")]), None, "too long ago");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_785_648_000);
        let headers = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static(RATELIMIT_RESET),
            "2026-08-02T05:22:17.399Z".parse().unwrap(),
        )]);
        assert_eq!(told(&headers, now), Some(Duration::from_millis(137_399)));
        for nonsense in ["", "soon", "-1", "99999999999999999999999"] {
            assert_eq!(told_by(&[("retry-after", nonsense), ("x-rate-limit-reset", nonsense)]), None);
        }
        assert_eq!(told_by(&[("x-rate-limit-reset", "18446744073709551615")]), None);
    }

    #[test]
    fn statuses_and_their_causes() {
        for (status, expected) in [
            (429, Cause::RateLimited),
            (420, Cause::RateLimited),
            (408, Cause::Http),
            (500, Cause::Http),
            (503, Cause::Http),
            (301, Cause::Refused),
            (401, Cause::Refused),
            (403, Cause::Refused),
            (404, Cause::Refused),
            (409, Cause::Refused),
        ] {
            assert_eq!(cause(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }

    #[test]
    fn an_operator_is_told_what_to_do() {
        let text = describe(StatusCode::CONFLICT, "x_filtered_stream");
        assert!(text.contains("409") && text.contains("no rules"), "{text}");
        assert!(describe(StatusCode::UNAUTHORIZED, "mastodon").contains("bearer_token_file"));
        assert_eq!(describe(StatusCode::BAD_GATEWAY, "x"), "the upstream answered 502 Bad Gateway");
    }
}
