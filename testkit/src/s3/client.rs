//! A small client of S3 over plain HTTP: one connection a request, requests not really signed. What it reports is
//! what the server said, once; only a listing is asked for again, since moto fails one under which objects are
//! made.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Error, xml};

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a listing is asked for.
const LISTINGS: usize = 10;
/// Between two of them.
const LIST_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A signature that nobody checks; a request without one would come from the public.
const ANYBODY: &str = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
    SignedHeaders=host, Signature=0\r\n";

/// What a create-only put came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now, and it is ours.
    Created,
    /// It was there before (412), or somebody is just creating it (409).
    Refused,
}

/// A client of one bucket.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
    bucket: String,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// For a bucket of the server at `endpoint` (`http://host:port`).
    #[must_use]
    pub fn new(endpoint: &str, bucket: &str) -> Self {
        let address = endpoint.strip_prefix("http://").unwrap_or(endpoint).to_owned();
        Self { address, bucket: bucket.to_owned() }
    }

    /// Makes the bucket.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn create_bucket(&self) -> Result<(), Error> {
        self.expect("PUT", "", "", &[], &[200]).map(drop)
    }

    /// Creates an object unless there is one.
    ///
    /// # Errors
    /// When the server neither does it nor refuses it because of that.
    pub fn create(&self, key: &str, content: &[u8]) -> Result<Put, Error> {
        let answer = self.expect("PUT", key, "If-None-Match: *\r\n", content, &[200, 409, 412])?;
        Ok(if answer.status == 200 { Put::Created } else { Put::Refused })
    }

    /// Writes an object, whether there is one or not.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn write(&self, key: &str, content: &[u8]) -> Result<(), Error> {
        self.expect("PUT", key, "", content, &[200]).map(drop)
    }

    /// An object's content; `None` when there is none.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.expect("GET", key, "", &[], &[200, 404])?;
        Ok((answer.status == 200).then_some(answer.body))
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        self.expect("DELETE", key, "", &[], &[200, 204]).map(drop)
    }

    /// The keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// When the server does not say.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (mut keys, mut token) = (Vec::new(), String::new());
        loop {
            let query = format!("?list-type=2&prefix={}{token}", encode(prefix, false));
            let answer = self.listing(&query)?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            keys.extend(xml::texts(&text, "Key"));
            match xml::texts(&text, "NextContinuationToken").pop() {
                Some(next) => token = format!("&continuation-token={}", encode(&next, false)),
                None => return Ok(keys),
            }
        }
    }

    fn listing(&self, query: &str) -> Result<Answer, Error> {
        for _ in 1..LISTINGS {
            match self.expect("GET", query, "", &[], &[200]) {
                Err(Error::Status { status: 500, .. }) => std::thread::sleep(LIST_AGAIN_AFTER),
                answer => return answer,
            }
        }
        self.expect("GET", query, "", &[], &[200])
    }

    /// `key`: an object's key, or a query that begins with `?`.
    pub(super) fn expect(
        &self,
        method: &str,
        key: &str,
        header: &str,
        body: &[u8],
        good: &[u16],
    ) -> Result<Answer, Error> {
        let target = match key {
            "" => format!("/{}", self.bucket),
            query if query.starts_with('?') => format!("/{}{query}", self.bucket),
            key => format!("/{}/{}", self.bucket, encode(key, true)),
        };
        let request = format!("{method} {target}");
        let answer = self.ask(&request, header, body);
        let answer = answer.map_err(|source| Error::Request { request: request.clone(), source })?;
        if good.contains(&answer.status) {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Err(Error::Status { request, status: answer.status, body })
    }

    fn ask(&self, request: &str, header: &str, body: &[u8]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut wire = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n{ANYBODY}{header}\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        wire.extend_from_slice(body);
        stream.write_all(&wire)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no whole HTTP answer"))
    }
}

/// `None` unless the answer has as many bytes as it says.
fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let body = answer[end + 4..].to_vec();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (length.is_none_or(|length| length == body.len())).then_some(Answer { status, body })
}

/// Percent-encodes all that is not unreserved; `/` too unless it is to be kept.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
