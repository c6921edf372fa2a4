//! Tests of tables: what can be kept, and which windows a moment is part of.

use super::*;

const SECOND: Micros = 1_000_000;

fn table(name: &str, secs: u64) -> Table {
    Table::new(name, Duration::from_secs(secs), By::None, Filter::default())
}

fn sliding(secs: u64, slide: u64) -> Table {
    Table { slide: Duration::from_secs(slide), ..table("s", secs) }
}

#[test]
fn a_pane_is_what_all_windows_are_made_of() {
    let pane = |windows: &[(u64, u64)]| {
        let named = |(i, (w, s)): (usize, &(u64, u64))| Table { name: format!("t{i}"), ..sliding(*w, *s) };
        Tables::new(windows.iter().enumerate().map(named).collect(), vec![]).unwrap().pane() / SECOND
    };
    assert_eq!(pane(&[(300, 300)]), 300);
    assert_eq!(pane(&[(300, 300), (3600, 3600)]), 300);
    assert_eq!(pane(&[(300, 300), (420, 420)]), 60);
    assert_eq!(pane(&[(300, 300), (900, 30)]), 30);
}

#[test]
fn a_moment_is_part_of_the_windows_that_hold_it() {
    let starts = |table: &Table, secs: i64| -> Vec<i64> {
        table.starts(secs * SECOND).map(|start| start / SECOND).collect()
    };
    assert_eq!(starts(&table("t", 300), 299), [0]);
    assert_eq!(starts(&table("t", 300), 300), [300]);
    assert_eq!(starts(&table("t", 300), -1), [-300]);
    assert_eq!(starts(&sliding(90, 30), 89), [0, 30, 60]);
    assert_eq!(starts(&sliding(90, 30), 90), [30, 60, 90]);
    assert_eq!(starts(&sliding(90, 30), -30), [-90, -60, -30]);
    assert_eq!(starts(&sliding(900, 30), 12_345).len(), 30);
    // The first that is not over: one that ends at the moment is.
    assert_eq!(sliding(90, 30).first_after(90 * SECOND), 30 * SECOND);
    assert_eq!(sliding(90, 30).first_after(89 * SECOND), 0);
    let both = Tables::new(vec![table("t", 300), sliding(900, 30)], vec![]).unwrap();
    assert_eq!(both.first_after(3000 * SECOND), 2130 * SECOND);
    assert_eq!(both.end_of_last(3000 * SECOND), 3900 * SECOND);
}

#[test]
fn tables_that_cannot_be_kept_are_refused() {
    let fault = |tables: Vec<Table>| Tables::new(tables, vec![]).unwrap_err();
    assert_eq!(fault(vec![]), TableFault::None);
    assert_eq!(fault(vec![table("a", 1), table("a", 2)]), TableFault::Twice("a".into()));
    for name in ["", "A", "a b", "../a", "a/b"] {
        assert_eq!(fault(vec![table(name, 1)]), TableFault::Name(name.into()));
    }
    assert_eq!(fault(vec![table("a", 0)]), TableFault::Window("a".into()));
    assert_eq!(fault(vec![table("a", 86_401)]), TableFault::Window("a".into()));
    let both = Tables::new(vec![table("a", 1)], vec![Archive::new("a")]);
    assert_eq!(both.unwrap_err(), TableFault::Twice("a".into()));
    let half = Table { window: Duration::from_millis(1500), ..table("a", 1) };
    assert_eq!(fault(vec![half]), TableFault::Window("a".into()));
    for (window, slide) in [(300, 0), (300, 301), (300, 7), (86_400, 30)] {
        assert_eq!(fault(vec![sliding(window, slide)]), TableFault::Slide { name: "s".into() });
    }
    let none = Table { plan: Plan::new(vec![]), ..table("a", 1) };
    assert_eq!(fault(vec![none]), TableFault::Metrics("a".into()));
    let twice = Table { plan: Plan::new(vec![Kind::Events, Kind::Events]), ..table("a", 1) };
    assert_eq!(fault(vec![twice]), TableFault::Metrics("a".into()));
}

#[test]
fn only_groups_are_ranked_and_only_by_numbers() {
    let top = |group_by: By, by: &str, n: usize| {
        let plan = Plan::new(vec![Kind::Sentiment, Kind::UniqueActors]);
        let top = Some(Top { by: by.into(), n });
        Table { plan, top, ..Table::new("a", Duration::from_secs(60), group_by, Filter::default()) }.check()
    };
    assert_eq!(top(By::Tag, "unique_actors", 3), Ok(()));
    assert_eq!(top(By::Word, "sentiment_mean", 1), Ok(()));
    let columns = "sentiment_count, sentiment_mean, sentiment_stddev, sentiment_variance, sentiment_min, \
                   sentiment_max, unique_actors";
    let fault = Err(TableFault::Top { name: "a".into(), columns: columns.into() });
    assert_eq!(top(By::None, "unique_actors", 3), fault);
    assert_eq!(top(By::Tag, "unique_actors_exact", 3), fault);
    assert_eq!(top(By::Tag, "events", 3), fault);
    assert_eq!(top(By::Tag, "unique_actors", 0), fault);
}

#[test]
fn what_no_table_asks_for_is_not_read() {
    let needs = |table: Table| {
        let needs = Tables::new(vec![table], vec![]).unwrap().needs();
        (needs.actor, needs.lists)
    };
    let events = || Plan::new(vec![Kind::Events]);
    assert_eq!(needs(table("a", 1)), (true, false));
    assert_eq!(needs(Table { plan: events(), ..table("a", 1) }), (false, false));
    assert_eq!(needs(Table { plan: events(), group_by: By::Rule, ..table("a", 1) }), (false, true));
    let filter = Filter { tags: vec!["x".into()], ..Filter::default() };
    assert_eq!(needs(Table { plan: events(), filter, ..table("a", 1) }), (false, true));
}

#[test]
fn a_definition_says_whatever_rows_depend_on() {
    let plain = Table::new("a", Duration::from_secs(300), By::Place, Filter::place_type("city"));
    assert_eq!(
        plain.definition(),
        "window=300s group_by=place place_type=[\"city\"] metrics=events,reposts,referencing,unique_actors \
         exact_max=10000"
    );
    let others = [
        Table { slide: Duration::from_secs(60), ..plain.clone() },
        Table { group_by: By::Tag, ..plain.clone() },
        Table { filter: Filter::default(), ..plain.clone() },
        Table { plan: Plan::new(vec![Kind::Events]), ..plain.clone() },
        Table { top: Some(Top { by: "events".into(), n: 3 }), ..plain.clone() },
        Table { plan: plain.plan.clone().exact_up_to(5_000), ..plain.clone() },
    ];
    let mut definitions: BTreeSet<_> = others.iter().map(Table::definition).collect();
    definitions.insert(plain.definition());
    assert_eq!(definitions.len(), others.len() + 1);
}

#[test]
fn an_archive_alone_has_panes_too() {
    let tables = Tables::new(vec![], vec![Archive::new("a")]).unwrap();
    assert_eq!(tables.pane(), 60 * SECOND);
    assert_eq!((tables.end_of_last(0), tables.first_after(7)), (60 * SECOND, 7));
    assert!(tables.needs().lists && !tables.needs().actor);
}
