//! The pictures of the documentation: the page and `top` beside a daemon that has an outage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use spillway_testkit::children;
use spillway_testkit::upstream::{Options, Upstream};

use super::common::{Program, Rig, wait_until};
use super::{Browser, DESK, PHONE, Sight, browser, say_skipped};

/// Where the pictures go; without it none are made.
const PICTURES: &str = "SPILLWAY_PICTURES";
/// Records a second.
const RATE: u64 = 400;

#[test]
fn pictures_for_the_documentation() {
    let Some(dir) = std::env::var_os(PICTURES).map(PathBuf::from) else {
        return say_skipped(&format!("{PICTURES} does not say where to"));
    };
    let Some(mut page) = browser(DESK) else { panic!("pictures need a browser") };
    let rig = Rig::start();
    let upstream = rig.upstream(68, 1_000_000, Options { rate: RATE, ..Options::default() });
    let text = rig.config_text(&upstream.url(), "").replace("id = 'test'", "id = 'edge-hk'");
    let program = Program::start(rig.dir.path(), &text);
    page.open(&program.url());
    play(&rig, &upstream, &program, |when| {
        if when == "outage" {
            top(&mut Browser::start(&Browser::find().unwrap(), DESK), &program, &dir.join("top.png"));
            page.wait("the outage is seen", |page| page.text("breaker") == "Open");
            save(&mut page, DESK, &dir.join("page-outage.png"));
        }
    });
    page.wait("the end is seen", |page| page.text("spool") == "0" && page.text("breaker") == "Closed");
    save(&mut page, Sight { dark: true, ..DESK }, &dir.join("page-dark.png"));
    save(&mut page, PHONE, &dir.join("page-phone.png"));
    assert_eq!(page.errors(), Vec::<String>::new());
    assert!(program.terminate().success());
}

/// The names of the pictures that a page shows or links.
fn named_in(page: &str) -> impl Iterator<Item = String> + '_ {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let names = page.split("images/").skip(1).filter_map(move |rest| rest.split(|c| !is_of_name(c)).next());
    names.filter(|name| name.ends_with(".png")).map(str::to_owned)
}

#[test]
fn the_documentation_shows_every_picture_and_none_that_is_not_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let pages =
        ["README.md", "docs/watching.md"].map(|page| std::fs::read_to_string(root.join(page)).unwrap());
    let named: BTreeSet<String> = pages.iter().flat_map(|page| named_in(page)).collect();
    let files = std::fs::read_dir(root.join("docs/images")).unwrap().map(|file| file.unwrap().file_name());
    let files = files.map(|name| name.into_string().unwrap());
    let there: BTreeSet<String> = files.filter(|name| name.ends_with(".png")).collect();
    assert!(named.len() > 1);
    assert_eq!(named, there);
}

/// Two outages in five minutes, the first one short.
fn play(rig: &Rig, upstream: &Upstream, program: &Program, mut at: impl FnMut(&str)) {
    let pass = |seconds| std::thread::sleep(Duration::from_secs(seconds));
    pass(70);
    rig.mock.all_down().unwrap();
    pass(20);
    rig.mock.all_up().unwrap();
    pass(60);
    upstream.pause();
    pass(10);
    upstream.resume();
    pass(30);
    rig.mock.all_down().unwrap();
    pass(50);
    at("outage");
    rig.mock.all_up().unwrap();
    let began = Instant::now();
    wait_until("the backlog is replayed", || program.figure("/spool/records") == 0);
    pass(40u64.saturating_sub(began.elapsed().as_secs()));
    at("end");
}

fn save(page: &mut Browser, sight: Sight, path: &Path) {
    page.look(sight);
    // Drawn anew at the next look at the daemon, at the latest.
    page.eval("new Promise((done) => setTimeout(done, 2500))");
    page.picture(path);
}

/// What `spillwayd top` draws in a terminal, drawn once more by the browser.
fn top(browser: &mut Browser, program: &Program, path: &Path) {
    let shell = format!(
        "stty rows 40 cols 110; {} top --once --url {}",
        env!("CARGO_BIN_EXE_spillwayd"),
        program.url()
    );
    let mut command = Command::new("script");
    command.args(["-qec", &shell, "/dev/null"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let output = children::output(&mut command).unwrap();
    assert!(output.status.success());
    let html = document(&String::from_utf8(output.stdout).unwrap().replace('\r', ""));
    let file = tempfile::Builder::new().suffix(".html").tempfile().unwrap();
    std::fs::write(file.path(), html).unwrap();
    browser.look(Sight { width: 912, ..DESK });
    browser.open(&format!("file://{}", file.path().display()));
    browser.wait("it is loaded", |page| page.count("pre") == 1);
    browser.picture(path);
}

/// Text with the colours of a terminal, as a document. The letters are 8 by 15 pixels, so that blocks join.
fn document(text: &str) -> String {
    let mut body = String::new();
    for (number, piece) in text.split('\u{1b}').enumerate() {
        let (code, rest) = if number == 0 { ("", piece) } else { piece.split_once('m').unwrap() };
        match code {
            "" => {}
            "[0" => body
                .push_str(&"</span>".repeat(body.matches("<span").count() - body.matches("</span").count())),
            code => body += &format!("<span class=c{}>", code.trim_start_matches('[')),
        }
        body += &rest.replace('&', "&amp;").replace('<', "&lt;");
    }
    format!(
        "<!doctype html><meta charset=utf-8><style>body {{ margin: 0; background: #14171b; color: #e8eaed }} \
         pre {{ margin: 0; padding: 12px 16px; font: 13.29px/15px 'DejaVu Sans Mono', monospace }} \
         .c1 {{ font-weight: bold }} .c2 {{ opacity: .6 }} .c31 {{ color: #ff7b72 }} .c32 {{ color: #46c284 }} \
         .c33 {{ color: #e0a83c }} .c35 {{ color: #c79cff }} .c36 {{ color: #5fd3e6 }}</style><pre>{body}</pre>"
    )
}
