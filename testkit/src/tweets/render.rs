//! Writes a post as one line of JSON in X's shape. By hand rather than through a tree of values:
//! the order of keys is part of what is simulated, and the benchmarks want it fast.

use std::fmt::Write as _;

use chrono::DateTime;

use super::compose::{Author, Post, Reference, username};
use super::world::Place;
use crate::rng::Rng;

/// Share of records whose non-ASCII text is escaped as a backslash, `u` and four digits, as some recorders write it.
const ESCAPED_SHARE: f64 = 0.1;

/// What people say of themselves.
const DESCRIPTIONS: [&str; 5] = [
    "",
    "Trains, tea & tiny dogs. Opinions are borrowed.",
    "写真と散歩。無言フォロー失礼します 📷",
    "Periodista. Aquí hablo de fútbol, libros y del precio del aceite. Lo demás, por correo.",
    "Reporting from wherever the queue is longest.\n\"If it is not written down, it did not happen.\" — my editor, twice a day",
];

/// The line, without its end.
pub(super) fn render(post: &Post, rng: &mut Rng) -> String {
    let ascii = rng.chance(ESCAPED_SHARE);
    let mut out = Json { out: String::with_capacity(2048), ascii };
    out.raw("{\"data\":{");
    out.data(post, rng);
    out.raw("}");
    out.includes(post, rng);
    out.rules(post);
    out.raw("}");
    out.out
}

