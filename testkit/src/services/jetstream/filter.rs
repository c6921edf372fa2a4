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
        let mut filter =
            Self { is_compressed: request.header("socket-encoding") == Some("zstd"), ..Self::default() };
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace("%3A", ":").replace("%3a", ":").replace("%2A", "*");
            match name {
                "wantedCollections" => filter.collections.push(value),
                "wantedDids" => filter.dids.push(value),
                "cursor" => filter.cursor = Some(value.parse().ok()?),
                "compress" => filter.is_compressed |= value == "true",
                "maxMessageSizeBytes" => filter.message_bytes_max = value.parse().unwrap_or(0),
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
