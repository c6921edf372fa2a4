//! What a run says of itself in the store.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;

/// What every object's metadata says.
pub(crate) fn facts(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", config.profile.name().to_owned()),
        ("topic", config.topic.clone()),
        ("delay_ms", config.time.delay.as_millis().to_string()),
    ]
}

/// A name that no other probe has: two runs must not take each other's probe for their own.
pub(crate) fn of_probe() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let salt = RandomState::new().hash_one(std::process::id());
    format!("{}-{salt:016x}", since_1970.as_micros())
}
