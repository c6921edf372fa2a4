//! The rules of an account, and the endpoints that read and change them.
//!
//! As X does: a rule cannot be changed, only added and deleted; a batch with an invalid rule creates
//! nothing; a duplicate is told with the id of the rule that it repeats, and the others are created;
//! `dry_run` answers the same and changes nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::super::dialect::{Reply, rfc3339};
use super::super::now_ms;
use super::problem;
use crate::http::Request;

const PROBLEMS: &str = "https://api.twitter.com/2/problems";
const PAGE_MAX: usize = 1_000;

/// A rule of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// X's id of it.
    pub id: String,
    /// What it matches.
    pub value: String,
    /// What its matches are called.
    pub tag: Option<String>,
}

/// A change that was asked for, whether it was made or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `add`, `delete`, or `try` for either of them as a dry run.
    pub what: &'static str,
    /// How many rules it named.
    pub named: usize,
    /// The rules afterwards.
    pub rules: Vec<Rule>,
}

#[derive(Debug)]
struct Account {
    rules: Vec<Rule>,
    /// Rules created so far.
    created: u64,
    rules_max: usize,
    chars_max: usize,
    changes: Vec<Change>,
    refusal: Option<Reply>,
}

/// The rules of an account; clones share them.
#[derive(Debug, Clone)]
pub struct Rules(Arc<Mutex<Account>>);

