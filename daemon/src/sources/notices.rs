//! Messages of an upstream that are no data: errors, disconnects, deletions, test events. Told apart by
//! service, with cheap looks at the bytes before anything is parsed; what is not known passes as data.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reconnect::Cause;
use crate::pointer::{Pointer, extract};

/// What a notice is about; few, so that they can be counted one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The upstream says that it disconnects us, or that it will not serve us now.
    Disconnect,
    /// An error of the upstream that does not end the stream.
    Error,
    /// Something was deleted; the data is only its id.
    Delete,
    /// The account's filters were changed.
    FiltersChanged,
    /// A test event of the operators of the service.
    Canary,
}

/// Kinds of notices.
pub const KINDS: usize = 5;

impl Kind {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; KINDS] =
        [Self::Disconnect, Self::Error, Self::Delete, Self::FiltersChanged, Self::Canary];

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Error => "error",
            Self::Delete => "delete",
            Self::FiltersChanged => "filters_changed",
            Self::Canary => "canary",
        }
    }
}

/// A message that is no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub kind: Kind,
    /// What the operator sees of it.
    pub title: String,
    /// What the end of the connection counts as, when this announces it.
    pub announces: Option<Cause>,
}

/// Whose notices are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Nobody's: all is data.
    None,
    /// X's errors in the stream.
    X,
    /// Mastodon's types of events.
    Mastodon,
    /// Wikimedia's test events and errors.
    Wikimedia,
}

impl Dialect {
    /// Reads a message: `name` is its event type (empty for none), `data` its bytes.
    #[must_use]
    pub fn recognise(self, name: &[u8], data: &[u8]) -> Option<Notice> {
        match self {
            Self::None => None,
            Self::X => x(data),
            Self::Mastodon => mastodon(name),
            Self::Wikimedia => wikimedia(name, data),
        }
    }
}

/// X's messages have `data`, or they are errors. The order of the fields is not promised.
#[derive(Deserialize)]
struct XMessage {
    data: Option<IgnoredAny>,
    errors: Option<Vec<XError>>,
    #[serde(flatten)]
    itself: XError,
}

#[derive(Deserialize)]
struct XError {
    title: Option<String>,
    disconnect_type: Option<String>,
    connection_issue: Option<String>,
}

fn x(data: &[u8]) -> Option<Notice> {
    // Nearly all messages begin so, and need no further look.
    if data.trim_ascii_start().starts_with(b"{\"data\":") {
        return None;
    }
    // A message without a title anywhere is no error of X.
    memchr::memmem::find(data, b"\"title\"")?;
    let message: XMessage = serde_json::from_slice(data).ok()?;
    if message.data.is_some() {
        return None;
    }
    let error = match message.errors {
        Some(errors) => errors.into_iter().next()?,
        None if message.itself.disconnect_type.is_some() || message.itself.connection_issue.is_some() => {
            message.itself
        }
        None => return None,
    };
    Some(x_notice(&error))
}

fn x_notice(error: &XError) -> Notice {
    let title = error.title.as_deref().unwrap_or("untitled error");
    let detail = error.connection_issue.as_deref().or(error.disconnect_type.as_deref());
    let full = detail.map_or_else(|| title.to_owned(), |detail| format!("{title}: {detail}"));
    // Too many connections: X counts our old one still, so a new one at once would be refused again.
    let announces = match (&error.connection_issue, &error.disconnect_type) {
        (Some(_), _) => Some(Cause::Told),
        (None, Some(_)) => Some(Cause::Ended),
        (None, None) => None,
    };
    let kind = if announces.is_some() { Kind::Disconnect } else { Kind::Error };
    Notice { kind, title: full, announces }
}

fn mastodon(name: &[u8]) -> Option<Notice> {
    let (kind, title) = match name {
        b"delete" => (Kind::Delete, "delete"),
        b"filters_changed" => (Kind::FiltersChanged, "filters_changed"),
        _ => return None,
    };
    Some(Notice { kind, title: title.to_owned(), announces: None })
}

