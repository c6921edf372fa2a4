//! An id for each event: the same from every instance and in every replay, so that Kafka's readers can
//! tell a repetition.
//!
//! | kind | id | why it is stable |
//! |---|---|---|
//! | commit | `did/collection/rkey@rev/operation` | a repository numbers its commits (`rev`) itself, and one commit touches a path once |
//! | identity, account | `did#kind/seq` | `seq` is the network relay's, not the instance's |
//! | any other | `did#kind@time_us` | only within one instance: nothing better is known of it |
//!
//! `time_us` is no part of the others: each instance notes its own. Nor is `cid`: a deletion has none,
//! and the same content put again has the same one.

use crate::pointer::{Pointer, extract};

/// What was read of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its id, when it has what one is made of.
    pub id: Option<String>,
    /// `time_us`: when the instance had it, unix microseconds.
    pub time_us: Option<u64>,
}

/// Reads the few fields, which stand at the beginning of an event; the record itself is not read.
#[derive(Debug)]
pub struct Reader {
    envelope: [Pointer; 3],
    commit: [Pointer; 4],
    identity_seq: Pointer,
    account_seq: Pointer,
}

impl Default for Reader {
    fn default() -> Self {
        let path = Pointer::of;
        Self {
            envelope: [path(&["did"]), path(&["time_us"]), path(&["kind"])],
            commit: ["rev", "operation", "collection", "rkey"].map(|field| path(&["commit", field])),
            identity_seq: path(&["identity", "seq"]),
            account_seq: path(&["account", "seq"]),
        }
    }
}

impl Reader {
    /// Reads an event.
    #[must_use]
    pub fn read(&self, json: &[u8]) -> Identity {
        let [did, time, kind] = extract(json, self.envelope.each_ref().map(Some));
        let time_us = time.as_deref().and_then(|time| time.parse().ok());
        let id = did.zip(kind).and_then(|(did, kind)| self.id(json, &did, &kind, time.as_deref()));
        Identity { id, time_us }
    }

    fn id(&self, json: &[u8], did: &str, kind: &str, time: Option<&str>) -> Option<String> {
        let own = match kind {
            "commit" => {
                let [rev, operation, collection, rkey] = extract(json, self.commit.each_ref().map(Some));
                Some(format!("{did}/{}/{}@{}/{}", collection?, rkey?, rev?, operation?))
            }
            "identity" => self.numbered(json, did, kind, &self.identity_seq),
            "account" => self.numbered(json, did, kind, &self.account_seq),
            _ => None,
        };
        own.or_else(|| time.map(|time| format!("{did}#{kind}@{time}")))
    }

    fn numbered(&self, json: &[u8], did: &str, kind: &str, seq: &Pointer) -> Option<String> {
        let [seq] = extract(json, [Some(seq)]);
        Some(format!("{did}#{kind}/{}", seq?))
    }
}