impl Rules {
    /// An account with these rules: values and tags, or `None` for no tag.
    #[must_use]
    pub fn new<'a, T: Into<Option<&'a str>>>(rules: impl IntoIterator<Item = (&'a str, T)>) -> Self {
        Self::limited(rules, 1_000, 1_024)
    }

    /// An account that may have `rules_max` rules of `chars_max` characters.
    #[must_use]
    pub fn limited<'a, T: Into<Option<&'a str>>>(
        rules: impl IntoIterator<Item = (&'a str, T)>,
        rules_max: usize,
        chars_max: usize,
    ) -> Self {
        let mut account = Account {
            rules: Vec::new(),
            created: 0,
            rules_max,
            chars_max,
            changes: Vec::new(),
            refusal: None,
        };
        for (value, tag) in rules {
            let rule = account.create(value, tag.into());
            account.rules.push(rule);
        }
        Self(Arc::new(Mutex::new(account)))
    }

    /// The rules as they are now, in the order of their creation.
    #[must_use]
    pub fn list(&self) -> Vec<Rule> {
        self.lock().rules.clone()
    }

    /// Deletes every rule, as somebody else might.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// The changes that were asked for since the last call.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    /// From now on answers every request for the rules like this, instead of doing what it asks for.
    pub fn refuse(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.lock().refusal = Some(Reply {
            status,
            content_type: "application/json; charset=utf-8",
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to `GET …/rules`.
    pub(super) fn page(&self, request: &Request) -> Reply {
        if let Some(refusal) = self.lock().refusal.clone() {
            return refusal;
        }
        let rules = self.list();
        let ids = request.query("ids").map(|ids| ids.replace("%2C", ","));
        let wanted = |rule: &&Rule| ids.as_ref().is_none_or(|ids| ids.split(',').any(|id| id == rule.id));
        let from = request.query("pagination_token").and_then(|token| token.parse().ok()).unwrap_or(0);
        let size = request.query("max_results").and_then(|size| size.parse().ok()).unwrap_or(PAGE_MAX);
        let page: Vec<Value> = rules.iter().filter(wanted).skip(from).take(size).map(shown).collect();
        let mut meta = json!({"sent": rfc3339(now_ms()), "result_count": page.len()});
        if from + page.len() < rules.iter().filter(wanted).count() {
            meta["next_token"] = json!((from + page.len()).to_string());
        }
        let mut body = json!({"meta": meta});
        if !page.is_empty() {
            body["data"] = json!(page);
        }
        Reply::json(200, &body)
    }

    /// The answer to `GET …/rules/counts`.
    pub(super) fn counts(&self) -> Reply {
        let account = self.lock();
        let (count, max) = (account.rules.len(), account.rules_max);
        let app = json!({"client_app_id": "1", "rule_count": count});
        let data = json!({
            "cap_per_client_app": max, "cap_per_project": max, "project_rules_count": count,
            "client_app_rules_count": app, "all_project_client_apps": [app]
        });
        Reply::json(200, &json!({"data": data}))
    }

    /// The answer to `POST …/rules`.
    pub(super) fn post(&self, request: &Request) -> Reply {
        let dry_run = request.query("dry_run") == Some("true");
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut account = self.lock();
        if let Some(refusal) = account.refusal.clone() {
            return refusal;
        }
        let (what, named, (reply, rules)) = if let Some(add) = body["add"].as_array() {
            ("add", add.len(), account.add(add))
        } else if let Some(delete) = body.get("delete") {
            ("delete", named(delete).count(), account.delete(delete))
        } else {
            let detail = "One or more parameters to your request was invalid.";
            return problem(400, "Invalid Request", detail, "invalid-request");
        };
        if !dry_run {
            account.rules = rules;
        }
        let rules = account.rules.clone();
        account.changes.push(Change { what: if dry_run { "try" } else { what }, named, rules });
        reply
    }
}

impl Account {
    fn create(&mut self, value: &str, tag: Option<&str>) -> Rule {
        self.created += 1;
        let id = (1_800_000_000_000_000_000 + self.created).to_string();
        Rule { id, value: value.to_owned(), tag: tag.map(str::to_owned) }
    }

    /// The answer, and the rules as they are then.
    fn add(&mut self, add: &[Value]) -> (Reply, Vec<Rule>) {
        let (mut rules, mut created, mut errors) = (self.rules.clone(), Vec::new(), Vec::new());
        let mut invalid = 0;
        for wanted in add {
            let value = wanted["value"].as_str().unwrap_or_default();
            if let Some(detail) = fault(value, self.chars_max) {
                invalid += 1;
                errors.push(json!({
                    "value": value, "details": [detail], "title": "UnprocessableEntity",
                    "type": format!("{PROBLEMS}/invalid-rules")
                }));
            } else if let Some(own) = rules.iter().find(|rule| rule.value == value) {
                errors.push(json!({
                    "value": value, "id": own.id, "title": "DuplicateRule",
                    "type": format!("{PROBLEMS}/duplicate-rules")
                }));
            } else {
                let rule = self.create(value, wanted["tag"].as_str());
                created.push(shown(&rule));
                rules.push(rule);
            }
        }
        if rules.len() > self.rules_max {
            let detail = format!("You have exceeded the maximum number of rules ({}).", self.rules_max);
            return (problem(422, "RulesCapProblem", &detail, "rule-cap"), self.rules.clone());
        }
        let valid = created.len();
        if invalid > 0 {
            created.clear();
            rules = self.rules.clone();
        }
        let summary = json!({
            "created": created.len(), "not_created": add.len() - created.len(),
            "valid": valid, "invalid": add.len() - valid
        });
        let mut body = json!({"meta": {"sent": rfc3339(now_ms()), "summary": summary}});
        if !created.is_empty() {
            body["data"] = json!(created);
        }
        if !errors.is_empty() {
            body["errors"] = json!(errors);
        }
        let status = if invalid > 0 {
            400
        } else if created.is_empty() {
            200
        } else {
            201
        };
        (Reply::json(status, &body), rules)
    }

    /// By ids or by values.
    fn delete(&self, delete: &Value) -> (Reply, Vec<Rule>) {
        let names: HashSet<&str> = named(delete).collect();
        let is_named = |rule: &Rule| names.contains(&rule.id[..]) || names.contains(&rule.value[..]);
        let kept: Vec<Rule> = self.rules.iter().filter(|rule| !is_named(rule)).cloned().collect();
        let deleted = self.rules.len() - kept.len();
        let there = |name: &&str| self.rules.iter().any(|rule| rule.id == *name || rule.value == *name);
        let errors: Vec<Value> = named(delete)
            .filter(|name| !there(name))
            .map(|name| {
                json!({
                    "value": name, "title": "Invalid Request", "detail": "Rule does not exist",
                    "type": format!("{PROBLEMS}/invalid-request")
                })
            })
            .collect();
        let summary = json!({"deleted": deleted, "not_deleted": errors.len()});
        let mut body = json!({"meta": {"sent": rfc3339(now_ms()), "summary": summary}});
        if !errors.is_empty() {
            body["errors"] = json!(errors);
        }
        (Reply::json(200, &body), kept)
    }
}

/// The ids and values in a request to delete.
fn named(delete: &Value) -> impl Iterator<Item = &str> {
    let list = |name: &str| delete[name].as_array().into_iter().flatten();
    list("ids").chain(list("values")).filter_map(Value::as_str)
}

fn shown(rule: &Rule) -> Value {
    let mut shown = json!({"id": rule.id, "value": rule.value});
    if let Some(tag) = &rule.tag {
        shown["tag"] = json!(tag);
    }
    shown
}

/// What X would not accept about a rule.
fn fault(value: &str, chars_max: usize) -> Option<String> {
    let count = |letter| value.matches(letter).count();
    if value.trim().is_empty() {
        Some("Rule must not be empty".into())
    } else if value.chars().count() > chars_max {
        Some(format!("Rule must be at most {chars_max} characters long"))
    } else if count('"') % 2 != 0 || count('(') != count(')') {
        Some("Rule has quotes or parentheses without a partner".into())
    } else if value.split_whitespace().any(|word| word.ends_with(':')) {
        Some("Rule has an operator without an argument".into())
    } else {
        None
    }
}
