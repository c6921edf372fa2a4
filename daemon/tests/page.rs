//! The status page, loaded by a real browser from the real daemon. Without Chromium these tests are left out,
//! with a word; with `SPILLWAY_CHROMIUM=required` they fail.
//!
//! With `SPILLWAY_PICTURES=DIR` it also makes the pictures of the documentation: see docs/images/make.sh.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

#[path = "page/browser.rs"]
mod browser;
mod common;
#[path = "page/pictures.rs"]
mod pictures;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use browser::{Browser, Sight};
use common::{Program, Rig, free_address, wait_until};
use serde_json::Value;
use spillway_daemon::circuit::State;
use spillway_daemon::history::Report;
use spillway_service::units::show_count;
use spillway_testkit::upstream::Options;

const DESK: Sight = Sight { width: 1000, height: 900, dark: false };
const PHONE: Sight = Sight { width: 360, height: 700, dark: false };

/// The browser, if there is one.
fn browser(sight: Sight) -> Option<Browser> {
    match Browser::find() {
        Ok(program) => Some(Browser::start(&program, sight)),
        Err(reason) => {
            say_skipped(&reason);
            None
        }
    }
}

/// On the test's own output, as a result that is good would hide it.
fn say_skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// A number of a status, as the page writes it.
fn shown(status: &Value, pointer: &str) -> String {
    show_count(status.pointer(pointer).unwrap().as_u64().unwrap())
}

#[test]
fn a_browser_is_found_where_commands_are() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["a", "b"].map(|name| dir.path().join(name));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let path = std::env::join_paths(&folders).unwrap();
    let put = |folder: usize, name: &str, mode: u32| {
        let file = folders[folder].join(name);
        std::fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(&file).unwrap();
        file
    };
    assert_eq!(browser::installed(&path), None);
    put(0, "chromium", 0o600);
    assert_eq!(browser::installed(&path), None, "it cannot be run");
    let other = put(0, "google-chrome", 0o700);
    assert_eq!(browser::installed(&path), Some(other));
    let usual = put(1, "chromium", 0o700);
    assert_eq!(browser::installed(&path), Some(usual), "the tests are made for it");
}

/// Without a browser, too.
#[test]
fn the_history_grows_by_samples_that_agree_with_the_status() {
    let rig = Rig::start();
    let upstream = rig.upstream(69, 300, Options::default());
    let text = rig.config_text(&upstream.url(), "");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    let history = |query: &str| -> Report {
        serde_json::from_str(&program.get(&format!("/history{query}")).unwrap()).unwrap()
    };
    wait_until("all is acknowledged", || program.figure("/counts/acked") == 300);
    let settled_ms = program.figure("/at_ms");
    wait_until("two samples are taken, one of them since", || {
        let at_ms = history("").samples.at_ms;
        at_ms.len() >= 2 && at_ms[at_ms.len() - 1] > settled_ms
    });
    let Report { at_ms, started_ms, every_ms, keeps, samples } = history("");
    assert_eq!((every_ms, keeps, started_ms), (5_000, 720, program.figure("/started_ms")));
    assert!(started_ms <= samples.at_ms[0] && samples.at_ms[1] <= at_ms);
    let step = samples.at_ms[1] - samples.at_ms[0];
    assert!((4_900..60_000).contains(&step), "{step} ms between two samples");
    let last = samples.rows().last().unwrap();
    assert_eq!((last.received, last.delivered, last.spool_records), (300, 300, 0));
    assert_eq!(last.breaker, State::Closed);
    let later = history(&format!("?after={}", samples.at_ms[0]));
    assert_eq!(later.samples.at_ms[0], samples.at_ms[1], "only what is later");
    let refused = program.get("/history?after=yesterday").unwrap();
    assert!(refused.starts_with("after is \"yesterday\"; give a time in unix milliseconds"), "{refused}");
    assert!(program.get("/").unwrap().starts_with("<!doctype html>"));
    assert!(program.terminate().success());
}

