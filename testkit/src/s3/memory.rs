//! A server in the test's own process: buckets in memory, behind one lock, so that of two creations of an
//! object exactly one can win. It speaks the part of S3 that an object store client uses: put (create-only
//! too), get, head, delete, delete many, and the second version of the listing. Signatures are not
//! checked; the name of the bucket is in the path. It counts what was put.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Error, xml};
use crate::host::Host;
use crate::http::{Request, answer};

/// What every object was last modified at: nothing depends on it, and equal runs look alike.
const MODIFIED: (&str, &str) = ("Thu, 01 Jan 2026 00:00:00 GMT", "2026-01-01T00:00:00.000Z");
/// Keys in one answer of a listing, as with S3.
const PAGE: usize = 1000;

type Objects = BTreeMap<String, Bytes>;

/// A running server.
#[derive(Debug)]
pub struct Memory {
    host: Host,
    stop: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Buckets(Mutex<BTreeMap<String, Objects>>);

impl Memory {
    /// Starts a server of its own, which listens when this returns.
    ///
    /// # Errors
    /// When the system does not let it listen.
    pub fn start() -> Result<Self, Error> {
        let (buckets, (stop, stopped)) = (Arc::<Buckets>::default(), watch::channel(false));
        let serve = move |stream| serve(stream, Arc::clone(&buckets), stopped.clone());
        let host = Host::start((Ipv4Addr::LOCALHOST, 0).into(), "s3-memory", serve)?;
        Ok(Self { host, stop })
    }

    /// As `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.host.address())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.host.stop();
    }
}

/// One request a connection: clients take a new one for the next.
async fn serve(mut stream: TcpStream, buckets: Arc<Buckets>, mut stopped: watch::Receiver<bool>) {
    let request = tokio::select! {
        request = Request::read(&mut stream) => request,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    let Ok(Some(request)) = request else { return };
    let wire = buckets.answer(&request);
    // An error is a client that went away; what it asked for is done.
    let _ = stream.write_all(&wire).await;
    let _ = stream.shutdown().await;
}

impl Buckets {
    /// The data is whole at every moment.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Objects>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let path = decode(request.path().trim_start_matches('/'));
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let mut buckets = self.lock();
        if request.method == "PUT" && key.is_empty() {
            buckets.entry(bucket.to_owned()).or_default();
            return answer(200, "application/xml", &[], b"");
        }
        let Some(objects) = buckets.get_mut(bucket) else { return problem(404, "NoSuchBucket") };
        match (request.method.as_str(), key) {
            ("GET", "") => list(objects, bucket, request),
            ("POST", "") if request.target.contains("delete") => delete_many(objects, &request.body),
            ("PUT", key) => put(objects, key, request),
            ("GET" | "HEAD", key) => get(objects, key, request),
            ("DELETE", key) => {
                objects.remove(key);
                answer(204, "application/xml", &[], b"")
            }
            _ => problem(405, "MethodNotAllowed"),
        }
    }
}

fn put(objects: &mut Objects, key: &str, request: &Request) -> Vec<u8> {
    match request.header("if-none-match") {
        Some("*") if objects.contains_key(key) => return problem(412, "PreconditionFailed"),
        Some("*") | None => {}
        Some(_) => return problem(501, "NotImplemented"),
    }
    objects.insert(key.to_owned(), request.body.clone());
    answer(200, "application/xml", &[("etag".into(), etag(&request.body))], b"")
}

fn get(objects: &Objects, key: &str, request: &Request) -> Vec<u8> {
    let Some(content) = objects.get(key) else { return problem(404, "NoSuchKey") };
    let mut headers =
        vec![("etag".to_owned(), etag(content)), ("last-modified".to_owned(), MODIFIED.0.to_owned())];
    let part = match request.header("range").map(|range| span(range, content.len())) {
        None => None,
        Some(None) => return problem(416, "InvalidRange"),
        Some(Some((from, to))) => {
            headers.push(("content-range".to_owned(), format!("bytes {from}-{}/{}", to - 1, content.len())));
            Some(content.slice(from..to))
        }
    };
    let (status, body) = part.map_or((200, content.clone()), |part| (206, part));
    let mut wire = answer(status, "application/octet-stream", &headers, &body);
    if request.method == "HEAD" {
        wire.truncate(wire.len() - body.len());
    }
    wire
}

