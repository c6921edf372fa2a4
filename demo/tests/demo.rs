//! The demo as a user runs it: the real binary, its exit code, what it prints, what it leaves behind.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use spillway_testkit::tweets::{Generator, Options};

fn demo(out: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-demo"));
    command.arg("--out").arg(out).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

/// What to look at when a run did not go as it should.
fn whole(output: &Output) -> String {
    format!("{:?}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report:#}"))
}

/// Posts with a line end each.
fn posts(n: usize) -> Vec<u8> {
    let options = Options { repeat_share: 0.0, ..Options::default() };
    Generator::new(3, options).take(n).flat_map(|tweet| [&tweet.line[..], b"\r\n"].concat()).collect()
}

#[test]
fn an_outage_is_survived_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let run = demo(&out, &["--records", "5000", "--rate", "2500", "--outage", "2", "--seed", "7"]);
    assert_eq!(run.status.code(), Some(0), "{}", whole(&run));

    let shown = text(&run.stdout);
    assert!(!shown.contains('\x1b'), "no colours and no redrawing without a terminal: {shown}");
    for line in [
        "all brokers are taken down",
        "breaker closed -> open",
        "all brokers are back",
        "  PASSED  all 5,000 records",
    ] {
        assert!(shown.contains(line), "{line:?} is missing in {shown}");
    }
    assert!(
        shown.lines().filter(|line| line.contains("  served ")).count() >= 3,
        "one line a second: {shown}"
    );

    let report = report(&out);
    let n = |key| number(&report, key);
    assert_eq!((report["passed"].as_bool(), n("sent"), n("received")), (Some(true), 5_000, 5_000));
    assert_eq!((n("lost"), n("dropped"), n("order_violations"), n("window_differences")), (0, 0, 0, 0));
    assert_eq!(n("acked") + n("spooled"), 5_000);
    assert!(n("spooled") > 1_000, "two seconds at 2,500/s went to disk, or what was left");
    assert_eq!(n("replayed"), n("spooled"));
    assert_eq!(n("events") + n("upstream_repeats"), 5_000);
    for figure in ["detect_seconds", "catch_up_seconds"] {
        assert!((0.0..60.0).contains(&report[figure].as_f64().unwrap()), "{report:#}");
    }

    assert!(!report["happiest_hashtags"]["hashtags"].as_array().unwrap().is_empty(), "{report:#}");
    let polarity = |end: &str| report[end]["polarity"].as_f64().unwrap();
    assert!(polarity("most_positive") > 0.5 && polarity("most_negative") < 0.0, "{report:#}");

    for table in ["activity", "city_activity", "happiest_hashtags", "sentiment_extremes"] {
        let mut objects = 0;
        let days = fs::read_dir(out.join("store/tables").join(table)).unwrap();
        for day in days.map(|day| day.unwrap()) {
            assert!(day.file_name().to_str().unwrap().starts_with("dt=20"), "{day:?}");
            objects += fs::read_dir(day.path()).unwrap().count() as u64;
        }
        // At the least half an hour, or parts of two hours.
        assert!(objects >= if table == "happiest_hashtags" { 1 } else { 6 }, "{table}: {objects}");
        assert!(
            table != "sentiment_extremes" || n("sentiment_rows") == objects,
            "one row a window: {objects}"
        );
    }
    for file in ["spillwayd.toml", "spillway-consumer.toml", "demo.log"] {
        assert!(fs::metadata(out.join(file)).unwrap().len() > 0, "{file}");
    }
}

#[test]
fn a_recording_is_replayed_with_its_flaws() {
    let dir = tempfile::tempdir().unwrap();
    let (out, input) = (dir.path().join("out"), dir.path().join("recording.ndjson"));
    let posts = posts(40);
    let last = posts[..posts.len() - 2].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let notice = b"{\"errors\":[{\"title\":\"operational-disconnect\"}]}\r\n";
    // A keep-alive, a notice, a line that is no JSON, the last post again, and a torn tail.
    fs::write(
        &input,
        [&posts[..], b"\r\n", notice, b"not json\n", &posts[last..], b"{\"data\":{\"id\":\"1"].concat(),
    )
    .unwrap();
    let run = demo(&out, &["--input", input.to_str().unwrap(), "--outage", "4"]);
    assert_eq!(run.status.code(), Some(0), "{}", whole(&run));
    let report = report(&out);
    let n = |key| number(&report, key);
    assert_eq!((n("sent"), n("lost"), n("torn"), n("notices"), n("quarantined")), (43, 0, 1, 1, 1));
    assert_eq!((n("events"), n("upstream_repeats")), (40, 1));
    assert!(n("spooled") > 0, "the outage is in the middle even of a short recording");
    assert_eq!(n("spooled"), n("replayed"));

    // The same folder again: what the first run left is replaced.
    let run = demo(&out, &["--input", input.to_str().unwrap(), "--outage", "0"]);
    assert_eq!(run.status.code(), Some(0), "{}", whole(&run));
    assert_eq!(self::report(&out)["detect_seconds"], Value::Null);
}

#[test]
fn a_loss_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let (out, input) = (dir.path().join("out"), dir.path().join("recording.ndjson"));
    // A post that is longer than the daemon takes: lost, counted, and no reason to hang.
    let id = "1800000000000000000";
    let long = format!(
        "{{\"data\":{{\"id\":\"{id}\",\"author_id\":\"2\",\"created_at\":\"2026-01-01T00:00:01.000Z\",\"text\":\"{}\"}}}}\n",
        "x".repeat(3 << 20)
    );
    fs::write(&input, [&posts(10)[..], long.as_bytes(), &posts(11)[..]].concat()).unwrap();
    let run = demo(&out, &["--input", input.to_str().unwrap(), "--outage", "0"]);
    assert_eq!(run.status.code(), Some(1), "{}", whole(&run));
    assert!(
        text(&run.stdout).contains("  FAILED  1 records are in no partition, first 1800000000000000000"),
        "{}",
        whole(&run)
    );
    let report = report(&out);
    assert_eq!((number(&report, "lost"), number(&report, "dropped")), (1, 1));
    assert_eq!(report["lost_ids"][0], id);
    assert_eq!(report["passed"], false);
    assert!(number(&report, "window_differences") > 0, "the window that it belongs to lacks it");
}

#[test]
fn wrong_use_is_told_from_failure() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("precious");
    fs::write(&foreign, "data").unwrap();
    let run = demo(dir.path(), &[]);
    assert_eq!(run.status.code(), Some(73), "{}", whole(&run));
    assert!(text(&run.stderr).contains("was not made by the demo; give another folder with --out"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was added to somebody else's folder");

    let out = dir.path().join("out");
    assert_eq!(demo(&out, &["--rate", "0"]).status.code(), Some(64));
    assert_eq!(demo(&out, &["--input", "no-such-file"]).status.code(), Some(64));
    assert_eq!(demo(&out, &["--help"]).status.code(), Some(0));
    assert!(!out.exists(), "a wrong use leaves nothing behind");
}
