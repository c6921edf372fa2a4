//! What has to be done so that the account has the configuration's rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::{RuleConfig, RulesConfig};

/// A rule as the account has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// X's id.
    pub id: String,
    /// What it matches.
    pub value: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Which rules of the account are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    tags: BTreeSet<String>,
    prefix: Option<String>,
    prune: bool,
}

impl Owner {
    /// By the configuration; with `prune` all rules of the account are ours.
    #[must_use]
    pub fn new(config: &RulesConfig, prune: bool) -> Self {
        let tags = config.rules.iter().filter_map(|rule| rule.tag.clone()).collect();
        Self { tags, prefix: config.tag_prefix.clone(), prune }
    }

    fn owns(&self, rule: &Rule) -> bool {
        let by_tag = |tag: &str| match &self.prefix {
            Some(prefix) => tag.starts_with(prefix.as_str()),
            None => self.tags.contains(tag),
        };
        self.prune || rule.tag.as_deref().is_some_and(by_tag)
    }
}

/// A rule of the account that gets another tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retag {
    /// As it is.
    pub rule: Rule,
    /// As it shall be.
    pub wanted: RuleConfig,
}

impl Retag {
    /// A rule with the new tag that matches what this one matches. X takes a value only once; parentheses
    /// make it another value with the same meaning.
    #[must_use]
    pub fn stand_in(&self) -> RuleConfig {
        RuleConfig { value: format!("({})", self.wanted.value), ..self.wanted.clone() }
    }
}

/// What has to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rules that the account does not have, in the order of the configuration.
    pub add: Vec<RuleConfig>,
    /// Rules with another tag than they shall have.
    pub retag: Vec<Retag>,
    /// Our rules that the configuration does not have, in X's order.
    pub delete: Vec<Rule>,
    /// Rules that are as they shall be.
    pub unchanged: Vec<Rule>,
    /// Rules that others made.
    pub foreign: Vec<Rule>,
}

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Add these.
    Add(Vec<RuleConfig>),
    /// Delete these.
    Delete(Vec<Rule>),
    /// Delete these and add them again with another tag. While that is done, [`Retag::stand_in`]s match the
    /// same posts.
    Exchange(Vec<Retag>),
    /// The same without anything in between: posts that only these rules match may be missed.
    Replace(Vec<Retag>),
}

/// More rules than the account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the account would have {after} rules, {foreign} of them not ours, but may have {max} (rules.max_rules); \
     take some out, or delete what is not ours with --prune"
)]
pub struct TooMany {
    /// Rules after the change.
    pub after: usize,
    /// Those of them that others made.
    pub foreign: usize,
    /// The limit.
    pub max: usize,
}

impl Plan {
    /// Compares the configuration's rules with the account's.
    #[must_use]
    pub fn new(wanted: &[RuleConfig], account: &[Rule], owner: &Owner) -> Self {
        let mut plan = Self::default();
        let mut missing: BTreeMap<&str, &RuleConfig> =
            wanted.iter().map(|rule| (rule.value.as_str(), rule)).collect();
        for rule in best_first(account, wanted) {
            match missing.remove(rule.value.trim()) {
                Some(wanted) if wanted.tag == tag_of(rule) => plan.unchanged.push(rule.clone()),
                Some(wanted) => plan.retag.push(Retag { rule: rule.clone(), wanted: wanted.clone() }),
                None if owner.owns(rule) => plan.delete.push(rule.clone()),
                None => plan.foreign.push(rule.clone()),
            }
        }
        plan.add = wanted.iter().filter(|rule| missing.contains_key(rule.value.as_str())).cloned().collect();
        plan
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.retag.is_empty() && self.delete.is_empty()
    }

    /// How many rules the account has now.
    #[must_use]
    pub fn before(&self) -> usize {
        self.retag.len() + self.delete.len() + self.unchanged.len() + self.foreign.len()
    }

    /// How many it will have.
    #[must_use]
    pub fn after(&self) -> usize {
        self.add.len() + self.before() - self.delete.len()
    }

    /// The work in its order: what is new comes before what goes, if the account has room for both, so
    /// that a post that an old and a new rule match is not missed in between. With `at_once` no rule stands
    /// in for another.
    ///
    /// # Errors
    /// When the account would have too many rules.
    pub fn steps(&self, limits: &RulesConfig, at_once: bool) -> Result<Vec<Step>, TooMany> {
        let (after, max) = (self.after(), limits.max_rules);
        if after > max {
            return Err(TooMany { after, foreign: self.foreign.len(), max });
        }
        let room = max.saturating_sub(self.before()).min(self.add.len());
        let (first, later) = self.add.split_at(room);
        let can = |retag: &&Retag| !at_once && self.can_stand_in(retag, limits.max_characters);
        let (mut exchange, mut replace): (Vec<_>, Vec<_>) = self.retag.iter().cloned().partition(|r| can(&r));
        // Rounds of a minute each for as many as there is room for would take hours where it matters.
        if exchange.len() > max - after {
            replace.append(&mut exchange);
        }
        let steps = [
            Step::Add(first.to_vec()),
            Step::Delete(self.delete.clone()),
            Step::Add(later.to_vec()),
            Step::Exchange(exchange),
            Step::Replace(replace),
        ];
        Ok(steps.into_iter().filter(|step| !step.is_empty()).collect())
    }

    fn can_stand_in(&self, retag: &Retag, max_characters: usize) -> bool {
        let RuleConfig { value, .. } = retag.stand_in();
        let kept = self.unchanged.iter().chain(&self.foreign).chain(self.retag.iter().map(|r| &r.rule));
        let mut values = kept.map(|rule| &rule.value).chain(self.add.iter().map(|rule| &rule.value));
        value.chars().count() <= max_characters && values.all(|other| other.trim() != value)
    }
}

impl Step {
    fn is_empty(&self) -> bool {
        match self {
            Self::Add(rules) => rules.is_empty(),
            Self::Delete(rules) => rules.is_empty(),
            Self::Exchange(rules) | Self::Replace(rules) => rules.is_empty(),
        }
    }
}

/// The account's rules, those before the others whose tag is as wanted: should X have a value twice, the
/// one that is right stays.
fn best_first<'a>(account: &'a [Rule], wanted: &[RuleConfig]) -> impl Iterator<Item = &'a Rule> {
    let right: BTreeSet<(&str, Option<&str>)> =
        wanted.iter().map(|rule| (rule.value.as_str(), rule.tag.as_deref())).collect();
    let is_right = |rule: &&Rule| right.contains(&(rule.value.trim(), tag_of(rule).as_deref()));
    let (right, other): (Vec<_>, Vec<_>) = account.iter().partition(is_right);
    right.into_iter().chain(other)
}

/// An empty tag is none.
fn tag_of(rule: &Rule) -> Option<String> {
    rule.tag.as_ref().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests;
