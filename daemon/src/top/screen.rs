//! The terminal: taken over, drawn to and given back, whatever happens; and the loop that waits for keys and
//! answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use spillway_service::errors::chain;

use super::ask::{AskError, Asker, Heard};
use super::draw::{Look, draw};
use super::model::Model;
use super::view::View;
use super::{now_ms, zone};

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often signals and answers are looked for.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long a column of the plots may be.
const STEPS_MS: [u64; 3] = [1_000, 5_000, 30_000];

/// The terminal, in the state that drawing needs. It is given back when this is dropped, and before the
/// message of a panic.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It fails on a terminal that is gone, and then nobody needs it.
        let _ = ratatui::try_restore();
    }
}

/// Watches until `q`, Ctrl-C or a signal.
pub(super) fn watch(model: Model, asker: Asker, colours: bool) -> io::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    // SIGHUP may end it as it stands: there is no terminal then to be given back.
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let mut watcher = Watcher::start(model, asker, colours)?;
    let mut screen = Screen::open()?;
    while !ended.load(Ordering::Acquire) {
        watcher.look(Instant::now())?;
        if std::mem::take(&mut watcher.changed) {
            screen.0.draw(|frame| {
                let view = View::of(&watcher.model, now_ms(), zone());
                draw(frame.area(), frame.buffer_mut(), &watcher.model, &view, watcher.look);
            })?;
        }
        wait_for_key()?;
        while event::poll(Duration::ZERO)? {
            if watcher.take(&event::read()?) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Waits for a key or a signal, at most [`LOOK_EVERY`].
///
/// crossterm would wait as well, but on a terminal that is gone it reads nothing for ever.
fn wait_for_key() -> io::Result<()> {
    let stdin = io::stdin();
    let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut asked, Some(&LOOK_EVERY)) {
        // A signal: the size of the terminal may have changed.
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        return Err(io::Error::other("the terminal is gone"));
    }
    Ok(())
}

struct Watcher {
    model: Model,
    look: Look,
    /// Since when samples are wanted. The thread that asks ends with this.
    questions: Sender<Option<u64>>,
    answers: Receiver<Result<Heard, AskError>>,
    /// When to ask next; none while an answer is awaited.
    due: Option<Instant>,
    /// There is something new to draw.
    changed: bool,
}

impl Watcher {
    fn start(model: Model, asker: Asker, colours: bool) -> io::Result<Self> {
        let (questions, asked) = bounded(1);
        let (told, answers) = bounded(1);
        std::thread::Builder::new().name("ask".into()).spawn(move || {
            for after in asked {
                if told.send(asker.ask(after)).is_err() {
                    break;
                }
            }
        })?;
        let look = Look { colours, step_ms: STEPS_MS[0], keys: true };
        Ok(Self { model, look, questions, answers, due: Some(Instant::now()), changed: true })
    }

    /// Asks when it is time, and takes the answer.
    fn look(&mut self, now: Instant) -> io::Result<()> {
        if self.due.is_some_and(|due| now >= due) {
            let sent = self.questions.send(self.model.wants_samples_after());
            sent.map_err(|_| io::Error::other("the thread that asks the daemon has ended"))?;
            self.due = None;
        }
        if let Ok(answer) = self.answers.try_recv() {
            match answer {
                Ok(heard) => self.model.hear(heard, now_ms()),
                Err(error) => self.model.miss(chain(&error)),
            }
            self.due = Some(now + EVERY);
            self.changed = true;
        }
        Ok(())
    }

    /// Takes an event; whether it ends the watch.
    fn take(&mut self, event: &Event) -> bool {
        self.changed = true;
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
            return false;
        };
        let control = modifiers.contains(KeyModifiers::CONTROL);
        match code {
            KeyCode::Char('c') if control => return true,
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => return true,
            KeyCode::Char('t') => {
                let at = STEPS_MS.iter().position(|step| *step == self.look.step_ms).unwrap_or(0);
                self.look.step_ms = STEPS_MS[(at + 1) % STEPS_MS.len()];
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn watcher() -> Watcher {
        let asker = Asker::new(&"http://127.0.0.1:9".parse().unwrap()).unwrap();
        Watcher::start(Model::new("nowhere".into()), asker, true).unwrap()
    }

    #[test]
    fn keys_end_it_or_change_the_columns() {
        let mut watcher = watcher();
        let mut press = |code, modifiers| {
            let ends = watcher.take(&Event::Key(KeyEvent::new(code, modifiers)));
            (ends, watcher.look.step_ms)
        };
        let none = KeyModifiers::NONE;
        assert_eq!(press(KeyCode::Char('c'), none), (false, 1_000));
        let steps = [5_000, 30_000, 1_000].map(|step| (false, step));
        assert_eq!([(); 3].map(|()| press(KeyCode::Char('t'), none)), steps);
        assert!(press(KeyCode::Char('c'), KeyModifiers::CONTROL).0);
        assert!(press(KeyCode::Char('q'), none).0 && press(KeyCode::Esc, none).0);
        watcher.changed = false;
        assert!(!watcher.take(&Event::Resize(10, 10)) && watcher.changed, "drawn anew in the new size");
    }

    #[test]
    fn the_daemon_is_asked_when_it_is_time_and_not_twice() {
        let (mut watcher, start) = (watcher(), Instant::now());
        watcher.look(start).unwrap();
        assert_eq!(watcher.due, None);
        let answer = watcher.answers.recv().unwrap();
        assert!(answer.is_err());
        watcher.look(start).unwrap();
        assert!(watcher.answers.try_recv().is_err() && watcher.due.is_none(), "not asked a second time");
    }

    /// The child of the test below.
    #[test]
    #[ignore = "it panics, in a terminal that the test below makes"]
    fn panics_in_its_screen() {
        let _screen = Screen::open().unwrap();
        panic!("in the middle of a picture");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        let test = "top::screen::tests::panics_in_its_screen";
        let shell = format!(
            "'{}' --ignored --exact {test} --nocapture; stty -a",
            std::env::current_exe().unwrap().display()
        );
        let mut command = Command::new("script");
        command.args(["-qec", &shell, "/dev/null"]).stdin(std::process::Stdio::null());
        let output = command.env("TERM", "xterm-256color").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let (before, after) = shown.split_once("\u{1b}[?1049l").unwrap();
        assert!(before.contains("\u{1b}[?1049h") && !before.contains("in the middle"), "{shown:?}");
        assert!(after.contains("in the middle of a picture"), "{shown:?}");
        assert!(after.contains(" icanon") && after.contains(" echo "), "{shown:?}");
    }
}