fn wikimedia(name: &[u8], data: &[u8]) -> Option<Notice> {
    if name == b"error" {
        let shown = &data[..data.len().min(200)];
        let title = format!("error: {}", String::from_utf8_lossy(shown));
        return Some(Notice { kind: Kind::Error, title, announces: None });
    }
    memchr::memmem::find(data, b"\"canary\"")?;
    let domain = Pointer::parse("/meta/domain");
    let [found] = extract(data, [domain.as_ref()]);
    (found? == "canary").then(|| Notice {
        kind: Kind::Canary,
        title: "canary event".to_owned(),
        announces: None,
    })
}

/// Titles that were logged, so that each is logged once.
#[derive(Debug, Default)]
pub struct Told(HashSet<String>);

impl Told {
    /// More different titles than this are not worth a line each.
    const MAX: usize = 100;

    /// Whether this title is new.
    pub fn is_news(&mut self, title: &str) -> bool {
        self.0.len() < Self::MAX && self.0.insert(title.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x_of(text: &str) -> Option<(Kind, String, Option<Cause>)> {
        Dialect::X.recognise(b"", text.as_bytes()).map(|n| (n.kind, n.title, n.announces))
    }

    #[test]
    fn x_errors_by_their_old_and_new_names() {
        for name in ["OperationalDisconnect", "UpstreamOperationalDisconnect"] {
            let text = format!(
                r#"{{"errors":[{{"title":"operational-disconnect","disconnect_type":"{name}","detail":"down","type":"t"}}]}}"#
            );
            let (kind, title, announces) = x_of(&text).unwrap();
            assert_eq!((kind, announces), (Kind::Disconnect, Some(Cause::Ended)));
            assert_eq!(title, format!("operational-disconnect: {name}"));
        }
        let text = r#"{"title":"ConnectionException","detail":"…","connection_issue":"TooManyConnections","type":"t"}"#;
        let (kind, title, announces) = x_of(text).unwrap();
        assert_eq!((kind, announces), (Kind::Disconnect, Some(Cause::Told)));
        assert_eq!(title, "ConnectionException: TooManyConnections");
        let (kind, _, announces) = x_of(r#"{"errors":[{"title":"Not Found Error"}]}"#).unwrap();
        assert_eq!((kind, announces), (Kind::Error, None));
    }

    #[test]
    fn x_data_and_what_is_not_known_pass() {
        for data in [
            r#"{"data":{"id":"1"},"errors":[{"title":"Not Found Error"}]}"#,
            r#"{"errors":[{"title":"Not Found Error"}],"data":{"id":"1"}}"#,
            r#"{"matching_rules":[],"data":{"title":"x"}}"#,
            r#"{"title":"a new kind of message"}"#,
            r#"{"sitrep":{"rate":1}}"#,
            r#"{"errors":[]}"#,
            r#"{"errors":"title"}"#,
            "\"title\"",
            "",
        ] {
            assert_eq!(x_of(data), None, "{data}");
        }
    }

    #[test]
    fn mastodon_by_the_type_of_the_event() {
        let kind = |name: &str| Dialect::Mastodon.recognise(name.as_bytes(), b"undefined").map(|n| n.kind);
        assert_eq!(kind("delete"), Some(Kind::Delete));
        assert_eq!(kind("filters_changed"), Some(Kind::FiltersChanged));
        for data in ["update", "status.update", "notification", "announcement.reaction", ""] {
            assert_eq!(kind(data), None, "{data}");
        }
    }

    #[test]
    fn wikimedia_canaries_and_errors() {
        let of = |name: &str, data: &str| {
            Dialect::Wikimedia.recognise(name.as_bytes(), data.as_bytes()).map(|n| n.kind)
        };
        assert_eq!(of("message", r#"{"meta":{"id":"1","domain":"canary"}}"#), Some(Kind::Canary));
        assert_eq!(of("", r#"{"meta":{"domain":"en.wikipedia.org"},"title":"canary"}"#), None);
        assert_eq!(of("error", "{}"), Some(Kind::Error));
    }

    #[test]
    fn each_title_is_news_once() {
        let mut told = Told::default();
        assert!(told.is_news("a") && !told.is_news("a") && told.is_news("b"));
        assert_eq!((0..1000).filter(|n| told.is_news(&n.to_string())).count(), Told::MAX - 2);
    }
}
