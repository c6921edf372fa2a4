//! The source as the configuration makes it, and what it went through.

use std::path::PathBuf;
use std::time::Duration;

use spillway_daemon::Config;
use spillway_daemon::config::SourceKind;
use spillway_daemon::frontier::Cursor;
use spillway_daemon::sources::gaps::Gap;
use spillway_daemon::sources::{Disconnect, Event, Line, Met, SocketSource};
use spillway_service::settings::Environment;
use spillway_testkit::services::jetstream::{DICTIONARY, Jetstream};

/// No single wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The seed of this run, printed; `SPILLWAY_SEED` plays one again.
#[expect(clippy::print_stderr, reason = "a failing run must be replayable")]
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SPILLWAY_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(u64::from(now.subsec_nanos()));
    eprintln!("SPILLWAY_SEED={seed}");
    seed
}

/// A file with these bytes in a folder of the test.
pub(crate) fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Settings that ask for compressed messages, with the dictionary of the fake.
pub(crate) fn compressed(dir: &tempfile::TempDir) -> String {
    let path = file(dir, "dictionary", DICTIONARY);
    format!("compress = true\nzstd_dictionary = '{}'\n", path.display())
}

pub(crate) struct Client {
    settings: String,
    source: SocketSource,
    /// Where it goes on after a restart.
    pub(crate) cursor: Option<Cursor>,
    /// Connections that ended or were not made.
    pub(crate) disconnects: Vec<Disconnect>,
    /// Of the lives before.
    gaps: u64,
}

impl Client {
    pub(crate) fn new(servers: &[&Jetstream], settings: &str) -> Self {
        let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
        let settings = format!("type = 'bluesky_jetstream'\nurls = {urls:?}\n{settings}");
        Self { source: source(&settings, None), settings, cursor: None, disconnects: Vec::new(), gaps: 0 }
    }

    /// Forgets all but the last cursor, as a process that dies.
    pub(crate) fn restart(&mut self) {
        self.gaps = self.gaps();
        self.source = source(&self.settings, self.cursor.clone());
    }

    pub(crate) fn met(&self) -> Met {
        self.source.met()
    }

    /// Gaps over all lives.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps + self.met().tally.gaps
    }

    pub(crate) fn last_gap(&self) -> Option<Gap> {
        self.met().tally.last_gap
    }

    /// What comes next.
    pub(crate) async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.source.next()).await;
        let event = event.expect("nothing came for too long");
        if let Event::Lines(lines) = &event {
            self.cursor = lines.last().and_then(|line| line.cursor.clone());
            assert!(self.cursor.is_some(), "each batch has a place to go on from");
        }
        event
    }

    pub(crate) async fn open(&mut self) {
        assert_eq!(self.event().await, Event::Connected);
    }

    /// The next disconnect.
    pub(crate) async fn disconnect(&mut self) -> Disconnect {
        loop {
            if let Event::Disconnected(disconnect) = self.event().await {
                return disconnect;
            }
        }
    }

    /// The next records, after as many attempts as it takes.
    pub(crate) async fn some(&mut self) -> Vec<Line> {
        loop {
            match self.event().await {
                Event::Lines(lines) => return lines,
                Event::Disconnected(disconnect) => self.disconnects.push(disconnect),
                Event::Connected => {}
                Event::Ended => panic!("a stream over a WebSocket has no end"),
            }
        }
    }

    pub(crate) async fn read(&mut self, records: usize) -> Vec<Line> {
        let mut got = Vec::new();
        while got.len() < records {
            got.extend(self.some().await);
        }
        got
    }
}

fn source(settings: &str, cursor: Option<Cursor>) -> SocketSource {
    let text = format!("[source]\n{settings}\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n");
    let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
    let SourceKind::Socket(socket) = &config.sources[0].kind else { panic!("no WebSocket: {settings}") };
    SocketSource::new("test", (**socket).clone(), config.sources[0].max_record_bytes, cursor).unwrap()
}
