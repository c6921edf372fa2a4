//! The index: sled, holding small values only. Where frames lie, what segments hold, the state's mirror and the
//! list of dead letters.
//!
//! Guarantees: a panic inside sled becomes an error; after `flush` everything applied before survives a power
//! cut (sled's own flush does not sync the file's metadata, so the file is fdatasynced here). Every value is
//! below 5 KiB, far from the size at which sled would begin unsynced blob files; `flush` checks that there are
//! none. Nothing in here is the only copy of anything: see `indexer` for how it is rebuilt.
//!
//! ```text
//! tree      key         value
//! frames    first seq   segment, offset, frame length, records, payload bytes, unix ms
//! segments  first seq   end seq, length, payload bytes
//! meta      name        identity (format, spool id), state (acknowledged, tail, counters),
//!                       dead (number before which all dead letters are indexed), user/<key>
//! dead      id          segment, offset, unix ms, bytes, reason
//! ```
//! `frames` has the first frame of each segment and about one in 256 KiB after it: finding any other is one read.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::frame::FORMAT_VERSION;
use crate::index_values::{DeadEntry, FrameEntry, Summary};
use crate::state::State;

/// Why the index cannot be used. What it says is for the log; the reaction is always the same: rebuild.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("sled failed")]
    Sled(#[from] sled::Error),
    #[error("sled panicked: {0}")]
    Panicked(String),
    #[error("a file of the index failed")]
    File(#[source] std::io::Error),
    #[error("the index began a blob file, which would not be durable")]
    Blob,
    #[error("the index belongs to another spool or format")]
    Foreign,
    #[error("a value in the index has the wrong length")]
    Malformed,
}

/// One change of the index.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A frame is durable.
    Frame(FrameEntry),
    /// A segment is closed.
    Closed(Summary),
    /// The frames and segments before this sequence number are gone.
    ForgetBefore(u64),
    /// A dead letter is durable.
    Dead(DeadEntry),
    /// A dead letter was removed.
    DeadRemoved(u64),
    /// The dead letters before this number are all known.
    DeadThrough(u64),
}

/// An open index. All its functions are to be called through [`guard`].
pub(crate) struct Index {
    db: sled::Db,
    frames: sled::Tree,
    segments: sled::Tree,
    meta: sled::Tree,
    dead: sled::Tree,
    /// sled's file, for the fdatasync that sled itself does not do.
    file: File,
    dir: PathBuf,
}

/// Turns a panic of sled into an error.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(IndexError::Panicked(text.to_owned()))
    })
}

impl Index {
    /// Opens or creates the index of the spool with this id.
    pub(crate) fn open(dir: &Path, cache_bytes: u64, spool_id: u32) -> Result<Index, IndexError> {
        remove_unfinished_snapshots(dir);
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            // No flusher thread: this crate flushes, and knows when it did.
            .flush_every_ms(None)
            .open()?;
        let index = Index {
            frames: db.open_tree("frames")?,
            segments: db.open_tree("segments")?,
            meta: db.open_tree("meta")?,
            dead: db.open_tree("dead")?,
            file: File::open(dir.join("db")).map_err(IndexError::File)?,
            dir: dir.to_path_buf(),
            db,
        };
        index.claim(spool_id)?;
        Ok(index)
    }

    /// Writes format and id into a new index, or checks those of an old one.
    fn claim(&self, spool_id: u32) -> Result<(), IndexError> {
        let identity = [u32::from(FORMAT_VERSION).to_le_bytes(), spool_id.to_le_bytes()].concat();
        match self.meta.get("identity")? {
            Some(found) if found == identity => Ok(()),
            None if self.frames.is_empty() => {
                self.meta.insert("identity", identity)?;
                self.flush()?;
                for name in ["conf", "."] {
                    File::open(self.dir.join(name))
                        .and_then(|file| file.sync_all())
                        .map_err(IndexError::File)?;
                }
                Ok(())
            }
            _ => Err(IndexError::Foreign),
        }
    }

