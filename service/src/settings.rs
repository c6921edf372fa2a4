//! Reads a TOML configuration so that a person gets every error at once, each with its line and with
//! what to do about it.
//!
//! A program describes its settings as straight code over [`Section`]s: each getter returns a value
//! even when the file is wrong and notes the problem, so that the next setting is still looked at;
//! [`read`] then returns either the whole result or all problems. Keys that no getter asked for are
//! problems too. Each scalar outside an array of tables can be overridden by an environment variable:
//! `source.url` by `SPILLWAY_SOURCE_URL`.

mod changes;
mod problem;
mod value;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use changes::Written;
pub use problem::{Problem, Problems};
pub use value::{Setting, Size};

use crate::errors;
use crate::secret::{self, Secret};

/// Prefix of the environment variables that override settings.
pub const ENV_PREFIX: &str = "SPILLWAY_";

/// The environment as it was when the program began; tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process that can matter; such that are no Unicode are left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }

    /// Whether a variable overrides the setting of this name, such as `kafka.brokers`: what a file says of it
    /// is not in force then.
    #[must_use]
    pub fn overrides(&self, setting: &str) -> bool {
        self.get(&variable_of(setting)).is_some()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The variable that overrides the setting of this name.
fn variable_of(setting: &str) -> String {
    format!("{ENV_PREFIX}{}", setting.replace(['.', '-'], "_").to_uppercase())
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let wanted = |k: &str| k.starts_with(ENV_PREFIX) || k == "CREDENTIALS_DIRECTORY";
        Self(pairs.into_iter().filter(|(k, _)| wanted(k)).collect())
    }
}

/// Reads the file at `path` and builds the program's own configuration from it.
///
/// # Errors
/// All problems of the file, in the order of their lines.
pub fn read<T>(path: &Path, env: &Environment, build: impl FnOnce(&Section<'_>) -> T) -> Result<T, Problems> {
    parse(&path.display().to_string(), &read_text(path)?, env, build)
}

/// The text of the file at `path`.
///
/// # Errors
/// One problem that says why it cannot be read.
pub fn read_text(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot be read: {error}; give the path of a configuration file");
        Problems::single(&path.display().to_string(), message)
    })
}

/// As [`read`], from text; `name` stands for the file in messages.
///
/// # Errors
/// All problems of the text, in the order of their lines.
pub fn parse<T>(
    name: &str,
    text: &str,
    env: &Environment,
    build: impl FnOnce(&Section<'_>) -> T,
) -> Result<T, Problems> {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let ctx = Context { text, env, problems: RefCell::default(), env_asked: RefCell::default() };
    for error in &syntax {
        let message = format!("not TOML: {}", error.message());
        ctx.note(error.span().map(|s| s.start), "", &message);
    }
    // A file that is no TOML has holes: what would be said of missing keys is not true of it.
    let built = syntax.is_empty().then(|| {
        let section = Section::new(&ctx, String::new(), Some(root.get_ref()), None, true);
        build(&section)
    });
    ctx.note_unused_variables();
    match built {
        Some(built) if ctx.problems.borrow().is_empty() => Ok(built),
        _ => Err(Problems::new(name, ctx.problems.into_inner())),
    }
}

/// What all sections of one file share.
struct Context<'a> {
    text: &'a str,
    env: &'a Environment,
    problems: RefCell<Vec<Problem>>,
    env_asked: RefCell<BTreeSet<String>>,
}

impl Context<'_> {
    fn note(&self, offset: Option<usize>, key: &str, message: &str) {
        let line = offset.map(|at| self.line_of(at));
        self.problems.borrow_mut().push(Problem { line, key: key.to_owned(), message: message.to_owned() });
    }

    fn line_of(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    /// A mistyped override that is silently ignored is worse than none.
    fn note_unused_variables(&self) {
        let asked = self.env_asked.borrow();
        // Nothing was asked when the file was no TOML.
        if asked.is_empty() {
            return;
        }
        for name in self.env.0.keys().filter(|k| k.starts_with(ENV_PREFIX) && *k != "SPILLWAY_SAMPLES") {
            if !asked.contains(name) {
                let hint = problem::nearest(name, asked.iter().map(String::as_str));
                self.note(None, "", &format!("environment variable {name} overrides no setting{hint}"));
            }
        }
    }
}