#[test]
fn it_shows_what_the_status_says_through_an_outage_and_without_complaints() {
    let Some(mut browser) = browser(DESK) else { return };
    let rig = Rig::start();
    let options = Options { rate: 2_000, pause_at: Some(1_500), ..Options::default() };
    let upstream = rig.upstream(64, 4_000, options);
    let text = rig.config_text(&upstream.url(), "");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("the first records are acknowledged", || program.figure("/counts/acked") == 1_500);
    browser.open(&program.url());
    browser.wait("the page is live", |page| page.text("received") == "1,500 records");
    let status = program.status();
    for (id, value) in [
        ("id", "test".to_owned()),
        ("version", format!("version {}", status["version"].as_str().unwrap())),
        ("breaker", "Closed".to_owned()),
        ("delivered", format!("{} records", shown(&status, "/counts/acked"))),
        ("spool", "0".to_owned()),
        ("queue", "0".to_owned()),
        ("flight", "0".to_owned()),
        ("risk", "0".to_owned()),
        ("dead", "0".to_owned()),
        ("dropped", "0".to_owned()),
    ] {
        assert_eq!(browser.text(id), value, "{id}");
    }
    assert!(browser.text("link").starts_with("live "), "{}", browser.text("link"));
    let cells = browser.eval("[...document.querySelectorAll('#sources td')].map(cell => cell.textContent)");
    assert_eq!(cells, serde_json::json!(["http_ndjson", "connected", "1,500", "-", "1", "nothing", "-"]));

    rig.mock.all_down().unwrap();
    upstream.resume();
    wait_until("the rest is on disk", || program.figure("/spool/records") == 2_500);
    browser.wait("the page shows the backlog", |page| page.text("spool") == "2,500");
    assert_eq!(browser.text("breaker"), "Open");
    assert_eq!(browser.eval("document.getElementById('state').dataset.state"), "open");
    assert!(browser.text("received") == "4,000 records" && browser.text("delivered") == "1,500 records");
    browser.wait("samples of the outage are drawn", |page| page.count("#plot-spool path.disk[d*=L]") == 1);
    assert!(browser.count("#plot-breaker rect.open") > 0 && browser.count("#plot-breaker rect.closed") > 0);
    assert_eq!(browser.count("#plot-rates path"), 2, "in and out");

    rig.mock.all_up().unwrap();
    wait_until("all is acknowledged", || {
        program.figure("/counts/replayed") + program.figure("/counts/acked") == 4_000
    });
    browser.wait("the page shows the end", |page| {
        page.text("delivered") == "4,000 records" && page.text("breaker") == "Closed"
    });
    let changes = program.status()["breaker_history"].as_array().unwrap().len();
    assert_eq!(browser.count("#changes li"), changes as u64);
    let last = browser.eval("document.querySelector('#changes li').textContent");
    assert!(last.as_str().unwrap().contains("Half open \u{2192} Closed: "), "{last}");

    browser.look(PHONE);
    let lines = browser.eval(
        "(() => { const range = document.createRange(); return [...document.querySelectorAll('#sources td')].map(cell => \
         { range.selectNodeContents(cell); return range.getClientRects().length; }); })()",
    );
    assert_eq!(lines, serde_json::json!([1, 1, 1, 1, 1, 1, 1]), "no word is broken on a phone");
    let hidden = "(() => { const box = document.querySelector('.wide'); return box.scrollWidth - box.clientWidth; })()";
    assert_eq!(browser.eval(hidden), 0, "and nothing lies beside the screen");
    assert_eq!(browser.errors(), Vec::<String>::new());
    assert!(program.terminate().success());
}

