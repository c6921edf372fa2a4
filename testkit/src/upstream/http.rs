//! As much HTTP/1.1 as a stream needs: one request is read, one answer is written.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Refusal;

/// The path of the stream.
pub(super) const STREAM_PATH: &str = "/2/tweets/search/stream";

/// The head of the streaming answer.
pub(super) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// The end mark of a chunked body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A longer request head is refused.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What a client asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    method: String,
    pub(super) target: String,
    authorization: Option<String>,
}

impl Request {
    /// Reads the head of a request. `None` when the client went away before it was whole, or sent
    /// none.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte: heads are short, and nothing beyond the head is taken.
            match from.read_u8().await {
                Ok(byte) if head.len() < HEAD_BYTES_MAX => head.push(byte),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Self::parse(&String::from_utf8_lossy(&head)))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let mut authorizations = headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let authorization = authorizations.next().map(|(_, value)| value.trim().to_owned());
        Some(Self { method, target, authorization })
    }

    /// Why the request is not answered with the stream.
    pub(super) fn fault(&self, token: Option<&str>) -> Option<Refusal> {
        let path = self.target.split('?').next();
        let authorized =
            token.is_none_or(|token| self.authorization.as_deref() == Some(&format!("Bearer {token}")));
        let status = match (path == Some(STREAM_PATH), self.method == "GET", authorized) {
            (false, ..) => 404,
            (_, false, _) => 405,
            (_, _, false) => 401,
            (true, true, true) => return None,
        };
        Some(Refusal::status(status))
    }
}

/// The whole answer of a refusal, with a problem as X describes one.
pub(super) fn refusal(refusal: &Refusal) -> Vec<u8> {
    let title = reason(refusal.status);
    let body = format!(
        "{{\"title\":\"{title}\",\"type\":\"about:blank\",\"status\":{},\"detail\":\"{title}\"}}",
        refusal.status
    );
    let headers: String =
        refusal.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "HTTP/1.1 {} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        refusal.status,
        body.len()
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request {
        Request::parse(head).unwrap()
    }

    #[test]
    fn requests_are_told_apart() {
        let fault = |head: &str, token| request(head).fault(token).map(|refusal| refusal.status);
        let get = "GET /2/tweets/search/stream?expansions=geo.place_id HTTP/1.1\r\nHost: x\r\nAUTHORIZATION: Bearer t0ken\r\n\r\n";
        assert_eq!(fault(get, None), None);
        assert_eq!(fault(get, Some("t0ken")), None);
        assert_eq!(fault(get, Some("other")), Some(401));
        assert_eq!(fault("GET /2/tweets/search/stream HTTP/1.1\r\n\r\n", Some("t0ken")), Some(401));
        assert_eq!(fault("GET /2/tweets/search/streams HTTP/1.1\r\n\r\n", None), Some(404));
        assert_eq!(fault("POST /2/tweets/search/stream HTTP/1.1\r\n\r\n", None), Some(405));
        assert_eq!(Request::parse("GARBAGE\r\n\r\n"), None);
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
