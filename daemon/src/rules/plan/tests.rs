//! Tests of the plan: what it says of single cases, and, on a model of X's account, that carrying it out
//! leads from any account to the configuration.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn rule(id: &str, value: &str, tag: Option<&str>) -> Rule {
    Rule { id: id.to_owned(), value: value.to_owned(), tag: tag.map(str::to_owned) }
}

fn wanted(value: &str, tag: Option<&str>) -> RuleConfig {
    RuleConfig { value: value.to_owned(), tag: tag.map(str::to_owned), line: 1 }
}

fn config(rules: &[RuleConfig], tag_prefix: Option<&str>) -> RulesConfig {
    RulesConfig {
        rules: rules.to_vec(),
        tag_prefix: tag_prefix.map(str::to_owned),
        max_rules: 1000,
        max_characters: 1024,
        settle: Duration::ZERO,
    }
}

fn limits(max_rules: usize) -> RulesConfig {
    RulesConfig { max_rules, ..config(&[], None) }
}

fn ids(rules: &[Rule]) -> Vec<&str> {
    rules.iter().map(|rule| rule.id.as_str()).collect()
}

#[test]
fn each_rule_is_what_it_is() {
    let rules = [wanted("same", Some("a")), wanted("moved", Some("b")), wanted("new", None)];
    let account = [
        rule("1", "same", Some("a")),
        rule("2", "moved", Some("elsewhere")),
        rule("3", "old", Some("a")),
        rule("4", "theirs", Some("c")),
        rule("5", "untagged", None),
    ];
    let plan = Plan::new(&rules, &account, &Owner::new(&config(&rules, None), false));
    assert_eq!(plan.add, [wanted("new", None)]);
    assert_eq!(plan.retag, [Retag { rule: account[1].clone(), wanted: rules[1].clone() }]);
    assert_eq!((ids(&plan.unchanged), ids(&plan.delete)), (vec!["1"], vec!["3"]));
    assert_eq!(ids(&plan.foreign), ["4", "5"]);
    assert_eq!((plan.before(), plan.after()), (5, 5));

    let pruned = Plan::new(&rules, &account, &Owner::new(&config(&rules, None), true));
    assert_eq!((ids(&pruned.delete), ids(&pruned.foreign)), (vec!["3", "4", "5"], vec![]));
}

#[test]
fn a_prefix_says_what_is_ours() {
    let rules = [wanted("v", Some("edge/a"))];
    let account = [rule("1", "x", Some("edge/gone")), rule("2", "y", Some("a")), rule("3", "z", None)];
    let plan = Plan::new(&rules, &account, &Owner::new(&config(&rules, Some("edge/")), false));
    assert_eq!((ids(&plan.delete), ids(&plan.foreign)), (vec!["1"], vec!["2", "3"]));
}

#[test]
fn of_two_rules_with_one_value_the_right_one_stays() {
    let rules = [wanted("v", Some("b"))];
    let account = [rule("1", "v", Some("a")), rule("2", " v", Some("b")), rule("3", "v", Some("b"))];
    let plan = Plan::new(&rules, &account, &Owner::new(&config(&rules, None), false));
    assert_eq!((ids(&plan.unchanged), ids(&plan.delete)), (vec!["2"], vec!["3"]));
    assert_eq!(ids(&plan.foreign), ["1"]);
}

#[test]
fn an_empty_tag_is_none() {
    let plan =
        Plan::new(&[wanted("v", None)], &[rule("1", "v", Some(" "))], &Owner::new(&config(&[], None), false));
    assert!(plan.is_empty());
}

#[test]
fn what_is_new_comes_first_where_there_is_room() {
    let plan = Plan {
        add: vec![wanted("a", None), wanted("b", None)],
        delete: vec![rule("1", "c", None)],
        foreign: vec![rule("2", "d", None)],
        ..Plan::default()
    };
    let steps = |max| plan.steps(&limits(max), false).unwrap();
    let delete = || Step::Delete(plan.delete.clone());
    assert_eq!(steps(4), [Step::Add(plan.add.clone()), delete()]);
    let (a, b) = (Step::Add(vec![wanted("a", None)]), Step::Add(vec![wanted("b", None)]));
    assert_eq!(steps(3), [a, delete(), b]);
    assert_eq!(plan.steps(&limits(2), false), Err(TooMany { after: 3, foreign: 1, max: 2 }));
}

