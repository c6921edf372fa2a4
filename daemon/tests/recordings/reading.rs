//! What a recording must come to, by the plainest reading of its whole text at once: no chunks, no limits,
//! every message parsed. It shares no code with what it judges.

use serde_json::Value;

/// Whose rules a recording is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    X,
    Wikimedia,
    Mastodon,
    /// Of no service: all is data, without ids.
    Plain,
}

/// What must be in the topic, and what must only be counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Value and upstream's id, if it has one.
    pub(crate) records: Vec<(Vec<u8>, Option<String>)>,
    pub(crate) notices: u64,
    pub(crate) torn: u64,
}

/// A message and its type.
struct Message {
    name: Vec<u8>,
    data: Vec<u8>,
}

/// A recording of lines.
pub(crate) fn lines(text: &[u8], service: Service) -> Expected {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last line end.
    let rest = lines.pop().unwrap();
    let mut torn = 0;
    if is_container(rest) {
        lines.push(rest);
    } else if !rest.trim_ascii().is_empty() {
        torn = 1;
    }
    let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let messages = lines.filter(|line| !line.trim_ascii().is_empty());
    let messages = messages.map(|line| Message { name: Vec::new(), data: line.to_vec() });
    Expected { torn, ..judged(messages, service) }
}

fn is_container(text: &[u8]) -> bool {
    serde_json::from_slice(text).is_ok_and(|value: Value| value.is_object() || value.is_array())
}

/// A recording of server-sent events.
pub(crate) fn events(text: &[u8], service: Service) -> Expected {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    // A letter for each byte: a recording may be cut off in the middle of a character.
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut messages, mut name, mut data) = (Vec::new(), "", Vec::new());
    let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
    for line in whole.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                if !data.is_empty() {
                    messages.push(Message { name: bytes(name), data: bytes(&data.join("\n")) });
                }
                (name, data) = ("", Vec::new());
            }
            "data" => data.push(value),
            "event" => name = value,
            _ => {}
        }
    }
    let is_torn = !data.is_empty() || !(rest.is_empty() || rest.starts_with(':'));
    Expected { torn: u64::from(is_torn), ..judged(messages.into_iter(), service) }
}

/// The bytes that the letters stand for.
fn bytes(letters: &str) -> Vec<u8> {
    letters.chars().map(|letter| u8::try_from(letter).unwrap()).collect()
}

fn judged(messages: impl Iterator<Item = Message>, service: Service) -> Expected {
    let mut expected = Expected::default();
    for message in messages.filter(|message| !message.data.is_empty()) {
        let json: Value = serde_json::from_slice(&message.data).unwrap_or_default();
        if is_notice(&message, &json, service) {
            expected.notices += 1;
        } else {
            let id = id(&message, &json, service);
            expected.records.push((message.data, id));
        }
    }
    expected
}

fn is_notice(message: &Message, json: &Value, service: Service) -> bool {
    match service {
        Service::X => {
            let errors = json["errors"].as_array().is_some_and(|errors| !errors.is_empty());
            let issue = !json["disconnect_type"].is_null() || !json["connection_issue"].is_null();
            json["data"].is_null() && (errors || issue)
        }
        Service::Wikimedia => message.name == b"error" || json["meta"]["domain"] == "canary",
        Service::Mastodon => ["delete", "filters_changed"].iter().any(|name| message.name == name.as_bytes()),
        Service::Plain => false,
    }
}

fn id(message: &Message, json: &Value, service: Service) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match service {
        Service::X => text(&json["data"]["id"]),
        Service::Wikimedia => text(&json["meta"]["id"]),
        Service::Plain => None,
        Service::Mastodon => {
            let id = text(&json["id"])?;
            match &message.name[..] {
                b"" | b"message" | b"update" => Some(id),
                b"status.update" => {
                    Some(format!("status.update:{id}:{}", text(&json["edited_at"]).unwrap_or_default()))
                }
                b"notification" => Some(format!("notification:{id}")),
                _ => None,
            }
        }
    }
}