#[test]
fn what_the_configuration_says_is_text_and_nothing_foreign_runs() {
    let Some(mut browser) = browser(DESK) else { return };
    let rig = Rig::start();
    let upstream = rig.upstream(65, 10, Options::default());
    let evil = "<img src=x onerror=document.title=1>";
    let text = rig.config_text(&upstream.url(), "").replace("id = 'test'", &format!("id = '{evil}'"));
    let program = Program::start(rig.dir.path(), &text);
    browser.open(&program.url());
    browser.wait("the page is live", |page| page.text("received") == "10 records");
    assert_eq!(browser.text("id"), evil);
    assert_eq!(browser.count("img"), 0);
    assert_eq!(browser.errors(), Vec::<String>::new(), "not even an attempt");
    // The policy: neither a script nor markup that came into the page somehow would run.
    let tried = browser.eval(
        "(() => { const tried = document.createElement('script'); \
         try { tried.text = 'window.ran = 1'; document.body.append(tried); } catch (error) { return error.name; } \
         return 'appended'; })()",
    );
    assert_eq!(tried, "TypeError", "trusted types");
    let tried = browser.eval("fetch('http://127.0.0.1:9/').then(() => 'fetched', (error) => error.name)");
    assert_eq!(tried, "TypeError");
    let complaints = browser.errors().join("\n");
    assert!(complaints.contains("connect-src") && complaints.contains("TrustedScript"), "{complaints}");
    assert_eq!(browser.eval("window.ran"), Value::Null);
    assert!(program.terminate().success());
}

#[test]
fn a_daemon_that_is_away_is_said_to_be_and_comes_back() {
    let Some(mut browser) = browser(DESK) else { return };
    let rig = Rig::start();
    let upstream = rig.upstream(66, 40, Options { pause_at: Some(30), ..Options::default() });
    let (admin, text) = (free_address(), rig.config_text(&upstream.url(), ""));
    let program = Program::start_at(admin, rig.dir.path(), &text);
    browser.open(&program.url());
    browser.wait("the page is live", |page| page.text("received") == "30 records");
    assert_eq!(browser.errors(), Vec::<String>::new());
    program.kill();
    browser.wait("it is away", |page| page.text("link").starts_with("away: last seen "));
    assert!(browser.text("link").ends_with("Failed to fetch)"), "{}", browser.text("link"));
    assert!(browser.eval("document.title").as_str().unwrap().starts_with("away - "));
    assert_eq!(browser.text("received"), "30 records", "the last figures stay");
    browser.wait("the time grows", |page| {
        let link = page.text("link");
        let seconds =
            link.split_once(" s ago").and_then(|(before, _)| before.rsplit_once(' ')?.1.parse::<u32>().ok());
        seconds.is_some_and(|seconds| seconds >= 3)
    });

    let program = Program::start_at(admin, rig.dir.path(), &text);
    upstream.resume();
    browser.wait("it is back", |page| page.text("received") == "10 records");
    assert!(browser.text("link").starts_with("live "));
    let complaints = browser.errors();
    let is_network = |complaint: &String| complaint.starts_with("network ");
    assert!(complaints.iter().all(is_network), "only that nobody answered: {complaints:?}");
    assert!(program.terminate().success());
}

/// Answers as a daemon that has run for two hours and was stopped for five minutes of the last one.
const HOUR: &str = r#"(() => {
  const now = Date.now(), at = [], state = [], received = [], disk = [];
  for (let i = 719; i >= 0; i--) {
    if (i >= 300 && i < 360) continue;
    at.push(now - i * 5000);
    state.push(i >= 120 && i < 180 ? "open" : "closed");
    received.push((720 - i) * 5000);
    disk.push(i >= 120 && i < 180 ? (180 - i) * 5000 : 0);
  }
  const delivered = received.map((n, i) => n - disk[i]);
  const history = { at_ms: now, started_ms: now - 7200e3, every_ms: 5000, keeps: 720, samples: { at_ms: at, breaker: state,
    received, delivered, queue_records: disk.map(() => 0), spool_records: disk, spool_bytes: disk.map((n) => n * 900) } };
  const none = { reason: "spool_oldest", records: 0 };
  const status = { id: "hour", version: "1", at_ms: now, started_ms: now - 7200e3, breaker: "closed", breaker_opened: 1,
    breaker_history: [{ at_ms: now - 360e3, from: "closed", to: "half_open", detail: "for 100 ms" },
      { at_ms: now - 359.9e3, from: "half_open", to: "closed", detail: "again" }], held_partitions: ["events/3"],
    partitions: [], lane: "direct", sources: [], queue: { records: 0, bytes: 0, fill: 0 },
    in_flight: { direct: 0, replay: 0, oldest_ms: 0 }, at_risk_records: 0, at_risk_bytes: 0,
    spool: { records: 0, bytes: 0, dead_letters: 0, quarantined_records: 0, dropped_oldest: none, problem: null },
    counts: { received: 3600000, acked: 3600000, replayed: 0, dead_topic: 0, dropped: [], unaccounted: 0 } };
  window.fetch = async (path) => ({ ok: true, json: async () => path === "status" ? status : history });
})()"#;