#[test]
fn a_rule_stands_in_where_that_is_possible() {
    let retag = |value: &str| Retag { rule: rule(value, value, None), wanted: wanted(value, Some("t")) };
    let (short, long) = (retag("ab"), retag("abc"));
    assert_eq!(short.stand_in(), wanted("(ab)", Some("t")));
    let mut plan = Plan { retag: vec![short.clone(), long.clone()], ..Plan::default() };
    let steps = |plan: &Plan, max_rules, at_once| {
        plan.steps(&RulesConfig { max_characters: 4, ..limits(max_rules) }, at_once).unwrap()
    };
    let one = |retag: &Retag| vec![retag.clone()];
    let both = vec![long.clone(), short.clone()];
    assert_eq!(steps(&plan, 3, false), [Step::Exchange(one(&short)), Step::Replace(one(&long))]);
    assert_eq!(steps(&plan, 2, false), [Step::Replace(both)], "the account is full");
    assert_eq!(steps(&plan, 3, true), [Step::Replace(plan.retag.clone())]);
    plan.foreign = vec![rule("f", "(ab)", None)];
    assert_eq!(steps(&plan, 9, false), [Step::Replace(plan.retag.clone())], "X has the value already");
}

/// X's account as far as rules go: a value is there once, and there is a limit.
struct Model {
    rules: Vec<Rule>,
    max: usize,
    next: u32,
}

impl Model {
    fn add(&mut self, rule: &RuleConfig) {
        assert!(self.rules.iter().all(|r| r.value != rule.value), "X refuses a duplicate");
        assert!(self.rules.len() < self.max, "X refuses a rule over the limit");
        self.next += 1;
        self.rules.push(Rule {
            id: format!("n{}", self.next),
            value: rule.value.clone(),
            tag: rule.tag.clone(),
        });
    }

    fn delete(&mut self, rule: &Rule) {
        let before = self.rules.len();
        self.rules.retain(|r| r.id != rule.id);
        assert_eq!(self.rules.len() + 1, before, "X knows the rule");
    }

    fn replace(&mut self, retags: &[Retag]) {
        retags.iter().for_each(|r| self.delete(&r.rule));
        retags.iter().for_each(|r| self.add(&r.wanted));
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Add(rules) => rules.iter().for_each(|r| self.add(r)),
            Step::Delete(rules) => rules.iter().for_each(|r| self.delete(r)),
            Step::Replace(retags) => self.replace(retags),
            Step::Exchange(retags) => {
                retags.iter().for_each(|r| self.add(&r.stand_in()));
                self.replace(retags);
                let is_stand_in = |rule: &Rule| retags.iter().any(|r| r.stand_in().value == rule.value);
                self.rules.retain(|rule| !is_stand_in(rule));
            }
        }
    }
}

fn tag() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("(edge/)?[ab]")
}

/// Values are all different, as X and the configuration demand.
fn rules(max: usize) -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    proptest::collection::btree_map(r"[a-g]|\([a-c]\)", tag(), 0..max)
        .prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn carrying_it_out_leads_to_the_configuration(
        wants in rules(8), has in rules(8), prefix in any::<bool>(), prune in any::<bool>(), spare in 0_usize..4,
        at_once in any::<bool>(),
    ) {
        let wants: Vec<_> = wants.iter().map(|(value, tag)| wanted(value, tag.as_deref())).collect();
        let account: Vec<_> =
            has.iter().enumerate().map(|(i, (value, tag))| rule(&i.to_string(), value, tag.as_deref())).collect();
        let config = config(&wants, prefix.then_some("edge/"));
        let owner = Owner::new(&config, prune);
        let plan = Plan::new(&wants, &account, &owner);
        prop_assert_eq!(plan.before(), account.len());
        let max = plan.after().max(plan.before()) + spare;

        let mut model = Model { rules: account, max, next: 0 };
        for step in plan.steps(&RulesConfig { max_rules: max, ..config.clone() }, at_once).unwrap() {
            model.carry_out(&step);
        }
        let pairs = |rules: &[Rule]| -> BTreeSet<_> {
            rules.iter().map(|r| (r.value.clone(), r.tag.clone())).collect()
        };
        let mut expected = pairs(&plan.foreign);
        expected.extend(wants.iter().map(|r| (r.value.clone(), r.tag.clone())));
        prop_assert_eq!(pairs(&model.rules), expected);
        prop_assert!(plan.foreign.iter().all(|r| model.rules.contains(r)), "what is not ours is untouched");
        prop_assert!(!prune || plan.foreign.is_empty());
        prop_assert!(Plan::new(&wants, &model.rules, &owner).is_empty(), "nothing is left to do");
    }
}
