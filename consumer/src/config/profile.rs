//! `[input]`: the shape of the records.

use spillway_service::settings::Section;

use crate::event;
use crate::profiles::{Custom, KindOf, PROFILES, Path, Profile, TimeForm, TimeOf};

const TIME_FORMS: [(&str, TimeForm); 4] = [
    ("rfc3339", TimeForm::Rfc3339),
    ("seconds", TimeForm::Seconds),
    ("millis", TimeForm::Millis),
    ("micros", TimeForm::Micros),
];

const CUSTOM: &str = "custom";

/// The profile.
pub(super) fn profile(input: &Section<'_>) -> Profile {
    let known: Vec<(&str, Option<Profile>)> = PROFILES
        .iter()
        .map(|(name, profile)| (*name, Some(*profile)))
        .chain(std::iter::once((CUSTOM, None)))
        .collect();
    let chosen = input.choice("profile", &known);
    let section = input.section(CUSTOM);
    match chosen {
        Some(profile) => {
            if section.is_present() {
                input.problem(CUSTOM, "belongs to profile = \"custom\"; remove it or correct the profile");
                // What is in it is not looked at; so that it is not called unknown as well.
                custom(&section);
            }
            profile
        }
        // It is read once and lives as long as the program.
        None => Profile::Custom(Box::leak(Box::new(custom(&section)))),
    }
}

fn custom(section: &Section<'_>) -> Custom {
    Custom {
        id: required(section, "id", "\"/id\""),
        time: TimeOf {
            at: required(section, "time", "\"/created_at\""),
            form: section.choice("time_form", &TIME_FORMS),
        },
        actor: one(section, "actor"),
        kind: kind(section),
        place: one(section, "place"),
        place_type: one(section, "place_type"),
        lang: one(section, "lang"),
        text: one(section, "text"),
        tags: path(section, "tags"),
        rule_tags: path(section, "rule_tags"),
    }
}

/// Where the kind stands, and the words for each.
fn kind(section: &Section<'_>) -> Option<KindOf> {
    let at = one(section, "kind");
    let words = section.section("kinds");
    let meant = |(name, kind): &(&str, event::Kind)| {
        words.one_or_more_strings(name).into_iter().map(|word| (word, *kind)).collect::<Vec<_>>()
    };
    let all: Vec<_> = event::KINDS.iter().flat_map(meant).collect();
    if at.is_none() && !all.is_empty() {
        section.problem("kinds", "says what words mean, but kind does not say where they stand; add it");
    }
    at.map(|at| KindOf { at, words: all })
}

fn required(section: &Section<'_>, key: &str, example: &str) -> Path {
    if !section.has(key) {
        let _: String = section.require(key, example);
    }
    one(section, key).unwrap_or_default()
}

/// A path that leads to one value.
fn one(section: &Section<'_>, key: &str) -> Option<Path> {
    let path = path(section, key)?;
    if path.is_many() {
        section.problem(key, "must lead to one value, so there can be no * in it");
    }
    Some(path)
}

fn path(section: &Section<'_>, key: &str) -> Option<Path> {
    let text: String = section.optional(key)?;
    let path = Path::parse(&text);
    if path.is_none() {
        section.problem(
            key,
            &format!("{text:?} is no JSON pointer; use one such as \"/user/id\", with ~0 for ~ and ~1 for /"),
        );
    }
    path
}
