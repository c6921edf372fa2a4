//! `spillwayd rules` as the real program, against the fake X of the testkit.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use spillway_testkit::services::x::{Rule, Rules, X};
use spillway_testkit::services::{Options, Service};
use tempfile::TempDir;

const TOKEN: &str = "bearer-hunter2";

struct Account {
    x: Service,
    rules: Rules,
    /// As they are at the start.
    given: String,
    dir: TempDir,
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Account {
    fn new(max: usize, rules: &[(&str, Option<&str>)]) -> Self {
        let rules = Rules::limited(rules.iter().copied(), max, 1024);
        let x = X { token: Some(TOKEN.to_owned()), rules: rules.clone(), ..X::default() };
        let x = x.start(Options::default()).unwrap();
        let given = words(&rules.list()).join(", ");
        Self { x, rules, given, dir: tempfile::tempdir().unwrap() }
    }

    /// The changes that were asked for since the last call, such as `try 2`, `add 2`, `delete 1`.
    fn asked(&self) -> Vec<String> {
        let changes = self.rules.take_changes().into_iter();
        changes.map(|change| format!("{} {}", change.what, change.named)).collect()
    }

    /// The rules as they were at the start and after each change.
    fn states(&self) -> Vec<String> {
        let mut states = vec![self.given.clone()];
        states.extend(self.rules.take_changes().iter().map(|change| words(&change.rules).join(", ")));
        states.dedup();
        states
    }

    /// `value tag` of each rule.
    fn rules(&self) -> Vec<String> {
        words(&self.rules.list())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("spillwayd.toml")
    }

    /// The configuration's rules begin at line 12, four lines each.
    fn write(&self, limits: &str, rules: &[(&str, &str)]) {
        let token = self.dir.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let mut text = format!(
            "[source]\ntype = 'x_filtered_stream'\nurl = '{}?tweet.fields=id'\nbearer_token_file = '{}'\n\
             [kafka]\nbrokers = '127.0.0.1:9'\ntopic = 't'\n[spool]\ndir = '/nowhere'\n[rules]\nsettle = '50ms'{limits}\n",
            self.x.url(),
            token.display()
        );
        for (value, tag) in rules {
            let tag = if tag.is_empty() { String::new() } else { format!("tag = '{tag}'") };
            text += &format!("[[rule]]\nvalue = '{value}'\n{tag}\n\n");
        }
        std::fs::write(self.path(), text).unwrap();
    }

    fn run(&self, words: &[&str]) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spillwayd"));
        command.arg("rules").args(words).arg("--config").arg(self.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let answer = Answer {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!answer.out.contains(TOKEN) && !answer.err.contains(TOKEN), "the token came out");
        answer
    }
}

fn words(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(|rule| format!("{} {}", rule.value, rule.tag.as_deref().unwrap_or("-"))).collect()
}

const ACCOUNT: &[(&str, Option<&str>)] =
    &[("cats", Some("pets")), ("dogs", Some("pet")), ("birds", Some("pets")), ("stocks", Some("desk"))];
const RULES: &[(&str, &str)] = &[("cats", "pets"), ("dogs", "pets"), ("fish has:images", "pets")];

#[test]
fn a_plan_shows_the_difference_and_changes_nothing() {
    let account = Account::new(1000, ACCOUNT);
    account.write("", RULES);
    let answer = account.run(&["plan"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    let file = account.path();
    let file = file.display();
    let expected = format!(
        "+ pets                      fish has:images  ({file}:20)\n\
         ~ pet -> pets               dogs  ({file}:16)\n\
         - pets                      birds\n\
         ? desk                      stocks  (not ours: left alone)\n\
         1 to add, 1 to retag, 1 to delete, 1 unchanged, 1 not ours\n"
    );
    assert!(answer.out.starts_with(&expected), "{}", answer.out);
    assert_eq!(account.asked(), [] as [&str; 0]);

    let json: serde_json::Value = serde_json::from_str(&account.run(&["plan", "--json"]).out).unwrap();
    assert_eq!(json["add"][0]["line"], 20);
    assert_eq!((&json["retag"][0]["old_tag"], &json["retag"][0]["tag"]), (&"pet".into(), &"pets".into()));
    let birds = account.rules.list()[2].id.clone();
    assert_eq!((&json["delete"][0]["id"], &json["not_ours"][0]["value"]), (&birds.into(), &"stocks".into()));
}

#[test]
fn apply_asks_first_then_does_it_and_leaves_the_rules_of_others() {
    let account = Account::new(1000, ACCOUNT);
    account.write("", RULES);
    let unconfirmed = account.run(&["apply"]);
    assert_eq!(unconfirmed.code, 64, "{}", unconfirmed.err);
    assert_eq!(account.asked(), ["try 1"], "only a dry run");

    let answer = account.run(&["apply", "--yes"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let done = ["try 1", "add 1", "delete 1", "add 1", "delete 1", "add 1", "delete 1"];
    assert_eq!(account.asked(), done, "the new one, the old one, and the exchange with a stand-in");
    let told = "1 to retag: until that is in force, the same rules in parentheses stand in";
    assert!(answer.out.contains(told), "{}", answer.out);
    assert!(
        answer.err.contains("waiting 50 ms until the rules that stand in are in force"),
        "{}",
        answer.err
    );
    assert_eq!(account.rules(), ["cats pets", "stocks desk", "fish has:images pets", "dogs pets"]);
    assert!(
        answer.out.contains("done: 1 added, 1 retagged, 1 deleted; the account has 4 rules"),
        "{}",
        answer.out
    );

    assert_eq!(account.run(&["plan"]).code, 0);
    assert_eq!(account.run(&["plan", "--prune"]).code, 2);
    assert_eq!(account.run(&["apply", "--prune", "--yes"]).code, 0);
    assert_eq!(account.rules(), ["cats pets", "fish has:images pets", "dogs pets"]);
}

#[test]
fn a_tag_changes_while_another_rule_matches_the_same() {
    let account = Account::new(1000, &[("dogs", Some("pet"))]);
    account.write("", &[("dogs", "pets")]);
    assert_eq!(account.run(&["apply", "--yes"]).code, 0);
    let states = account.states();
    let expected =
        ["dogs pet", "dogs pet, (dogs) pets", "(dogs) pets", "(dogs) pets, dogs pets", "dogs pets"];
    assert_eq!(states, expected);

    let at_once = Account::new(1000, &[("dogs", Some("pet"))]);
    at_once.write("", &[("dogs", "pets")]);
    let answer = at_once.run(&["apply", "--yes", "--at-once"]);
    assert!(answer.out.contains("posts that no other rule matches may be missed"), "{}", answer.out);
    assert_eq!(at_once.states(), ["dogs pet", "", "dogs pets"]);
}

/// As after a kill in the middle of an exchange.
#[test]
fn what_an_exchange_left_behind_is_cleared_by_the_next() {
    let account = Account::new(1000, &[("(dogs)", Some("pets"))]);
    account.write("", &[("dogs", "pets")]);
    assert_eq!(account.run(&["apply", "--yes"]).code, 0);
    assert_eq!(account.states(), ["(dogs) pets", "(dogs) pets, dogs pets", "dogs pets"]);
}

#[test]
fn a_rule_that_x_refuses_stops_all_before_anything_is_changed() {
    let account = Account::new(1000, ACCOUNT);
    account.write("", &[("fish", "pets"), ("cats from:", "pets")]);
    let answer = account.run(&["apply", "--yes"]);
    assert_eq!(answer.code, 1);
    let said = format!(
        "{}:16: cats from:\n    X says: Rule has an operator without an argument\n",
        account.path().display()
    );
    assert!(answer.out.contains(&said), "{}", answer.out);
    assert!(answer.err.contains("nothing was changed"), "{}", answer.err);
    assert_eq!(account.asked(), ["try 2"]);
    assert_eq!(account.rules().len(), ACCOUNT.len());
}

#[test]
fn at_the_limit_a_rule_goes_before_another_comes() {
    let account = Account::new(2, &[("a", Some("t")), ("b", Some("t"))]);
    account.write("\nmax_rules = 2", &[("c", "t"), ("d", "t")]);
    assert_eq!(account.run(&["apply", "--yes"]).code, 0);
    assert_eq!(account.asked(), ["try 2", "delete 2", "add 2"]);

    let full = Account::new(2, &[("theirs", None)]);
    full.write("\nmax_rules = 2", &[("c", "t"), ("d", "t")]);
    let answer = full.run(&["apply", "--yes"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("would have 3 rules, 1 of them not ours, but may have 2"), "{}", answer.err);
    assert_eq!(full.asked(), [] as [&str; 0]);
}

/// The configuration says more than the account may have.
#[test]
fn a_limit_that_only_x_knows_is_told() {
    let account = Account::new(2, &[("a", Some("t")), ("theirs", None)]);
    account.write("", &[("a", "t"), ("b", "t")]);
    let answer = account.run(&["apply", "--yes"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.contains("X says: You have exceeded the maximum number of rules (2)."),
        "{}",
        answer.out
    );
    assert_eq!(account.asked(), ["try 1"]);
}

#[test]
fn of_several_sources_the_one_that_reads_x_is_asked() {
    let account = Account::new(10, &[("a", None)]);
    account.write("", &[]);
    let text = std::fs::read_to_string(account.path()).unwrap().replace("[source]", "[[source]]\nname = 'x'");
    let other = "[[source]]\nname = 'y'\ntype = 'http_ndjson'\nurl = 'http://127.0.0.1:9/'\n";
    std::fs::write(account.path(), format!("{other}{text}")).unwrap();
    assert_eq!(account.run(&["list"]).code, 0);
    assert_eq!(account.run(&["list", "--source", "z"]).code, 78);

    let token = account.dir.path().join("token");
    let second = format!(
        "[[source]]\nname = 'w'\ntype = 'x_filtered_stream'\nurl = 'http://127.0.0.1:9/'\nbearer_token_file = '{}'\n",
        token.display()
    );
    std::fs::write(account.path(), format!("{second}{text}")).unwrap();
    let answer = account.run(&["list"]);
    assert_eq!(answer.code, 64);
    assert!(answer.err.contains("--source"), "{}", answer.err);
    assert_eq!(account.run(&["list", "--source", "x"]).code, 0);
}

#[test]
fn many_rules_come_in_pages_and_go_in_batches() {
    let old: Vec<String> = (0..1_150).map(|i| format!("old{i}")).collect();
    let old: Vec<_> = old.iter().map(|value| (value.as_str(), Some("t"))).collect();
    let account = Account::new(2_000, &old);
    account.write("\nmax_rules = 2000", &[("new", "t")]);
    assert_eq!(account.run(&["apply", "--yes"]).code, 0);
    let expected = [&["try 1", "add 1"][..], &["delete 100"; 11], &["delete 50"]].concat();
    assert_eq!(account.asked(), expected);
    let pages = account.x.other_requests();
    assert!(pages.iter().any(|(_, target)| target.ends_with("?pagination_token=1000")), "{pages:?}");
    assert_eq!(account.rules(), ["new t"]);
}

#[test]
fn the_list_is_a_table_or_json() {
    let account = Account::new(1000, &[("cats \u{1b}[31m", Some("pets")), ("dogs", None)]);
    account.write("", &[]);
    let table = account.run(&["list"]);
    assert_eq!(
        (table.code, table.out.as_str()),
        (
            0,
            "id                   tag   value\n\
             1800000000000000001  pets  cats \\u{1b}[31m\n\
             1800000000000000002  -     dogs\n"
        )
    );
    let json: serde_json::Value = serde_json::from_str(&account.run(&["list", "--json"]).out).unwrap();
    assert_eq!(json[1], serde_json::json!({"id": "1800000000000000002", "value": "dogs"}));
    assert_eq!(json[0]["value"], "cats \u{1b}[31m");
}

#[test]
fn each_refusal_says_what_to_do() {
    let account = Account::new(1000, ACCOUNT);
    account.write("", RULES);
    let reset: &[(&str, &str)] = &[("x-rate-limit-reset", "4102444800")];
    let none: &[(&str, &str)] = &[];
    let cases = [
        (
            401,
            none,
            r#"{"title":"Unauthorized","detail":"Unauthorized"}"#,
            77,
            "does not know the bearer token",
        ),
        (403, none, r#"{"detail":"no such plan"}"#, 77, "no such plan"),
        (429, reset, "", 1, "at 2100-01-01T00:00:00.000Z"),
        (429, none, "", 1, "in 15 minutes"),
        (503, none, "<html>", 1, "X answered 503"),
        (
            400,
            none,
            r#"{"errors":[{"message":"no such field"}],"title":"Invalid Request"}"#,
            1,
            "no such field",
        ),
        (200, none, "<html>", 1, "cannot be read"),
    ];
    for (status, header, body, code, said) in cases {
        account.rules.refuse(status, header, body);
        let answer = account.run(&["list"]);
        assert_eq!(answer.code, code, "{status}: {}", answer.err);
        assert!(answer.err.contains(said), "{status}: {}", answer.err);
    }
}

#[test]
fn x_away_or_no_stream_is_told() {
    let account = Account::new(1000, &[]);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    account.write("", &[]);
    let text = std::fs::read_to_string(account.path()).unwrap();
    let here = account.x.address().to_string();
    std::fs::write(account.path(), text.replace(&here, &gone.to_string())).unwrap();
    let answer = account.run(&["plan"]);
    assert_eq!(answer.code, 69);
    assert!(answer.err.contains("X cannot be reached at http://127.0.0.1:"), "{}", answer.err);

    let file =
        "[source]\ntype = 'file'\npath = '/x'\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n";
    std::fs::write(account.path(), file).unwrap();
    assert_eq!(account.run(&["list"]).code, 78);
}
