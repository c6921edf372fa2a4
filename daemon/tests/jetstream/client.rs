//! A reader that connects again at once, and notes what it went through.

use std::path::PathBuf;
use std::time::Duration;

use spillway_daemon::sources::jetstream::{Gap, Place, REWIND, Record, Resume, Settings, Subscription};
use spillway_daemon::sources::websocket::dictionary::Dictionary;
use spillway_daemon::sources::websocket::{Broken, Connector, Dialling, Limits};
use spillway_service::secret::{Address, Secret};
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

pub(crate) struct Client {
    instances: Vec<Address>,
    pub(crate) collections: Vec<String>,
    pub(crate) compress: bool,
    pub(crate) token: Option<String>,
    pub(crate) silence: Duration,
    subscription: Option<Subscription>,
    is_open: bool,
    /// Where it goes on after a restart.
    place: Option<Place>,
    /// Connections that ended or were not made.
    pub(crate) faults: u64,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) ids: Vec<String>,
}

impl Client {
    pub(crate) fn new(servers: &[&Jetstream]) -> Self {
        Self {
            instances: servers.iter().map(|server| Address::new(server.url())).collect(),
            collections: Vec::new(),
            compress: false,
            token: None,
            silence: Duration::from_secs(20),
            subscription: None,
            is_open: false,
            place: None,
            faults: 0,
            gaps: Vec::new(),
            ids: Vec::new(),
        }
    }

    fn subscription(&mut self) -> &mut Subscription {
        if self.subscription.is_none() {
            self.subscription = Some(self.make());
        }
        self.subscription.as_mut().unwrap()
    }

    fn make(&self) -> Subscription {
        let limit = 32 << 20;
        let settings = Settings {
            instances: self.instances.clone(),
            wanted_collections: self.collections.clone(),
            wanted_dids: Vec::new(),
            rewind: REWIND,
            compress: self.compress,
            zstd_dictionary: self.compress.then(|| PathBuf::from("given below")),
            message_bytes_max: limit,
        };
        assert_eq!(settings.problems(), []);
        let dialling = Dialling {
            headers: Vec::new(),
            bearer_token: self.token.clone().map(Secret::new),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
            uses_tls: false,
            ca_file: None,
            limits: Limits { message_bytes: limit, silence: Some(self.silence) },
        };
        let dictionary = self.compress.then(|| Dictionary::new(DICTIONARY).unwrap());
        let resume = Resume::new(settings, self.place.clone());
        // Large events of the random faults are to arrive; one test has larger ones than its limit.
        let record_max = if self.silence < Duration::from_secs(1) { 15 << 20 } else { 1 << 20 };
        Subscription::new(Connector::new(dialling).unwrap(), resume, dictionary, record_max, limit)
    }

    pub(crate) fn too_long(&self) -> u64 {
        self.subscription.as_ref().map_or(0, Subscription::too_long)
    }

    /// Forgets all but the last place, as a process that dies.
    pub(crate) fn restart(&mut self) {
        (self.subscription, self.is_open) = (None, false);
    }

    pub(crate) fn resume_at(&mut self, place: Option<Place>) {
        self.place = place;
        self.restart();
    }

    pub(crate) async fn try_open(&mut self) -> Result<(), Broken> {
        self.restart();
        let opened = self.subscription().connect().await;
        self.is_open = opened.is_ok();
        opened
    }

    pub(crate) async fn open(&mut self) {
        self.try_open().await.unwrap();
    }

    pub(crate) async fn one_batch(&mut self) -> Result<Vec<Record>, Broken> {
        let records = self.subscription().next().await;
        self.is_open = records.is_ok();
        records
    }

    /// Waits until the connection has ended.
    pub(crate) async fn broken(&mut self) {
        while tokio::time::timeout(PATIENCE, self.one_batch()).await.unwrap().is_ok() {}
    }

    /// The next records, after as many attempts as it takes.
    pub(crate) async fn some(&mut self) -> Vec<Record> {
        let records = tokio::time::timeout(PATIENCE, self.attempt());
        let records = records.await.expect("nothing came for too long");
        for record in &records {
            self.gaps.extend(record.gap);
            self.ids.extend(record.id.clone());
            self.place = record.place.clone().or(self.place.take());
        }
        records
    }

    async fn attempt(&mut self) -> Vec<Record> {
        loop {
            if !self.is_open && self.subscription().connect().await.is_err() {
                self.faults += 1;
                continue;
            }
            self.is_open = true;
            match self.one_batch().await {
                Ok(records) => return records,
                Err(_) => self.faults += 1,
            }
        }
    }

    pub(crate) async fn read(&mut self, records: usize) -> Vec<Record> {
        let mut got = Vec::new();
        while got.len() < records {
            got.extend(self.some().await);
        }
        got
    }
}
