//! X's streams of API v1.1, as archives of them have it. A tweet has its parts at the top level; the
//! stream's messages about itself are objects with a single known key, and are notices.

use std::borrow::Cow;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fields;
use super::lenient::{List, Object, Text};
use crate::event::{Event, Kind, Message, Needs, Unreadable};
use crate::micros::Micros;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default, borrow)]
    id_str: Text<'a>,
    #[serde(default, borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    created_at: Text<'a>,
    #[serde(default, borrow)]
    user: Object<User<'a>>,
    #[serde(default, borrow)]
    text: Text<'a>,
    #[serde(default, borrow)]
    full_text: Text<'a>,
    #[serde(default, borrow)]
    lang: Text<'a>,
    #[serde(default, borrow)]
    place: Object<Place<'a>>,
    #[serde(default, borrow)]
    in_reply_to_status_id_str: Text<'a>,
    #[serde(default, borrow)]
    in_reply_to_status_id: Text<'a>,
    #[serde(default)]
    retweeted_status: Object<IgnoredAny>,
    #[serde(default)]
    quoted_status: Object<IgnoredAny>,
    #[serde(default, borrow)]
    quoted_status_id_str: Text<'a>,
    #[serde(default, borrow)]
    extended_tweet: Object<Extended<'a>>,
    #[serde(default, borrow)]
    entities: Object<Entities<'a>>,
    #[serde(default, borrow)]
    matching_rules: List<Object<Rule<'a>>>,
    // The keys of messages that are no tweets.
    delete: Option<IgnoredAny>,
    scrub_geo: Option<IgnoredAny>,
    limit: Option<IgnoredAny>,
    status_withheld: Option<IgnoredAny>,
    user_withheld: Option<IgnoredAny>,
    disconnect: Option<IgnoredAny>,
    warning: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(default, borrow)]
    id_str: Text<'a>,
    #[serde(default, borrow)]
    id: Text<'a>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(default, borrow)]
    full_name: Text<'a>,
    #[serde(default, borrow)]
    place_type: Text<'a>,
}

/// Of a tweet of more than 140 characters, the whole.
#[derive(Deserialize)]
struct Extended<'a> {
    #[serde(default, borrow)]
    full_text: Text<'a>,
    #[serde(default, borrow)]
    entities: Object<Entities<'a>>,
}

#[derive(Deserialize)]
struct Entities<'a> {
    #[serde(default, borrow)]
    hashtags: List<Object<Hashtag<'a>>>,
}

#[derive(Deserialize)]
struct Hashtag<'a> {
    #[serde(default, borrow)]
    text: Text<'a>,
}

#[derive(Deserialize)]
struct Rule<'a> {
    #[serde(default, borrow)]
    tag: Text<'a>,
}

/// How `created_at` is written, such as `Wed Aug 27 13:08:45 +0000 2008`.
const TIME: &str = "%a %b %d %H:%M:%S %z %Y";

pub(super) fn read(record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
    let record: Object<Record<'_>> = serde_json::from_slice(record)?;
    let record = record.get().ok_or_else(|| Unreadable::not_object(""))?;
    match record.notice() {
        Some(title) => Ok(Message::Notice { title: Cow::Borrowed(title) }),
        None => record.event(needs).map(Message::Event),
    }
}

impl<'a> Record<'a> {
    fn notice(&self) -> Option<&'static str> {
        if self.id_str.0.is_some() || self.id.0.is_some() || self.created_at.0.is_some() {
            return None;
        }
        let keys = [
            ("delete", &self.delete),
            ("scrub_geo", &self.scrub_geo),
            ("limit", &self.limit),
            ("status_withheld", &self.status_withheld),
            ("user_withheld", &self.user_withheld),
            ("disconnect", &self.disconnect),
            ("warning", &self.warning),
        ];
        keys.into_iter().find(|(_, value)| value.is_some()).map(|(key, _)| key)
    }

    fn event(self, needs: Needs) -> Result<Event<'a>, Unreadable> {
        let kind = self.kind();
        let id = fields::sure(self.id_str.or(self.id), "/id_str")?;
        let time = time(&fields::sure(self.created_at, "/created_at")?)?;
        let actor = self.user.get().map(|user| user.id_str.or(user.id)).unwrap_or_default();
        let (whole_text, whole_entities) =
            self.extended_tweet.get().map(|whole| (whole.full_text, whole.entities)).unwrap_or_default();
        let (place, place_type) =
            self.place.get().map(|place| (place.full_name.0, place.place_type.0)).unwrap_or_default();
        let entities = whole_entities.get().or_else(|| self.entities.get());
        let hashtags = entities.map(|entities| entities.hashtags.0).unwrap_or_default();
        Ok(Event {
            id,
            time,
            actor: fields::actor(actor, "/user/id_str", needs)?,
            kind,
            referencing: kind != Kind::Original,
            place,
            place_type,
            lang: self.lang.0,
            text: whole_text.or(self.full_text).or(self.text).0,
            tags: hashtags.into_iter().filter_map(|hashtag| hashtag.get()?.text.0).collect(),
            rule_tags: self.matching_rules.0.into_iter().filter_map(|rule| rule.get()?.tag.0).collect(),
        })
    }

    /// A tweet can do several at once: the strongest names it, as in the other profile of X.
    fn kind(&self) -> Kind {
        let is_reply = self.in_reply_to_status_id_str.0.is_some() || self.in_reply_to_status_id.0.is_some();
        match () {
            () if self.retweeted_status.peek().is_some() => Kind::Repost,
            () if is_reply => Kind::Reply,
            () if self.quoted_status.peek().is_some() || self.quoted_status_id_str.0.is_some() => Kind::Quote,
            () => Kind::Original,
        }
    }
}

fn time(text: &str) -> Result<Micros, Unreadable> {
    DateTime::parse_from_str(text, TIME)
        .map(|time| time.timestamp_micros())
        .map_err(|_| Unreadable::time("/created_at", "time of API v1.1", text))
}

#[cfg(test)]
mod tests;