/// The time as X writes it: whole seconds, milliseconds always zero.
fn created_at(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

struct Json {
    out: String,
    ascii: bool,
}

impl Json {
    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A string in quotes, escaped.
    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                c if c.is_control() || (self.ascii && !c.is_ascii()) => self.escaped(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// Beyond the basic plane JSON needs a surrogate pair.
    fn escaped(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }

    fn number_field(&mut self, key: &str, value: u64) {
        let _ = write!(self.out, "\"{key}\":{value}");
    }

    /// `"key":"value"`, the value an id.
    fn id_field(&mut self, key: &str, id: u64) {
        let _ = write!(self.out, "\"{key}\":\"{id}\"");
    }

    fn string_field(&mut self, key: &str, value: &str) {
        let _ = write!(self.out, "\"{key}\":");
        self.string(value);
    }

    /// What `each` writes for the items, with commas between.
    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            each(self, item);
        }
        self.raw("]");
    }

    /// The members of `data`, which come in no fixed order.
    fn data(&mut self, post: &Post, rng: &mut Rng) {
        let mut members: Vec<fn(&mut Self, &Post, &mut Rng)> = vec![
            |o, p, _| o.id_field("id", p.id),
            |o, p, _| o.id_field("author_id", p.author.id),
            |o, p, _| o.string_field("text", &p.text),
            |o, p, _| o.string_field("created_at", &created_at(p.created_ms)),
            |o, p, _| o.string_field("lang", p.lang),
            |o, p, _| o.id_field("conversation_id", p.reference.as_ref().map_or(p.id, |(_, _, id)| *id)),
            |o, _, _| o.raw("\"possibly_sensitive\":false,\"reply_settings\":\"everyone\""),
            |o, p, _| {
                let _ = write!(o.out, "\"edit_history_tweet_ids\":[\"{}\"]", p.id);
            },
        ];
        if post.reference.is_some() {
            members.push(Self::referenced_tweets);
        }
        if post.place.is_some() && !post.place_is_borrowed {
            members.push(Self::geo);
        }
        if !post.hashtags.is_empty() {
            members.push(Self::entities);
        }
        if !post.annotations.is_empty() {
            members.push(Self::annotations);
        }
        if post.with_users {
            members.push(Self::metrics);
        }
        let first = rng.index(members.len());
        members.rotate_left(first);
        for (i, member) in members.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            member(self, post, rng);
        }
    }

    fn referenced_tweets(&mut self, post: &Post, _: &mut Rng) {
        if let Some((kind, _, id)) = &post.reference {
            let _ =
                write!(self.out, "\"referenced_tweets\":[{{\"type\":\"{}\",\"id\":\"{id}\"}}]", kind.name());
        }
    }

    fn geo(&mut self, post: &Post, _: &mut Rng) {
        if let Some(place) = post.place {
            let _ = write!(self.out, "\"geo\":{{\"place_id\":\"{}\"}}", place_id(place));
        }
    }

    fn entities(&mut self, post: &Post, _: &mut Rng) {
        self.raw("\"entities\":{\"hashtags\":");
        self.list(&post.hashtags, |o, tag| {
            let (start, end) = position(&post.text, tag);
            o.raw("{");
            let _ = write!(o.out, "\"start\":{start},\"end\":{end},");
            o.string_field("tag", tag);
            o.raw("}");
        });
        self.raw("}");
    }

    fn annotations(&mut self, post: &Post, rng: &mut Rng) {
        self.raw("\"context_annotations\":");
        self.list(&post.annotations, |o, (domain, entity)| {
            o.raw("{\"domain\":{");
            o.id_field("id", 40 + rng.below(120));
            o.raw(",");
            o.string_field("name", domain);
            o.raw(",\"description\":\"Entities of this kind, as the annotator of posts groups them\"},\"entity\":{");
            o.id_field("id", 700_000_000_000_000_000 + rng.below(1 << 58));
            o.raw(",");
            o.string_field("name", entity);
            o.raw("}}");
        });
    }

    fn metrics(&mut self, _: &Post, rng: &mut Rng) {
        self.raw("\"public_metrics\":{");
        for key in ["retweet_count", "reply_count", "like_count", "quote_count", "bookmark_count"] {
            let range = rng.below(300) + 1;
            self.number_field(key, rng.below(range));
            self.raw(",");
        }
        self.number_field("impression_count", rng.below(20_000));
        self.raw("}");
    }

    fn includes(&mut self, post: &Post, rng: &mut Rng) {
        if !post.with_users && post.place.is_none() {
            return;
        }
        self.raw(",\"includes\":{");
        if post.with_users {
            self.raw("\"users\":");
            let mut people = vec![post.author];
            people.extend(post.reference.as_ref().map(|(_, author, _)| *author));
            self.list(&people, |o, author| o.user(author, rng));
            self.original(post);
        }
        if let Some(place) = post.place {
            if post.with_users {
                self.raw(",");
            }
            self.raw("\"places\":");
            let places: Vec<&Place> = [Some(place), post.second_place].into_iter().flatten().collect();
            self.list(&places, |o, place| o.place(place));
        }
        self.raw("}");
    }

    fn user(&mut self, author: &Author, rng: &mut Rng) {
        let name = username(author);
        self.raw("{");
        self.id_field("id", author.id);
        self.raw(",");
        self.string_field("username", &name);
        self.raw(",");
        self.string_field("name", &name.replace('_', " "));
        self.raw(",");
        self.string_field("description", DESCRIPTIONS[author.rank % DESCRIPTIONS.len()]);
        let _ = write!(self.out, ",\"verified\":{},\"public_metrics\":{{", author.rank < 50);
        self.number_field("followers_count", rng.below(1 << 14));
        self.raw(",");
        self.number_field("tweet_count", rng.below(1 << 16));
        let _ = write!(
            self.out,
            "}},\"created_at\":\"20{:02}-0{}-17T08:30:00.000Z\"}}",
            8 + author.rank % 17,
            1 + author.rank % 9
        );
    }

    /// The post referred to, when the expansion brings it: the larger records.
    fn original(&mut self, post: &Post) {
        let Some((kind, author, id)) = &post.reference else { return };
        self.raw(",\"tweets\":[{");
        self.id_field("id", *id);
        self.raw(",");
        self.id_field("author_id", author.id);
        self.raw(",");
        self.string_field("lang", post.lang);
        self.raw(",");
        match kind {
            Reference::Retweeted => {
                self.string_field("text", post.text.split_once(": ").map_or("", |(_, text)| text))
            }
            _ => self.string_field("text", "The post that this one is about."),
        }
        self.raw("}]");
    }

    fn place(&mut self, place: &Place) {
        self.raw("{");
        self.string_field("id", &place_id(place));
        for (key, value) in [
            ("full_name", place.full_name),
            ("name", place.full_name.split(',').next().unwrap_or("")),
            ("place_type", place.kind),
            ("country", place.country),
            ("country_code", place.code),
        ] {
            self.raw(",");
            self.string_field(key, value);
        }
        self.raw("}");
    }

    fn rules(&mut self, post: &Post) {
        self.raw(",\"matching_rules\":");
        self.list(&post.rules, |o, (id, tag)| {
            o.raw("{");
            o.string_field("id", id);
            match tag {
                Some(tag) => {
                    o.raw(",");
                    o.string_field("tag", tag);
                }
                None => o.raw(",\"tag\":null"),
            }
            o.raw("}");
        });
    }
}

/// Sixteen hexadecimal digits, as X's place ids.
fn place_id(place: &Place) -> String {
    format!("{:016x}", crate::hash(format!("{} {}", place.kind, place.full_name).as_bytes()))
}

/// Where `#tag` stands in the text, in characters, the `#` included, the end exclusive.
fn position(text: &str, tag: &str) -> (usize, usize) {
    let is_tag = |at: &usize| {
        let rest = text[at + 1..].strip_prefix(tag);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let at = text.match_indices('#').map(|(at, _)| at).find(is_tag);
    let start = at.map_or(0, |at| text[..at].chars().count());
    (start, start + 1 + tag.chars().count())
}
