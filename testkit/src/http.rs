//! As much HTTP/1.1 as the fake servers need: one request is read, one answer is written.
//!
//! They speak it themselves instead of through a library, because their point is to know which bytes
//! the operating system has taken, and to end a connection at an exact byte.

use std::io;
use std::io::Write as _;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer request head is refused.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// So is a longer body.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The end mark of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads a request. `None` when the client went away before it was whole, or sent none.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
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
        let Some(mut request) = Self::parse(&String::from_utf8_lossy(&head)) else { return Ok(None) };
        let Some(length) = request.body_length() else { return Ok(None) };
        let mut body = vec![0; length];
        match from.read_exact(&mut body).await {
            Ok(_) => request.body = body.into(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(request))
    }

    pub(crate) fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        Some(Self { method, target, headers, body: Bytes::new() })
    }

    /// 0 without a body, `None` when it is not to be read.
    fn body_length(&self) -> Option<usize> {
        match self.header("content-length") {
            None => Some(0),
            Some(length) => length.parse().ok().filter(|length| *length <= BODY_BYTES_MAX),
        }
    }

    /// The first header of this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&*self.target, |(path, _)| path)
    }

    /// The first value of a query parameter, as it stands in the target.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Whether the request carries this bearer token.
    pub(crate) fn bears(&self, token: &str) -> bool {
        self.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
    }
}

/// A whole answer, after which the connection ends.
pub(crate) fn answer(status: u16, content_type: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut answer = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        reason(status),
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// The head of an answer whose body comes in chunks.
pub(crate) fn stream_head(content_type: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n{headers}\r\n")
        .into_bytes()
}

/// The head of a chunk of `size` bytes, in a buffer with room for the chunk.
pub(crate) fn chunk_head(size: usize) -> Vec<u8> {
    let mut wire = Vec::with_capacity(size + 16);
    // Writing to a Vec cannot fail.
    let _ = write!(wire, "{size:x}\r\n");
    wire
}

/// What a status is called.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_read_with_its_body_and_no_further() {
        let wire = b"POST /rules?dry_run=true&x HTTP/1.1\r\nAUTHORIZATION: Bearer t\r\nContent-Length: 4\r\n\r\nbodyrest";
        let mut from = &wire[..];
        let request = Request::read(&mut from).await.unwrap().unwrap();
        assert_eq!(
            (request.path(), request.query("dry_run"), request.query("x")),
            ("/rules", Some("true"), Some(""))
        );
        assert_eq!((request.query("y"), &request.body[..], from), (None, &b"body"[..], &b"rest"[..]));
        assert!(request.bears("t") && !request.bears("other"));
        assert_eq!(Request::read(&mut &b"GET / HTTP/1.1\r\n"[..]).await.unwrap(), None);
        let long = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        assert_eq!(Request::read(&mut long.as_bytes()).await.unwrap(), None);
        assert_eq!(Request::parse("GARBAGE\r\n\r\n"), None);
    }
}