/// One table of the file. When it is dropped, the keys that nobody asked for become problems.
pub struct Section<'a> {
    ctx: &'a Context<'a>,
    path: String,
    table: Option<&'a DeTable<'a>>,
    start: Option<usize>,
    overridable: bool,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Section<'a> {
    fn new(
        ctx: &'a Context<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
        start: Option<usize>,
        overridable: bool,
    ) -> Self {
        Self { ctx, path, table, start, overridable, asked: RefCell::default() }
    }

    /// Whether the file has this section at all.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// The line of the file in which the section begins, from 1; `None` when it is not in the file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.start.map(|at| self.ctx.line_of(at))
    }

    /// Whether the section sets `key`, in the file or by the environment.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.override_of(key).is_some() || self.raw(key).is_some()
    }

    /// A setting with a default.
    pub fn get<T: Setting>(&self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A setting that must be there; `example` is shown when it is not.
    pub fn require<T: Setting + Default>(&self, key: &str, example: &str) -> T {
        if !self.has(key) {
            self.asked.borrow_mut().insert(key.to_owned());
            self.problem(key, &format!("missing; add it, for example: {key} = {example}"));
            return T::default();
        }
        self.optional(key).unwrap_or_default()
    }

    /// A setting that may be absent; also `None` when it is there but wrong, which is then noted.
    pub fn optional<T: Setting>(&self, key: &str) -> Option<T> {
        self.asked.borrow_mut().insert(key.to_owned());
        let read = match self.override_of(key) {
            Some((name, text)) => {
                T::from_text(text).map_err(|wanted| format!("{name}={text:?} is not {wanted}"))
            }
            None => T::from_value(self.raw(key)?.get_ref()).map_err(|wanted| format!("must be {wanted}")),
        };
        read.map_err(|message| self.problem(key, &message)).ok()
    }

    /// A setting with a default and limits.
    pub fn within<T: Setting + PartialOrd + Display + Copy>(
        &self,
        key: &str,
        default: T,
        limits: RangeInclusive<T>,
    ) -> T {
        let value = self.get(key, default);
        if !limits.contains(&value) {
            self.problem(
                key,
                &format!("{value} is out of range; use {} to {}", limits.start(), limits.end()),
            );
        }
        value
    }

    /// One of several words. The first is the default.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> T {
        let word: Option<String> = self.optional(key);
        let Some(word) = word else { return choices[0].1 };
        match choices.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
                self.problem(key, &format!("{word:?} is unknown; use one of {}", names.join(", ")));
                choices[0].1
            }
        }
    }

    /// A list of strings; empty when absent.
    pub fn strings(&self, key: &str) -> Vec<String> {
        self.asked.borrow_mut().insert(key.to_owned());
        let Some(value) = self.raw(key) else { return Vec::new() };
        let items = value
            .get_ref()
            .as_array()
            .map(|a| a.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect());
        match items {
            Some(Some(items)) => items,
            _ => {
                self.problem(key, "must be a list of strings, such as [\"a\", \"b\"]");
                Vec::new()
            }
        }
    }

    /// A table of strings with free keys, in the order of the keys; numbers and booleans count as text.
    pub fn string_map(&self, key: &str) -> Vec<(String, String)> {
        let section = self.section(key);
        let keys: Vec<String> =
            section.table.map_or_else(Vec::new, |t| t.keys().map(|k| k.get_ref().to_string()).collect());
        keys.into_iter().filter_map(|k| section.optional::<value::Scalar>(&k).map(|v| (k, v.0))).collect()
    }

    /// A table inside this one; one without keys when it is absent.
    pub fn section(&self, key: &str) -> Section<'a> {
        self.asked.borrow_mut().insert(key.to_owned());
        let raw = self.raw(key);
        let table = raw.and_then(|v| v.get_ref().as_table());
        if raw.is_some() && table.is_none() {
            self.problem(key, &format!("must be a table: [{}]", self.name_of(key)));
        }
        Section::new(self.ctx, self.name_of(key), table, self.start_of(key), self.overridable)
    }

    /// The tables of an array of tables, `[[key]]`, in their order.
    pub fn sections(&self, key: &str) -> Vec<Section<'a>> {
        self.asked.borrow_mut().insert(key.to_owned());
        let Some(value) = self.raw(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.problem(key, &format!("must be tables: [[{}]]", self.name_of(key)));
            return Vec::new();
        };
        let open = |(i, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let path = format!("{}[{i}]", self.name_of(key));
            let table = item.get_ref().as_table();
            if table.is_none() {
                self.problem(key, &format!("must be tables: [[{}]]", self.name_of(key)));
            }
            Section::new(self.ctx, path, table, Some(item.span().start), false)
        };
        items.iter().enumerate().map(open).collect()
    }

    /// A table that may be there several times: `[key]`, or `[[key]]` for each. One without keys when it is
    /// absent. Only a single one can be overridden by the environment.
    pub fn one_or_more(&self, key: &str) -> Vec<Section<'a>> {
        if self.raw(key).is_some_and(|value| value.get_ref().as_array().is_some()) {
            self.sections(key)
        } else {
            vec![self.section(key)]
        }
    }

    /// What else is in it is no concern of who reads it: for a command that needs a part of a file.
    pub fn ignore_the_rest(&self) {
        let keys = self.table.into_iter().flat_map(|table| table.keys());
        self.asked.borrow_mut().extend(keys.map(|key| key.get_ref().to_string()));
    }

    /// A string, or a list of them; empty when absent.
    pub fn one_or_more_strings(&self, key: &str) -> Vec<String> {
        match self.raw(key) {
            Some(value) if value.get_ref().as_array().is_none() => {
                self.asked.borrow_mut().insert(key.to_owned());
                let one = value.get_ref().as_str().map(str::to_owned);
                if one.is_none() {
                    self.problem(
                        key,
                        "must be a string or a list of strings, such as \"a\" or [\"a\", \"b\"]",
                    );
                }
                one.into_iter().collect()
            }
            _ => self.strings(key),
        }
    }

    /// A secret: `<key>_file = "path"` or `<key>_credential = "name"` (systemd's `LoadCredential`).
    pub fn secret(&self, key: &str) -> Option<Secret> {
        let (file_key, credential_key) = (format!("{key}_file"), format!("{key}_credential"));
        if self.raw(key).is_some() {
            self.asked.borrow_mut().insert(key.to_owned());
            self.problem(
                key,
                &format!(
                    "a secret does not belong here; put it into a file and set {file_key} or {credential_key}"
                ),
            );
        }
        let file: Option<std::path::PathBuf> = self.optional(&file_key);
        let credential: Option<String> = self.optional(&credential_key);
        let (read, blamed) = match (file, credential) {
            (Some(_), Some(_)) => {
                self.problem(
                    &credential_key,
                    &format!("set either {file_key} or {credential_key}, not both"),
                );
                return None;
            }
            (Some(path), None) => (secret::from_file(path), file_key),
            (None, Some(name)) => {
                (secret::from_credential(self.ctx.env.get("CREDENTIALS_DIRECTORY"), &name), credential_key)
            }
            (None, None) => return None,
        };
        read.map_err(|error| self.problem(&blamed, &errors::chain(&error))).ok()
    }

    /// Notes a problem with `key` (or with the section itself, when `key` is empty).
    pub fn problem(&self, key: &str, message: &str) {
        let at = self.start_of(key).or(self.start);
        self.ctx.note(at, &self.name_of(key), message);
    }

    fn name_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    fn start_of(&self, key: &str) -> Option<usize> {
        self.table?.iter().find(|(k, _)| k.get_ref() == key).map(|(k, _)| k.span().start)
    }

    fn override_of(&self, key: &str) -> Option<(String, &'a str)> {
        if !self.overridable {
            return None;
        }
        let name = variable_of(&self.name_of(key));
        self.ctx.env_asked.borrow_mut().insert(name.clone());
        self.ctx.env.get(&name).map(|text| (name, text))
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        let keys = self.table.into_iter().flat_map(|t| t.keys());
        for key in keys.filter(|k| !asked.contains(k.get_ref().as_ref())) {
            let hint = problem::nearest(key.get_ref(), asked.iter().map(String::as_str));
            let message = format!("unknown setting{hint}; remove it or correct its name");
            self.ctx.note(Some(key.span().start), &self.name_of(key.get_ref()), &message);
        }
    }
}

#[cfg(test)]
mod tests;
