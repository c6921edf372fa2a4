//! Small helpers of the unit tests.

use std::sync::Arc;

use bytes::Bytes;

use crate::ledger::Ledger;
use crate::record::Record;

/// A record that the ledger knows.
pub(crate) fn record(ledger: &Arc<Ledger>, seq: u64, value: &[u8]) -> Record {
    Record {
        seq,
        upstream_id: None,
        key: None,
        value: Bytes::copy_from_slice(value),
        received_ms: 0,
        guard: ledger.receive(seq, value.len()),
    }
}
