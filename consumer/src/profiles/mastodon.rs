//! Mastodon's streams: the data of their server-sent events, without the events' names, so what it is
//! shows by its shape. A status is an event; a changed one is another, at the time of the change. All else
//! is a notice: a bare id (a deletion), `undefined` or nothing (changed filters), notifications and
//! conversations, which speak of statuses that the public streams have as events of their own.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::{List, Object, Text};
use super::{fields, html};
use crate::event::{Event, Kind, Message, Needs, Unreadable};

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(default, borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    created_at: Text<'a>,
    #[serde(default, borrow)]
    edited_at: Text<'a>,
    #[serde(default, borrow)]
    account: Object<Account<'a>>,
    #[serde(default, borrow)]
    content: Text<'a>,
    #[serde(default, borrow)]
    language: Text<'a>,
    #[serde(default, borrow)]
    in_reply_to_id: Text<'a>,
    #[serde(default, borrow)]
    reblog: Object<Boosted<'a>>,
    #[serde(default)]
    quote: Object<IgnoredAny>,
    #[serde(default, borrow)]
    tags: List<Object<Tag<'a>>>,
    // What other messages have and a status has not.
    #[serde(default, borrow, rename = "type")]
    notification: Text<'a>,
    last_status: Option<IgnoredAny>,
    announcement_id: Option<IgnoredAny>,
    published_at: Option<IgnoredAny>,
}

/// The status that a boost passes on.
#[derive(Deserialize)]
struct Boosted<'a> {
    #[serde(default, borrow)]
    content: Text<'a>,
    #[serde(default, borrow)]
    language: Text<'a>,
    #[serde(default, borrow)]
    tags: List<Object<Tag<'a>>>,
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(default, borrow)]
    id: Text<'a>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(default, borrow)]
    name: Text<'a>,
}

pub(super) fn read(record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
    if let Some(title) = bare(record) {
        return Ok(Message::Notice { title: Cow::Borrowed(title) });
    }
    let status: Object<Status<'_>> = serde_json::from_slice(record)?;
    let status = status.get().ok_or_else(|| Unreadable::not_object(""))?;
    match status.notice() {
        Some(title) => Ok(Message::Notice { title }),
        None => status.event(needs).map(Message::Event),
    }
}

/// What a message is that is no object.
fn bare(record: &[u8]) -> Option<&'static str> {
    let record = record.trim_ascii();
    let digits = record.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")).unwrap_or(record);
    match record {
        b"" | b"undefined" | b"null" => Some("filters_changed"),
        _ if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => Some("delete"),
        _ => None,
    }
}

impl<'a> Status<'a> {
    fn notice(&self) -> Option<Cow<'a, str>> {
        if self.content.0.is_some() && self.published_at.is_none() {
            return None;
        }
        match &self.notification.0 {
            Some(sort) => Some(Cow::Owned(format!("notification: {sort}"))),
            None if self.last_status.is_some() => Some(Cow::Borrowed("conversation")),
            None if self.published_at.is_some() => Some(Cow::Borrowed("announcement")),
            None if self.announcement_id.is_some() => Some(Cow::Borrowed("announcement.reaction")),
            None => None,
        }
    }

    fn event(self, needs: Needs) -> Result<Event<'a>, Unreadable> {
        let is_changed = self.edited_at.0.is_some();
        let kind = self.kind();
        let time = match is_changed {
            true => fields::rfc3339(self.edited_at, "/edited_at")?,
            false => fields::rfc3339(self.created_at, "/created_at")?,
        };
        let account = self.account.get().map(|account| account.id).unwrap_or_default();
        // A boost says what it passes on, itself or in the status that it carries.
        let (content, language, tags) = match self.reblog.get() {
            Some(boosted) => {
                let tags = if self.tags.0.is_empty() { boosted.tags } else { self.tags };
                let own = Text(self.content.0.filter(|content| !content.is_empty()));
                (own.or(boosted.content), self.language.or(boosted.language), tags)
            }
            None => (self.content, self.language, self.tags),
        };
        Ok(Event {
            id: fields::sure(self.id, "/id")?,
            time,
            actor: fields::actor(account, "/account/id", needs)?,
            kind,
            referencing: kind != Kind::Original,
            place: None,
            place_type: None,
            lang: language.0,
            text: content.0.map(html::text),
            tags: tags.0.into_iter().filter_map(|tag| tag.get()?.name.0).collect(),
            rule_tags: Vec::new(),
        })
    }

    fn kind(&self) -> Kind {
        match () {
            () if self.reblog.peek().is_some() => Kind::Repost,
            () if self.edited_at.0.is_some() => Kind::Other,
            () if self.in_reply_to_id.0.is_some() => Kind::Reply,
            () if self.quote.peek().is_some() => Kind::Quote,
            () => Kind::Original,
        }
    }
}

#[cfg(test)]
mod tests;
