//! What counts as a fault, and that the report says so.

use spillway_testkit::oracle::Disorder;

use super::*;
use crate::sentiment::Extreme;

fn passed() -> Report {
    Report {
        order: Order::Arrival,
        journal: Journal::Outage,
        rate: 2_000,
        outage: Duration::from_secs(10),
        seed: Some(1),
        input: None,
        course: Course {
            timeline: Timeline {
                down: Some(Duration::from_secs(10)),
                up: Some(Duration::from_secs(20)),
                caught_up: Some(Duration::from_millis(21_234)),
                delivered: Some(Duration::from_secs(30)),
            },
            took: Duration::from_secs(33),
            down_unix_ms: Some(1),
            detected: Some(Duration::from_millis(512)),
            spool_peak_records: 19_000,
            spool_peak_bytes: 20 << 20,
        },
        sent: 60_000,
        sent_bytes: 70 << 20,
        received: 60_000,
        acked: 40_000,
        spooled: 20_000,
        replayed: 20_000,
        dropped: 0,
        dead_letters: 0,
        too_long: 0,
        unaccounted: 0,
        backlog: 0,
        torn: 0,
        connects: 1,
        breaker_opened: 1,
        delivery: Verdict::default(),
        forgotten: 0,
        reader_complete: true,
        events: 59_880,
        repeats: 120,
        repeats_expected: 120,
        notices: 0,
        quarantined: 0,
        late: 0,
        files: 26,
        rows: 500,
        rows_fitted: 12,
        differences: vec![],
        cities: vec![City {
            place: "Tokyo, Japan".into(),
            events: 1_234,
            reposts: 5,
            busiest: (1_767_225_900_000_000, 99),
        }],
        windows: vec![],
        happiest: Some(HappyHour { start: 1_767_225_600_000_000, tags: vec![("sun".into(), 1_087)] }),
        extremes: Some([("1", 0.9628, "so\nhappy"), ("2", -0.5, "so \u{1b}[31msad")].map(
            |(id, polarity, text)| Outstanding {
                start: 1_767_225_900_000_000,
                post: Extreme { polarity, id: id.into(), text: text.into() },
            },
        )),
        keep: false,
    }
}

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::claim(dir.path()).unwrap();
    (dir, folder)
}

fn disorder() -> Disorder {
    Disorder { partition: 0, offset: 7, id: "a".into(), sent_as: 1, behind: 2 }
}

#[test]
fn a_clean_run_passes_and_says_so() {
    let (_dir, folder) = folder();
    let report = passed();
    assert_eq!(report.faults(), Vec::<String>::new());
    let text = report.text(&folder, Paint::none());
    assert!(text.contains("  PASSED  all 60,000 records arrived, 20,000 over the disk\n"), "{text}");
    let end = "          all 500 rows equal the independent recount; took 33.0 s\n          \
               the extremes of 12 windows are posts that were sent in them\n";
    assert!(text.ends_with(end), "{text}");
    let happiest = "  Happiest hashtags, the hour from 2026-01-01 00:00 (UTC)\n      smiles   hashtag\n       \
                    1,087   sun\n";
    assert!(text.contains(happiest), "{text}");
    let extremes =
        "      0.9628   2026-01-01 00:05   so happy\n     -0.5000   2026-01-01 00:05   so  [31msad\n";
    assert!(text.contains(extremes), "{text}");
    assert!(text.contains("  lost                       0   sent, and in no partition\n"), "{text}");
    assert!(text.contains("  detected after        512 ms   the breaker opened\n"), "{text}");
    assert!(text.contains("  caught up after        1.2 s   from"), "{text}");
    assert!(text.contains("       1,234         5   2026-01-01 00:05   Tokyo, Japan\n"), "{text}");
}

