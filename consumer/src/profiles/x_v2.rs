//! X API v2 filtered stream. Unknown fields, in any order, are read over; so are known ones of an
//! unknown type unless an event cannot do without them. A message without `data` is a notice: the
//! stream speaking of itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fields;
use super::lenient::{First, List, Object, Text};
use crate::event::{Event, Kind, Message, Needs, Unreadable};

/// `E` and `R` are what is read of `entities` and `matching_rules`: all, or nothing.
#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de> + Default, R: Deserialize<'de> + Default"))]
struct Record<'a, E, R> {
    #[serde(default)]
    data: Object<Data<'a, E>>,
    #[serde(default, borrow)]
    includes: Object<Includes<'a>>,
    #[serde(default)]
    matching_rules: R,
    #[serde(default, borrow)]
    errors: First<Object<Problem<'a>>>,
    #[serde(default, borrow)]
    title: Text<'a>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de> + Default"))]
struct Data<'a, E> {
    #[serde(default, borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    author_id: Text<'a>,
    #[serde(default, borrow)]
    created_at: Text<'a>,
    #[serde(default, borrow)]
    text: Text<'a>,
    #[serde(default, borrow)]
    lang: Text<'a>,
    #[serde(default, borrow)]
    referenced_tweets: List<Object<Reference<'a>>>,
    #[serde(default)]
    entities: E,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct Includes<'a> {
    #[serde(default, borrow)]
    places: First<Object<Place<'a>>>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(default, borrow)]
    full_name: Text<'a>,
    #[serde(default, borrow)]
    place_type: Text<'a>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(default, borrow)]
    title: Text<'a>,
}

#[derive(Deserialize)]
struct Entities<'a> {
    #[serde(default, borrow)]
    hashtags: List<Object<Tagged<'a>>>,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(default, borrow)]
    tag: Text<'a>,
}

/// What a part of the record contributes as a list of tags.
trait Tags<'a> {
    fn tags(self) -> Vec<Cow<'a, str>>;
}

impl<'a> Tags<'a> for IgnoredAny {
    fn tags(self) -> Vec<Cow<'a, str>> {
        Vec::new()
    }
}

impl<'a> Tags<'a> for List<Object<Tagged<'a>>> {
    fn tags(self) -> Vec<Cow<'a, str>> {
        self.0.into_iter().filter_map(|tagged| tagged.get()?.tag.0).collect()
    }
}

impl<'a> Tags<'a> for Object<Entities<'a>> {
    fn tags(self) -> Vec<Cow<'a, str>> {
        self.get().map_or_else(Vec::new, |entities| entities.hashtags.tags())
    }
}

pub(super) fn read(record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
    if needs.lists {
        message::<Object<Entities<'_>>, List<Object<Tagged<'_>>>>(serde_json::from_slice(record)?, needs)
    } else {
        message::<IgnoredAny, IgnoredAny>(serde_json::from_slice(record)?, needs)
    }
}

fn message<'a, E: Tags<'a>, R: Tags<'a>>(
    record: Object<Record<'a, E, R>>,
    needs: Needs,
) -> Result<Message<'a>, Unreadable> {
    let record = record.get().ok_or(Unreadable::not_object(""))?;
    match record.data {
        Object::Is(data) => event(data, record.includes, record.matching_rules, needs).map(Message::Event),
        Object::Absent => Ok(Message::Notice { title: notice_title(record.title, record.errors) }),
        Object::Other => Err(Unreadable::not_object("/data")),
    }
}

fn notice_title<'a>(title: Text<'a>, errors: First<Object<Problem<'a>>>) -> Cow<'a, str> {
    let of_error = || errors.0.and_then(Object::get).and_then(|error| error.title.0);
    title.0.or_else(of_error).unwrap_or(Cow::Borrowed("(without a title)"))
}

fn event<'a, E: Tags<'a>, R: Tags<'a>>(
    data: Data<'a, E>,
    includes: Object<Includes<'a>>,
    rules: R,
    needs: Needs,
) -> Result<Event<'a>, Unreadable> {
    let id = fields::sure(data.id, "/data/id")?;
    let time = fields::rfc3339(data.created_at, "/data/created_at")?;
    let actor = fields::actor(data.author_id, "/data/author_id", needs)?;
    let place = includes.get().and_then(|includes| includes.places.0).and_then(Object::get);
    let (place, place_type) = place.map_or((None, None), |place| (place.full_name.0, place.place_type.0));
    let references = data.referenced_tweets.0;
    Ok(Event {
        id,
        time,
        actor,
        kind: kind(&references),
        referencing: !references.is_empty(),
        place,
        place_type,
        lang: data.lang.0,
        text: data.text.0,
        tags: data.entities.tags(),
        rule_tags: rules.tags(),
    })
}

/// A tweet can refer to several: the strongest reference names it.
fn kind(references: &[Object<Reference<'_>>]) -> Kind {
    let has =
        |name: &str| references.iter().any(|r| r.peek().and_then(|r| r.kind.0.as_deref()) == Some(name));
    match () {
        () if references.is_empty() => Kind::Original,
        () if has("retweeted") => Kind::Repost,
        () if has("replied_to") => Kind::Reply,
        () if has("quoted") => Kind::Quote,
        () => Kind::Other,
    }
}

#[cfg(test)]
mod tests;
