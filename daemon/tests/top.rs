//! `spillwayd top` beside the real daemon: one picture, and live in a terminal of the test's own.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

mod common;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use common::{Program, Rig, command, free_address, wait_until};
use spillway_testkit::children;
use spillway_testkit::upstream::Options;

/// Runs `spillwayd top --once …`; exit code, what it printed, and what it complained.
fn once(arguments: &[&str]) -> (i32, String, String) {
    let output = children::output(command().args(["top", "--once"]).args(arguments)).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The words after `name` in the row that begins with it.
fn row<'a>(picture: &'a str, name: &str) -> Vec<&'a str> {
    let row = picture.lines().find_map(|line| line.strip_prefix(name));
    row.unwrap_or_else(|| panic!("no row {name:?}:\n{picture}")).split_whitespace().collect()
}

#[test]
fn one_picture_has_the_figures_of_the_status_and_no_colours() {
    let rig = Rig::start();
    let upstream = rig.upstream(61, 900, Options { pause_at: Some(500), ..Options::default() });
    let text = rig.config_text(&upstream.url(), "");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("500 records are acknowledged", || program.figure("/counts/acked") == 500);
    let (code, picture, complaint) = once(&["--url", &program.url()]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(!picture.contains('\u{1b}'), "{picture}");
    assert!(picture.starts_with("spillwayd test  "), "{picture}");
    assert_eq!(row(&picture, "in  ")[1..3], ["500", "records"]);
    assert_eq!(row(&picture, "out  ")[1..3], ["500", "records"]);
    let source = row(&picture, "http_ndjson");
    assert_eq!((&source[..2], &source[3..5]), (&["connected,", "1x"][..], &["500", "-"][..]));
    assert_eq!(row(&picture, "breaker ")[0], "CLOSED");

    rig.mock.all_down().unwrap();
    upstream.resume();
    wait_until("400 records are on disk", || program.figure("/spool/records") == 400);
    let config = rig.dir.path().join("spillwayd.toml");
    let (code, picture, _) = once(&["--config", config.to_str().unwrap()]);
    assert_eq!((code, row(&picture, "breaker ")[0]), (0, "OPEN"));
    assert_eq!(row(&picture, "on disk  ")[0], "400");
    assert_eq!(row(&picture, "out  ")[1], "500");
    assert!(picture.contains("closed -> open: "), "{picture}");
    assert!(program.terminate().success());

    let (code, picture, complaint) = once(&["--config", config.to_str().unwrap()]);
    assert_eq!((code, picture.as_str()), (69, ""));
    assert!(complaint.contains("cannot be seen: no connection"), "{complaint}");
    let output = children::output(command().args(["top", "--config"]).arg(&config)).unwrap();
    assert_eq!(output.status.code(), Some(64), "no terminal");
}

#[test]
fn a_socket_is_watched_like_an_address() {
    let rig = Rig::start();
    let upstream = rig.upstream(62, 50, Options::default());
    let socket = rig.dir.path().join("admin.sock");
    let text = rig.config_text(&upstream.url(), &format!("[admin]\nlisten = 'unix:{}'\n", socket.display()));
    let config = rig.dir.path().join("socket.toml");
    std::fs::write(&config, text).unwrap();
    let mut child = children::spawn(command().args(["run", "--config"]).arg(&config)).unwrap();
    wait_until("50 records are seen over the socket", || {
        let (code, picture, _) = once(&["--config", config.to_str().unwrap()]);
        code == 0 && row(&picture, "out  ")[1] == "50"
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// A shell command in a terminal of its own, which `script` makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(shell: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["-qfec", shell, "/dev/null"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = children::spawn(&mut command).unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = out.read(&mut buffer) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        });
        Self { child, keys, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for words that come after the first `from` bytes.
    fn wait_for(&self, words: &str, from: usize) {
        wait_until(words, || self.shown()[from..].contains(words));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already gone in a test that went well. What runs in the terminal ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_follows_a_daemon_that_goes_away_and_comes_back_and_gives_the_terminal_back() {
    let rig = Rig::start();
    let upstream = rig.upstream(63, 3_000, Options { rate: 100, ..Options::default() });
    let (admin, text) = (free_address(), rig.config_text(&upstream.url(), ""));
    let program = Program::start_at(admin, rig.dir.path(), &text);
    let top = format!(
        "stty rows 34 cols 100; {} top --url {admin}; echo \"it ended with $?\"; stty -a; echo over",
        env!("CARGO_BIN_EXE_spillwayd")
    );
    let mut terminal = Terminal::start(&top);
    wait_until("it is drawn", || terminal.shown().contains("upstream") && terminal.shown().contains("live "));
    assert!(terminal.shown().contains("\u{1b}[?1049h"), "on a screen of its own");
    let before = terminal.shown().len();
    program.kill();
    terminal.wait_for("AWAY", before);
    let before = terminal.shown().len();
    let program = Program::start_at(admin, rig.dir.path(), &text);
    terminal.wait_for("live ", before);
    assert!(!terminal.shown().contains("it ended"));
    terminal.press("q");
    // What is drawn may have that word, too.
    let end = |shown: String| shown.rsplit_once("\u{1b}[?1049l").map(|(_, after)| after.to_owned());
    wait_until("it has ended", || end(terminal.shown()).is_some_and(|after| after.contains("over")));
    let after = end(terminal.shown()).unwrap();
    assert!(after.contains("it ended with 0"), "{after}");
    assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
    assert!(program.terminate().success());
}

#[test]
fn it_ends_with_its_terminal_also_where_that_is_not_told() {
    let (program, nowhere) = (env!("CARGO_BIN_EXE_spillwayd"), free_address());
    for trap in ["", "trap '' HUP;"] {
        let shell = format!("stty rows 20 cols 80; {trap} echo pid=$$.; exec {program} top --url {nowhere}");
        let terminal = Terminal::start(&shell);
        wait_until("it says that nobody is there", || terminal.shown().contains("AWAY: no connection"));
        let shown = terminal.shown();
        let pid = shown.split_once("pid=").unwrap().1.split_once('.').unwrap().0;
        let process = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
        assert!(process.read_link().unwrap().ends_with("spillwayd"));
        // The terminal goes as it does when a connection breaks.
        drop(terminal);
        wait_until("it has ended", || process.read_link().is_err());
    }
}

#[test]
fn control_c_ends_it_too() {
    let (program, nowhere) = (env!("CARGO_BIN_EXE_spillwayd"), free_address());
    let mut terminal =
        Terminal::start(&format!("stty rows 20 cols 80; {program} top --url {nowhere}; echo over"));
    wait_until("it says that nobody is there", || terminal.shown().contains("AWAY: no connection"));
    terminal.press("\u{3}");
    wait_until("it has ended", || {
        terminal.shown().contains("\u{1b}[?1049l") && terminal.shown().contains("over")
    });
}