    /// Applies changes in order. Not durable before [`flush`](Index::flush).
    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), IndexError> {
        // Runs of frames, by far the most frequent change, go in as one batch.
        let mut frames = sled::Batch::default();
        for change in changes {
            match change {
                Change::Frame(entry) => {
                    frames.insert(&entry.first_seq.to_be_bytes(), entry.encode().as_slice())
                }
                other => {
                    self.frames.apply_batch(std::mem::take(&mut frames))?;
                    self.apply_one(other)?;
                }
            }
        }
        self.frames.apply_batch(frames)?;
        Ok(())
    }

    fn apply_one(&self, change: &Change) -> Result<(), IndexError> {
        match change {
            Change::Frame(entry) => {
                self.frames.insert(entry.first_seq.to_be_bytes(), entry.encode().as_slice())?;
            }
            Change::Closed(summary) => {
                self.segments.insert(summary.first_seq.to_be_bytes(), summary.encode().as_slice())?;
            }
            Change::ForgetBefore(seq) => {
                forget_before(&self.frames, *seq)?;
                forget_before(&self.segments, *seq)?;
            }
            Change::Dead(entry) => {
                self.dead.insert(entry.id.to_be_bytes(), entry.encode())?;
                self.meta.insert("dead", &(entry.id + 1).to_le_bytes())?;
            }
            Change::DeadRemoved(id) => {
                self.dead.remove(id.to_be_bytes())?;
            }
            Change::DeadThrough(number) => {
                self.meta.insert("dead", &number.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Makes everything applied so far survive a power cut.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        self.db.flush()?;
        self.file.sync_data().map_err(IndexError::File)?;
        let blobs = std::fs::read_dir(self.dir.join("blobs")).map_err(IndexError::File)?;
        if blobs.count() > 0 { Err(IndexError::Blob) } else { Ok(()) }
    }

    /// The frame with the greatest first sequence number not above `seq`.
    pub(crate) fn frame_at_or_before(&self, seq: u64) -> Result<Option<FrameEntry>, IndexError> {
        let found = self.frames.range(..=seq.to_be_bytes()).next_back().transpose()?;
        found.map(|(key, value)| FrameEntry::decode(&key, &value)).transpose()
    }

    /// What is known of closed segments.
    pub(crate) fn summaries(&self) -> Result<Vec<Summary>, IndexError> {
        self.segments
            .iter()
            .map(|item| item.map_err(IndexError::from).and_then(|(k, v)| Summary::decode(&k, &v)))
            .collect()
    }

    /// Mirrors the state, except for what only the checkpoint keeps (the lost ranges).
    pub(crate) fn put_state(&self, state: &State) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (key, value) in &state.meta {
            batch.insert(format!("{USER}{key}").as_bytes(), value.as_slice());
        }
        let core = State { meta: Default::default(), holes: Default::default(), ..state.clone() };
        batch.insert("state", core.encode());
        self.meta.apply_batch(batch)?;
        Ok(())
    }

    /// The mirrored state, if there is one.
    pub(crate) fn state(&self) -> Result<Option<State>, IndexError> {
        let Some(core) = self.meta.get("state")? else { return Ok(None) };
        let mut state = State::decode(&core).ok_or(IndexError::Malformed)?;
        for item in self.meta.scan_prefix(USER) {
            let (key, value) = item?;
            let key = std::str::from_utf8(&key[USER.len()..]).map_err(|_| IndexError::Malformed)?;
            state.meta.insert(key.to_owned(), value.to_vec());
        }
        Ok(Some(state))
    }

    /// The dead letters from `id` on, at most `limit` of them.
    pub(crate) fn dead_from(&self, id: u64, limit: usize) -> Result<Vec<DeadEntry>, IndexError> {
        let range = self.dead.range(id.to_be_bytes()..).take(limit);
        range
            .map(|item| item.map_err(IndexError::from).and_then(|(k, v)| DeadEntry::decode(&k, &v)))
            .collect()
    }

    /// The first number of the dead letters' log that the index may not know.
    pub(crate) fn dead_through(&self) -> Result<u64, IndexError> {
        let found = self.meta.get("dead")?;
        found.map_or(Ok(0), |v| {
            v.as_ref().try_into().map(u64::from_le_bytes).map_err(|_| IndexError::Malformed)
        })
    }

    /// Number of dead letters.
    pub(crate) fn dead_count(&self) -> u64 {
        self.dead.len() as u64
    }

    /// Bytes the index takes on disk.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

/// Keys of the users' meta values.
const USER: &str = "user/";

/// Keys removed in one batch: bounds the memory of forgetting a segment of tiny frames.
const FORGET_BATCH: usize = 1024;

fn forget_before(tree: &sled::Tree, seq: u64) -> Result<(), IndexError> {
    loop {
        let mut batch = sled::Batch::default();
        let mut count = 0;
        for key in tree.range(..seq.to_be_bytes()).keys().take(FORGET_BATCH) {
            batch.remove(key?);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        tree.apply_batch(batch)?;
    }
}

/// sled leaves `snap.*.generating` behind when it is killed while opening, and then takes it for its newest
/// snapshot and refuses to open. It is never needed.
fn remove_unfinished_snapshots(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "generating")
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(event = "spool_leftover", path = %path.display(), %error, "cannot remove an unfinished snapshot of the index");
        }
    }
}
