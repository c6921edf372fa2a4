//! Wikimedia's recent changes (`mediawiki/recentchange`). The place of a change is its wiki, such as
//! `enwiki`, of the type `wiki`; its language is the one that the wiki is in, where a wiki has one; its
//! text is the comment. Test events of the operators are notices.

use std::borrow::Cow;

use serde::Deserialize;

use super::fields;
use super::lenient::{Object, Text};
use crate::event::{Event, Kind, Message, Needs, Unreadable};

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default, borrow)]
    meta: Object<Meta<'a>>,
    #[serde(default, borrow, rename = "type")]
    change: Text<'a>,
    #[serde(default, borrow)]
    user: Text<'a>,
    #[serde(default, borrow)]
    wiki: Text<'a>,
    #[serde(default, borrow)]
    comment: Text<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(default, borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    dt: Text<'a>,
    #[serde(default, borrow)]
    domain: Text<'a>,
}

/// The domain of test events.
const CANARY: &str = "canary";

/// Projects with a wiki for each language, named by its code.
const BY_LANGUAGE: [&str; 8] = [
    "wikipedia.org",
    "wiktionary.org",
    "wikibooks.org",
    "wikinews.org",
    "wikiquote.org",
    "wikisource.org",
    "wikiversity.org",
    "wikivoyage.org",
];

pub(super) fn read(record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
    let record: Object<Record<'_>> = serde_json::from_slice(record)?;
    let record = record.get().ok_or_else(|| Unreadable::not_object(""))?;
    let meta = record.meta.get().ok_or_else(|| Unreadable::not_object("/meta"))?;
    if meta.domain.0.as_deref() == Some(CANARY) {
        return Ok(Message::Notice { title: Cow::Borrowed(CANARY) });
    }
    let kind = match record.change.0.as_deref() {
        Some("edit" | "new") => Kind::Original,
        _ => Kind::Other,
    };
    Ok(Message::Event(Event {
        id: fields::sure(meta.id, "/meta/id")?,
        time: fields::rfc3339(meta.dt, "/meta/dt")?,
        actor: fields::actor(record.user, "/user", needs)?,
        kind,
        referencing: false,
        place_type: record.wiki.0.is_some().then_some(Cow::Borrowed("wiki")),
        place: record.wiki.0,
        lang: meta.domain.0.as_deref().and_then(language).map(|code| Cow::Owned(code.to_owned())),
        text: record.comment.0,
        tags: Vec::new(),
        rule_tags: Vec::new(),
    }))
}

/// `en` of `en.wikipedia.org`, and of `en.m.wikipedia.org`.
fn language(domain: &str) -> Option<&str> {
    let (code, rest) = domain.split_once('.')?;
    let project = rest.strip_prefix("m.").unwrap_or(rest);
    (BY_LANGUAGE.contains(&project) && code != "www").then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiki_has_the_language_of_its_domain_if_its_project_has_languages() {
        assert_eq!(language("en.wikipedia.org"), Some("en"));
        assert_eq!(language("zh-yue.m.wiktionary.org"), Some("zh-yue"));
        for none in ["commons.wikimedia.org", "www.wikidata.org", "www.wikisource.org", "wikipedia.org", ""] {
            assert_eq!(language(none), None, "{none}");
        }
    }

    #[test]
    fn a_test_event_is_a_notice_even_without_an_id() {
        let canary = br#"{"meta":{"domain":"canary"}}"#;
        assert!(matches!(read(canary, Needs::default()), Ok(Message::Notice { title }) if title == "canary"));
    }
}
