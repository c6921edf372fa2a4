//! The `[[rule]]` and `[rules]` tables: what X's filtered stream shall match, and whose rules are ours.

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_service::settings::Section;

/// The rules, and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesConfig {
    /// The rules, in the order of the file.
    pub rules: Vec<RuleConfig>,
    /// Rules of the account whose tag begins with this are ours; without it, those whose tag is one of
    /// this file.
    pub tag_prefix: Option<String>,
    /// How many rules the account may have.
    pub max_rules: usize,
    /// Longest value of a rule.
    pub max_characters: usize,
    /// How long X takes until a change of the rules is in force everywhere.
    pub settle: Duration,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleConfig {
    /// What it matches, in X's language.
    pub value: String,
    /// Name that X puts beside each post that it matched.
    pub tag: Option<String>,
    /// Line of the configuration in which it begins.
    pub line: usize,
}

pub(super) fn read(root: &Section<'_>) -> RulesConfig {
    let limits = root.section("rules");
    let max_characters = limits.within("max_characters", 1_024_usize, 1..=100_000);
    let tag_prefix: Option<String> =
        limits.optional("tag_prefix").filter(|prefix: &String| !prefix.is_empty());
    let max_rules = limits.within("max_rules", 1_000_usize, 1..=1_000_000);
    let config = RulesConfig {
        rules: rules(root, max_characters, tag_prefix.as_deref()),
        tag_prefix,
        max_rules,
        max_characters,
        // Long enough for the "about 20 s" that X speaks of.
        settle: limits.get("settle", Duration::from_secs(30)),
    };
    if config.rules.len() > config.max_rules {
        let message = format!(
            "{} rules, but the account may have {} (max_rules)",
            config.rules.len(),
            config.max_rules
        );
        limits.problem("max_rules", &message);
    }
    config
}

fn rules(root: &Section<'_>, max_characters: usize, prefix: Option<&str>) -> Vec<RuleConfig> {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut rules = Vec::new();
    for section in root.sections("rule") {
        let rule = rule(&section);
        check_value(&section, &rule.value, max_characters);
        if let Some(first) = lines.get(&rule.value).filter(|_| !rule.value.is_empty()) {
            let message = format!("the rule of line {first} has this value already; X takes a value once");
            section.problem("value", &message);
        }
        let has = |prefix: &&str| rule.tag.as_ref().is_some_and(|tag| tag.starts_with(*prefix));
        if let Some(prefix) = prefix.filter(|prefix| !has(prefix)) {
            section.problem("tag", &format!("must begin with {prefix:?}, which rules.tag_prefix says"));
        }
        lines.entry(rule.value.clone()).or_insert(rule.line);
        rules.push(rule);
    }
    rules
}

fn rule(section: &Section<'_>) -> RuleConfig {
    let value: String = section.require("value", "\"from:NASA has:images\"");
    let tag: Option<String> = section.optional("tag");
    RuleConfig {
        value: value.trim().to_owned(),
        tag: tag.map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()),
        line: section.line().unwrap_or_default(),
    }
}

fn check_value(section: &Section<'_>, value: &str, max_characters: usize) {
    let characters = value.chars().count();
    if characters > max_characters {
        let message =
            format!("has {characters} characters, but X takes {max_characters} (rules.max_characters)");
        section.problem("value", &message);
    }
    if section.has("value") && value.is_empty() {
        section.problem("value", "is empty");
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::settings::{self, Environment};

    use super::*;

    fn parse(text: &str) -> Result<RulesConfig, Vec<(Option<usize>, String)>> {
        settings::parse("x.toml", text, &Environment::default(), read)
            .map_err(|problems| problems.list().iter().map(|p| (p.line, p.key.clone())).collect())
    }

    #[test]
    fn rules_are_read_with_their_lines() {
        let text = "[rules]\nmax_rules = 2\n\n[[rule]]\nvalue = ' a '\ntag = 't'\n[[rule]]\nvalue = 'b'\ntag = ' '\n";
        let rules = [("a", Some("t"), 4), ("b", None, 7)].map(|(value, tag, line)| RuleConfig {
            value: value.to_owned(),
            tag: tag.map(str::to_owned),
            line,
        });
        let expected = RulesConfig {
            rules: rules.to_vec(),
            tag_prefix: None,
            max_rules: 2,
            max_characters: 1024,
            settle: Duration::from_secs(30),
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn each_mistake_is_told_at_its_line() {
        let text = "[rules]\ntag_prefix = 'edge/'\nmax_characters = 3\n\
                    [[rule]]\nvalue = 'äöü'\ntag = 'edge/1'\n\
                    [[rule]]\nvalue = 'äöüß'\ntag = 'edge/2'\n\
                    [[rule]]\nvalue = ' äöü'\ntag = 'edge/3'\n\
                    [[rule]]\nvalue = ''\ntag = 'other'\n\
                    [[rule]]\ntag = 'edge/4'\n";
        let at = |line, key: &str| (Some(line), key.to_owned());
        assert_eq!(
            parse(text),
            Err(vec![
                at(8, "rule[1].value"),
                at(11, "rule[2].value"),
                at(14, "rule[3].value"),
                at(15, "rule[3].tag"),
                at(16, "rule[4].value"),
            ])
        );
    }

    #[test]
    fn too_many_rules_are_told() {
        let text = "[rules]\nmax_rules = 1\n[[rule]]\nvalue = 'a'\n[[rule]]\nvalue = 'b'\n";
        assert_eq!(parse(text), Err(vec![(Some(2), "rules.max_rules".to_owned())]));
    }
}
