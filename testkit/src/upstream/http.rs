//! What X's stream answers to a request: the stream, or why not.

use super::Refusal;
use crate::http::{self, Request};

/// The path of the stream.
pub(super) const STREAM_PATH: &str = "/2/tweets/search/stream";

/// The head of the streaming answer.
pub(super) fn stream_head() -> Vec<u8> {
    http::stream_head("application/json; charset=utf-8", &[])
}

/// Why the request is not answered with the stream.
pub(super) fn fault(request: &Request, token: Option<&str>) -> Option<Refusal> {
    let authorized = token.is_none_or(|token| request.bears(token));
    let status = match (request.path() == STREAM_PATH, request.method == "GET", authorized) {
        (false, ..) => 404,
        (_, false, _) => 405,
        (_, _, false) => 401,
        (true, true, true) => return None,
    };
    Some(Refusal::status(status))
}

/// The whole answer of a refusal, with a problem as X describes one.
pub(super) fn refusal(refusal: &Refusal) -> Vec<u8> {
    let title = http::reason(refusal.status);
    let body = format!(
        "{{\"title\":\"{title}\",\"type\":\"about:blank\",\"status\":{},\"detail\":\"{title}\"}}",
        refusal.status
    );
    http::answer(refusal.status, "application/problem+json", &refusal.headers, body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let fault =
            |head: &str, token| fault(&Request::parse(head).unwrap(), token).map(|refusal| refusal.status);
        let get = "GET /2/tweets/search/stream?expansions=geo.place_id HTTP/1.1\r\nHost: x\r\nAUTHORIZATION: Bearer t0ken\r\n\r\n";
        assert_eq!(fault(get, None), None);
        assert_eq!(fault(get, Some("t0ken")), None);
        assert_eq!(fault(get, Some("other")), Some(401));
        assert_eq!(fault("GET /2/tweets/search/stream HTTP/1.1\r\n\r\n", Some("t0ken")), Some(401));
        assert_eq!(fault("GET /2/tweets/search/streams HTTP/1.1\r\n\r\n", None), Some(404));
        assert_eq!(fault("POST /2/tweets/search/stream HTTP/1.1\r\n\r\n", None), Some(405));
    }

    #[test]
    fn a_refusal_is_a_complete_answer() {
        let headers = vec![("x-rate-limit-reset".to_owned(), "1800000000".to_owned())];
        let text = String::from_utf8(refusal(&Refusal { status: 429, headers })).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
        assert!(head.ends_with("\r\nx-rate-limit-reset: 1800000000"));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
