//! Bluesky's Jetstream. A commit is an event: a post, a repost, or anything else that is put into or taken
//! out of somebody's repository. Messages about identities and accounts are notices.
//!
//! The id is the one that the daemon gives an event, the same from every instance. The time is the
//! instance's (`time_us`): the one in the record is whatever its author says.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fields;
use super::lenient::{List, Object, Text};
use crate::event::{Event, Kind, Message, Unreadable};
use crate::micros::Micros;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default, borrow)]
    did: Text<'a>,
    #[serde(default, borrow)]
    time_us: Text<'a>,
    #[serde(default, borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    commit: Object<Commit<'a>>,
}

#[derive(Deserialize)]
struct Commit<'a> {
    #[serde(default, borrow)]
    rev: Text<'a>,
    #[serde(default, borrow)]
    operation: Text<'a>,
    #[serde(default, borrow)]
    collection: Text<'a>,
    #[serde(default, borrow)]
    rkey: Text<'a>,
    #[serde(default, borrow)]
    record: Object<Content<'a>>,
}

#[derive(Default, Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    text: Text<'a>,
    #[serde(default, borrow)]
    langs: List<Text<'a>>,
    #[serde(default, borrow)]
    tags: List<Text<'a>>,
    #[serde(default, borrow)]
    facets: List<Object<Facet<'a>>>,
    #[serde(default)]
    reply: Object<IgnoredAny>,
    #[serde(default)]
    subject: Object<IgnoredAny>,
    #[serde(default, borrow)]
    embed: Object<Typed<'a>>,
}

#[derive(Deserialize)]
struct Facet<'a> {
    #[serde(default, borrow)]
    features: List<Object<Typed<'a>>>,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(default, borrow, rename = "$type")]
    name: Text<'a>,
    #[serde(default, borrow)]
    tag: Text<'a>,
}

/// The actor is a part of the id, so it is there whether it is needed or not.
pub(super) fn read(record: &[u8]) -> Result<Message<'_>, Unreadable> {
    let record: Object<Record<'_>> = serde_json::from_slice(record)?;
    let record = record.get().ok_or_else(|| Unreadable::not_object(""))?;
    let kind = fields::sure(record.kind, "/kind")?;
    if kind != "commit" {
        return Ok(Message::Notice { title: kind });
    }
    let did = fields::sure(record.did, "/did")?;
    let time = time(&fields::sure(record.time_us, "/time_us")?)?;
    let commit = record.commit.get().ok_or_else(|| Unreadable::not_object("/commit"))?;
    event(did, time, commit).map(Message::Event)
}

fn event<'a>(did: Cow<'a, str>, time: Micros, commit: Commit<'a>) -> Result<Event<'a>, Unreadable> {
    let collection = fields::sure(commit.collection, "/commit/collection")?;
    let operation = fields::sure(commit.operation, "/commit/operation")?;
    let rkey = fields::sure(commit.rkey, "/commit/rkey")?;
    let rev = fields::sure(commit.rev, "/commit/rev")?;
    let content = commit.record.get().unwrap_or_default();
    let kind = if operation == "create" { created(&collection, &content) } else { Kind::Other };
    // A like has another record as its subject, a follow only an account. A change and a deletion refer
    // to what was there before.
    let referencing = match kind {
        Kind::Original => false,
        Kind::Other => operation != "create" || content.subject.peek().is_some(),
        Kind::Repost | Kind::Reply | Kind::Quote => true,
    };
    Ok(Event {
        id: Cow::Owned(format!("{did}/{collection}/{rkey}@{rev}/{operation}")),
        time,
        actor: Some(did),
        kind,
        referencing,
        place: None,
        place_type: None,
        tags: tags(content.facets, content.tags),
        lang: content.langs.0.into_iter().find_map(|lang| lang.0),
        text: content.text.0,
        rule_tags: Vec::new(),
    })
}

/// What a new record does.
fn created(collection: &str, content: &Content<'_>) -> Kind {
    let embed = content.embed.peek().and_then(|embed| embed.name.0.as_deref());
    match collection {
        "app.bsky.feed.repost" => Kind::Repost,
        "app.bsky.feed.post" if content.reply.peek().is_some() => Kind::Reply,
        "app.bsky.feed.post" => match embed {
            Some("app.bsky.embed.record" | "app.bsky.embed.recordWithMedia") => Kind::Quote,
            _ => Kind::Original,
        },
        _ => Kind::Other,
    }
}

/// The hashtags in the text, then those beside it.
fn tags<'a>(facets: List<Object<Facet<'a>>>, beside: List<Text<'a>>) -> Vec<Cow<'a, str>> {
    let features = facets.0.into_iter().filter_map(Object::get).flat_map(|facet| facet.features.0);
    let is_tag = |typed: &Typed<'_>| typed.name.0.as_deref() == Some("app.bsky.richtext.facet#tag");
    let inside = features.filter_map(Object::get).filter(is_tag).filter_map(|typed| typed.tag.0);
    inside.chain(beside.0.into_iter().filter_map(|tag| tag.0)).collect()
}

fn time(text: &str) -> Result<Micros, Unreadable> {
    text.parse().map_err(|_| Unreadable::time("/time_us", "number of microseconds", text))
}

#[cfg(test)]
mod tests;
