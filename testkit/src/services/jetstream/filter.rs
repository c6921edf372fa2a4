//! What a client asked for in its query, and whether the server takes it.

use super::event::Event;
use crate::http::Request;

const COLLECTIONS_MAX: usize = 100;
const DIDS_MAX: usize = 10_000;

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    collections: Vec<String>,
    dids: Vec<String>,
    /// 0 for no limit.
    message_bytes_max: usize,
    pub(super) cursor: Option<u64>,
    pub(super) is_compressed: bool,
}

impl Filter {
    /// `None` when the server refuses it as a bad request.
    pub(super) fn read(request: &Request) -> Option<Self> {
        let number = |name| request.query(name).map(str::parse);
        let mut filter = Self {
            cursor: number("cursor").transpose().ok()?,
            is_compressed: request.query("compress") == Some("true")
                || request.header("socket-encoding") == Some("zstd"),
            // As the service does: what is no number is no limit.
            message_bytes_max: request.query("maxMessageSizeBytes").map_or(0, |max| max.parse().unwrap_or(0)),
            ..Self::default()
        };
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace("%3A", ":").replace("%2A", "*");
            match name {
                "wantedCollections" => filter.collections.push(value),
                "wantedDids" => filter.dids.push(value),
                _ => {}
            }
        }
        let fits = filter.collections.len() <= COLLECTIONS_MAX && filter.dids.len() <= DIDS_MAX;
        fits.then_some(filter)
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        let fits = self.message_bytes_max == 0 || event.bytes.len() <= self.message_bytes_max;
        let did = self.dids.is_empty() || self.dids.contains(&event.did);
        fits && did && self.wants_collection(event.collection.as_deref())
    }

    /// Identities and accounts come whatever collections are wanted.
    fn wants_collection(&self, collection: Option<&str>) -> bool {
        let Some(collection) = collection else { return true };
        self.collections.is_empty()
            || self.collections.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => collection.starts_with(prefix),
                None => wanted == collection,
            })
    }
}