#[test]
fn an_hour_with_a_gap_and_a_short_opening_is_drawn_to_scale() {
    let Some(mut browser) = browser(DESK) else { return };
    let rig = Rig::start();
    let upstream = rig.upstream(67, 1, Options::default());
    let program = Program::start(rig.dir.path(), &rig.config_text(&upstream.url(), ""));
    browser.run_first(HOUR);
    browser.open(&program.url());
    browser.wait("it is drawn", |page| page.text("id") == "hour" && page.count("#plot-rates path") == 2);
    let number = |browser: &mut Browser, script: &str| browser.eval(script).as_f64().unwrap();
    let width = number(&mut browser, "document.getElementById('plot-spool').clientWidth") - 48.0;
    // From the last sample before the gap to the first one after it: 61 steps of 720.
    for plot in ["breaker", "rates", "spool"] {
        assert_eq!(browser.count(&format!("#plot-{plot} rect.gap")), 1, "{plot}");
        let gap = number(
            &mut browser,
            &format!("+document.querySelector('#plot-{plot} rect.gap').getAttribute('width')"),
        );
        assert!((gap / width - 61.0 / 720.0).abs() < 0.002, "{plot}: {gap} of {width}");
    }
    let path = |browser: &mut Browser, plot: &str| {
        browser.eval(&format!("document.querySelector('{plot}').getAttribute('d')"))
    };
    let pieces = path(&mut browser, "#plot-rates path.in").as_str().unwrap().matches('M').count();
    assert_eq!(pieces, 2, "the line is torn at the gap");
    let open = number(
        &mut browser,
        "[...document.querySelectorAll('#plot-breaker rect.open')].reduce((sum, r) => sum + +r.getAttribute('width'), 0)",
    );
    assert!(
        (open / width - 60.0 / 720.0).abs() < 0.005,
        "{open} of {width}: five minutes, a bit more for each rect"
    );
    let half = "document.querySelector('#plot-breaker rect.half_open').getAttribute('width')";
    assert_eq!(browser.eval(half), "1.5", "100 ms are seen, too");
    let highest = browser.eval("[...document.querySelectorAll('#plot-spool text')].map(t => t.textContent)");
    assert!(
        highest.as_array().unwrap().contains(&"500k".into()),
        "300,000 records fit below 500k: {highest}"
    );
    assert_eq!(browser.text("alerts"), "Held back, 1: events/3");
    // A pointer reads the plot where it is: in the middle of the outage.
    browser.eval(
        "(() => { const box = document.getElementById('plot-spool').getBoundingClientRect(); \
         document.getElementById('plot-spool').dispatchEvent(new PointerEvent('pointermove', \
         { clientX: box.left + 44 + (box.width - 48) * (1 - 150 / 720), bubbles: true })); })()",
    );
    let read = browser.text("readout");
    assert!(
        read.contains("in 1,000/s, out 0/s, on disk 150,000 records")
            || read.contains("on disk 155,000 records"),
        "{read}"
    );
    assert!(read.ends_with("breaker open"), "{read}");

    browser.look(Sight { dark: true, ..PHONE });
    let wide = browser.eval("document.documentElement.scrollWidth");
    assert_eq!(wide, 360, "a phone need not scroll sideways");
    assert_eq!(browser.eval("getComputedStyle(document.body).backgroundColor"), "rgb(20, 23, 27)", "dark");
    assert_eq!(browser.errors(), Vec::<String>::new());
    assert!(program.terminate().success());
}