#[test]
fn each_broken_promise_fails() {
    let ids = || vec!["7".to_owned()];
    let difference = Difference {
        table: "activity",
        window_start: 0,
        group: None,
        expected: None,
        found: Some("events 1".to_owned()),
    };
    let spoil: [fn(&mut Report); 5] = [
        |r| r.forgotten = 1,
        |r| r.reader_complete = false,
        |r| r.unaccounted = 1,
        |r| r.received -= 1,
        |r| r.backlog = 1,
    ];
    let mut reports: Vec<Report> = spoil
        .iter()
        .map(|spoil| {
            let mut r = passed();
            spoil(&mut r);
            r
        })
        .collect();
    for delivery in [
        Verdict { lost: ids(), ..Verdict::default() },
        Verdict { unexpected: ids(), ..Verdict::default() },
        Verdict { misnamed: ids(), ..Verdict::default() },
        Verdict { scattered: ids(), ..Verdict::default() },
        Verdict { disorder: vec![disorder()], ..Verdict::default() },
    ] {
        reports.push(Report { delivery, ..passed() });
    }
    reports.push(Report { differences: vec![difference], ..passed() });
    let (_dir, folder) = folder();
    for report in reports {
        assert_eq!(report.faults().len(), 1, "{:?}", report.faults());
        assert!(!report.passed());
        let text = report.text(&folder, Paint::none());
        assert!(text.contains("  FAILED  ") && !text.contains("PASSED"), "{text}");
        assert_eq!(report.json(&folder)["passed"], false);
    }
}

#[test]
fn a_loss_that_the_daemon_has_counted_is_a_loss_and_says_so() {
    let delivery = Verdict { lost: vec!["7".to_owned()], ..Verdict::default() };
    let report = Report { delivery, received: 59_999, too_long: 1, ..passed() };
    let wanted = "1 records are in no partition, first 7; the daemon gave up 1 and says why in the log";
    assert_eq!(report.faults(), [wanted]);
    let (_dir, folder) = folder();
    assert_eq!((&report.json(&folder)["dropped"], &report.json(&folder)["lost"]), (&1.into(), &1.into()));
}

#[test]
fn what_is_no_fault_does_not_fail() {
    let delivery =
        Verdict { duplicates: vec!["7".to_owned(); 3], disorder: vec![disorder()], ..Verdict::default() };
    let report = Report { order: Order::Fresh, delivery, torn: 1, notices: 2, quarantined: 1, ..passed() };
    assert!(report.passed(), "{:?}", report.faults());
}

#[test]
fn the_json_holds_the_figures_of_the_table() {
    let (_dir, folder) = folder();
    let report = Report {
        delivery: Verdict { duplicates: vec!["7".to_owned(); 3], ..Verdict::default() },
        ..passed()
    };
    report.write(&folder).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.report()).unwrap()).unwrap();
    for (key, value) in [
        ("sent", 60_000),
        ("acked", 40_000),
        ("spooled", 20_000),
        ("replayed", 20_000),
        ("dropped", 0),
        ("duplicates", 3),
        ("lost", 0),
        ("order_violations", 0),
        ("window_differences", 0),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
    assert_eq!(
        (json["detect_seconds"].as_f64(), json["catch_up_seconds"].as_f64()),
        (Some(0.512), Some(1.234))
    );
    assert_eq!(json["biggest_cities"][0]["busiest_window"], "2026-01-01T00:05:00Z");
    assert_eq!(json["happiest_hashtags"]["hashtags"][0]["smiles"], 1_087);
    assert_eq!(
        (&json["most_positive"]["id"], &json["most_negative"]["polarity"]),
        (&"1".into(), &(-0.5).into())
    );
    assert_eq!(json["store"], folder.store().to_str().unwrap());
}

#[test]
fn commands_for_kafka_are_shown_while_there_is_one() {
    let (_dir, folder) = folder();
    let text = |keep| Report { keep, ..passed() }.text(&folder, Paint::none());
    assert!(text(false).contains(&format!("show city_activity --store {} --plot", folder.store().display())));
    assert!(!text(false).contains(" rebuild ") && !text(false).contains("until you press Enter"));
    assert!(text(true).contains(" rebuild ") && text(true).ends_with("until you press Enter.\n"));
}
