//! Small helpers of the unit tests.

use std::sync::Arc;

use bytes::Bytes;

use crate::ledger::Ledger;
use crate::record::{Record, SourceIndex};

/// A record of the first source that the ledger knows.
pub(crate) fn record(ledger: &Arc<Ledger>, seq: u64, value: &[u8]) -> Record {
    record_of(ledger, 0, seq, value)
}

/// A record of any source that the ledger knows.
pub(crate) fn record_of(ledger: &Arc<Ledger>, source: SourceIndex, seq: u64, value: &[u8]) -> Record {
    Record {
        seq,
        source,
        upstream_id: None,
        key: None,
        value: Bytes::copy_from_slice(value),
        received_ms: 0,
        guard: ledger.receive(source, seq, value.len()),
    }
}
