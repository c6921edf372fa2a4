//! What the robustness tests share: a mock cluster with its reader, the real `spillwayd`, seeds and
//! counts from the environment.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this module and uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails loudly, and says what can repeat it"
)]

pub mod daemon;
pub mod frames;
pub mod load;
pub mod rounds;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spillway_testkit::kafka::{Mock, Reader};

pub const TOPIC: &str = "events";
pub const PARTITIONS: i32 = 4;
/// Far above what anything here takes; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A mock cluster with a topic, and the reader of all that is in it.
pub struct Cluster {
    pub mock: Mock,
    pub reader: Reader,
}

impl Cluster {
    pub fn start() -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        let reader = Reader::start(mock.bootstrap(), TOPIC, PARTITIONS).unwrap();
        Self { mock, reader }
    }
}

/// Polls `done`, for what has no event to wait for: another process.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many cases to run: the environment's `name`, else `usual`.
pub fn cases(name: &str, usual: u64) -> u64 {
    number(name).unwrap_or(usual)
}

/// A seed of the environment (`SPILLWAY_SEED`), else one of the clock; printed, so that it can be used again.
pub fn seed(test: &str) -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = number("SPILLWAY_SEED").unwrap_or_else(clock);
    eprintln!("{test}: SPILLWAY_SEED={seed}");
    seed
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
