//! Bluesky's Jetstream: what is asked of it, and with which address. The parts: [`identity`] gives each
//! event an id, [`resume`] says where a stream goes on. It is read by [`super::SocketSource`].
//!
//! It guarantees, by the cursor and a small rewind, that nothing is missed that the service still has;
//! some events come twice, with the same id. What the service no longer has is reported as a [`Gap`].

pub mod identity;
pub mod resume;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use spillway_service::secret::Address;

pub use resume::{Gap, Place, Resume};

/// The public instances: either serves everything.
pub const INSTANCES: [&str; 4] = [
    "wss://jetstream1.us-east.bsky.network/subscribe",
    "wss://jetstream2.us-east.bsky.network/subscribe",
    "wss://jetstream1.us-west.bsky.network/subscribe",
    "wss://jetstream2.us-west.bsky.network/subscribe",
];
/// How far the cursor is set back at another instance when the configuration does not say.
pub const REWIND: Duration = Duration::from_secs(5);
/// What the service takes in one subscription.
const COLLECTIONS_MAX: usize = 100;
const DIDS_MAX: usize = 10_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses that serve the same; the next one is tried when one fails.
    pub instances: Vec<Address>,
    /// Collections (`app.bsky.feed.post`) or prefixes of them (`app.bsky.graph.*`); empty for all.
    pub wanted_collections: Vec<String>,
    /// Whose events; empty for everybody's.
    pub wanted_dids: Vec<String>,
    /// How far the cursor is set back at another instance: their clocks and their order differ.
    pub rewind: Duration,
    /// Ask for messages compressed with zstd.
    pub compress: bool,
    /// The dictionary for that.
    pub zstd_dictionary: Option<PathBuf>,
    /// Messages above this many bytes are not sent by the service.
    pub message_bytes_max: usize,
}

impl Settings {
    /// What is wrong with them besides the addresses: the setting and the reason, for all at once.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key, is_wrong: bool, text: &str| {
            if is_wrong {
                problems.push((key, text.to_owned()));
            }
        };
        wrong("urls", self.instances.is_empty(), "must have at least one address");
        wrong(
            "wanted_collections",
            self.wanted_collections.len() > COLLECTIONS_MAX,
            "must have at most 100 entries: the service takes no more",
        );
        wrong(
            "wanted_collections",
            !self.wanted_collections.iter().all(|name| is_collection(name)),
            "must be names such as \"app.bsky.feed.post\", or prefixes such as \"app.bsky.graph.*\"",
        );
        wrong(
            "wanted_dids",
            self.wanted_dids.len() > DIDS_MAX,
            "must have at most 10000 entries: the service takes no more",
        );
        wrong(
            "wanted_dids",
            !self.wanted_dids.iter().all(|did| did.starts_with("did:") && did.len() <= 2048),
            "must be DIDs such as \"did:plc:z72i7hdynmk6r22z27h6tvur\"",
        );
        wrong(
            "compress",
            self.compress && self.zstd_dictionary.is_none(),
            "needs zstd_dictionary, the path of the dictionary that the service's own source code holds; without it leave compress = false",
        );
        wrong(
            "zstd_dictionary",
            !self.compress && self.zstd_dictionary.is_some(),
            "is of no use without compress = true",
        );
        problems
    }

    /// The address of instance `index`, with the query; the tip of the stream without a cursor.
    #[must_use]
    pub fn address(&self, index: usize, cursor_us: Option<u64>) -> Address {
        let base = self.instances.get(index).map_or("", Address::reveal);
        // An address that does not parse is told when it is dialled.
        let Ok(mut url) = Url::parse(base) else { return Address::new(base.to_owned()) };
        if matches!(url.path(), "" | "/") {
            url.set_path("/subscribe");
        }
        let mut query = url.query_pairs_mut();
        for name in &self.wanted_collections {
            query.append_pair("wantedCollections", name);
        }
        for did in &self.wanted_dids {
            query.append_pair("wantedDids", did);
        }
        query.append_pair("maxMessageSizeBytes", &self.message_bytes_max.to_string());
        if self.compress {
            query.append_pair("compress", "true");
        }
        if let Some(cursor) = cursor_us {
            query.append_pair("cursor", &cursor.to_string());
        }
        drop(query);
        Address::new(url.into())
    }

    /// What instance `index` is called in a [`Place`]: its host, and its port if it is not the usual one.
    #[must_use]
    pub fn host(&self, index: usize) -> String {
        let url = self.instances.get(index).and_then(|address| Url::parse(address.reveal()).ok());
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        match url.as_ref().and_then(Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

fn is_collection(name: &str) -> bool {
    let name = name.strip_suffix(".*").unwrap_or(name);
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    name.len() <= 317 && name.contains('.') && name.split('.').all(is_part)
}