/// `bytes=from-to`, `bytes=from-` or `bytes=-last`; the end exclusive. `None` when it holds nothing.
fn span(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let span = match (from, to) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), length),
        (from, "") => (from.parse().ok()?, length),
        (from, to) => (from.parse().ok()?, to.parse::<usize>().ok()?.saturating_add(1).min(length)),
    };
    (span.0 < span.1).then_some(span)
}

fn delete_many(objects: &mut Objects, body: &[u8]) -> Vec<u8> {
    let keys = xml::texts(&String::from_utf8_lossy(body), "Key");
    let gone = |key: &String| {
        objects.remove(key);
        format!("<Deleted>{}</Deleted>", xml::element("Key", key))
    };
    let gone: String = keys.iter().map(gone).collect();
    answer(200, "application/xml", &[], format!("<DeleteResult>{gone}</DeleteResult>").as_bytes())
}

fn list(objects: &Objects, bucket: &str, request: &Request) -> Vec<u8> {
    let parameter = |name| request.query(name).map(decode).unwrap_or_default();
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let after = parameter("start-after").max(parameter("continuation-token"));
    let page = parameter("max-keys").parse().unwrap_or(PAGE).min(PAGE);
    let (mut contents, mut folders, mut last) = (String::new(), Vec::<String>::new(), None);
    let mut listed = 0;
    let matching = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    for (key, content) in matching {
        let folder = folder(key, &prefix, &delimiter);
        if folder.is_some() && folder == folders.last().map(String::as_str) {
            continue;
        }
        if listed == page {
            return listing(bucket, &prefix, &contents, &folders, last.as_deref());
        }
        listed += 1;
        // What is below a folder comes before this, and is not listed again.
        last = Some(folder.map_or_else(|| key.clone(), |folder| format!("{folder}\u{10ffff}")));
        match folder {
            Some(folder) => folders.push(folder.to_owned()),
            None => contents += &entry(key, content),
        }
    }
    listing(bucket, &prefix, &contents, &folders, None)
}

/// The part of a key that stands for all below it.
fn folder<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key[prefix.len()..].find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

fn entry(key: &str, content: &Bytes) -> String {
    let parts = [
        xml::element("Key", key),
        xml::element("LastModified", MODIFIED.1),
        xml::element("ETag", &etag(content)),
        xml::element("Size", &content.len().to_string()),
        xml::element("StorageClass", "STANDARD"),
    ];
    format!("<Contents>{}</Contents>", parts.concat())
}

fn listing(bucket: &str, prefix: &str, contents: &str, folders: &[String], next: Option<&str>) -> Vec<u8> {
    let folders: String = folders
        .iter()
        .map(|f| format!("<CommonPrefixes>{}</CommonPrefixes>", xml::element("Prefix", f)))
        .collect();
    let token = next.map(|key| xml::element("NextContinuationToken", key)).unwrap_or_default();
    let head = [
        xml::element("Name", bucket),
        xml::element("Prefix", prefix),
        xml::element("IsTruncated", &next.is_some().to_string()),
    ];
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}{contents}{folders}{token}</ListBucketResult>",
        head.concat()
    );
    answer(200, "application/xml", &[], body.as_bytes())
}

fn problem(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<Error>{}{}</Error>", xml::element("Code", code), xml::element("Message", code));
    answer(status, "application/xml", &[], body.as_bytes())
}

fn etag(content: &[u8]) -> String {
    format!("\"{:016x}-{}\"", crate::hash(content), content.len())
}

/// Resolves percent-encoding; what is none stays.
fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(span("bytes=2-4", 10), Some((2, 5)));
        assert_eq!(span("bytes=2-40", 10), Some((2, 10)));
        assert_eq!(span("bytes=8-", 10), Some((8, 10)));
        assert_eq!(span("bytes=-3", 10), Some((7, 10)));
        assert_eq!((span("bytes=10-", 10), span("lines=1-2", 10)), (None, None));
    }

    #[test]
    fn a_key_is_decoded() {
        assert_eq!(decode("dt%3D2026-01-01/a%20b%"), "dt=2026-01-01/a b%");
    }
}
