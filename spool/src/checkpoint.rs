//! The checkpoint: two slots of one preallocated file that take turns holding the newest [`State`].
//!
//! Guarantees: after a power cut at any moment at least one slot is whole, so the acknowledged position and the
//! source's cursor do not depend on the index being readable. Writing needs no new disk block, so a full disk
//! does not stop the spool from draining. Never holds anything a slot cannot hold.
//!
//! ```text
//!  0        8           16                                        SLOT
//!  +--------+-----+-----+----------------------+---------+--------+----
//!  | magic  | len | id  | state (len bytes)    | CRC32C  | unused | second slot, the same ...
//!  +--------+-----+-----+----------------------+---------+--------+----
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::fault::Faults;
use crate::files::{create_new, read_up_to, remove, sync_dir};
use crate::frame::read_u32;
use crate::state::{MAX_STATE_BYTES, State};

/// Name of the file in the spool's folder.
pub(crate) const NAME: &str = "checkpoint";

const MAGIC: [u8; 8] = *b"SPWCKPT1";

/// Magic, length and spool id before the state.
const FRONT: usize = 16;

/// The checksum behind the state.
const BACK: usize = 4;

/// Size of a slot in bytes. A multiple of any sector size, so that the slots never share a sector.
const SLOT_BYTES: usize = 128 * 1024;

const _: () = assert!(FRONT + MAX_STATE_BYTES + BACK <= SLOT_BYTES);

/// The open checkpoint of a spool.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// `None` before the first write of a new file, and after a failed fsync: the file is then made anew.
    file: Option<File>,
    path: PathBuf,
    spool_id: u32,
    /// The generation last written.
    generation: u64,
    faults: Faults,
}

/// The newest state in a spool's folder. Read-only. `None` if there is none that is whole and of this spool.
pub(crate) fn read(dir: &Path, spool_id: Option<u32>) -> Option<State> {
    let file = File::open(dir.join(NAME)).ok()?;
    let slots = [0, 1].map(|slot| read_slot(&file, slot, spool_id));
    slots.into_iter().flatten().max_by_key(|state| state.generation)
}

fn read_slot(file: &File, slot: u64, spool_id: Option<u32>) -> Option<State> {
    let mut bytes = vec![0; SLOT_BYTES];
    let read = read_up_to(file, &mut bytes, slot * SLOT_BYTES as u64).ok()?;
    decode_slot(&bytes[..read], spool_id)
}

pub(crate) fn decode_slot(bytes: &[u8], spool_id: Option<u32>) -> Option<State> {
    if bytes.len() < FRONT + BACK || bytes[..8] != MAGIC {
        return None;
    }
    let len = read_u32(bytes, 8) as usize;
    let id = read_u32(bytes, 12);
    if len > MAX_STATE_BYTES || FRONT + len + BACK > bytes.len() || spool_id.is_some_and(|own| own != id) {
        return None;
    }
    let end = FRONT + len;
    if crc32c::crc32c(&bytes[..end]) != read_u32(bytes, end) {
        return None;
    }
    State::decode(&bytes[FRONT..end])
}

fn encode_slot(state: &State, spool_id: u32) -> Vec<u8> {
    let body = state.encode();
    let mut out = Vec::with_capacity(FRONT + body.len() + BACK);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&spool_id.to_le_bytes());
    out.extend_from_slice(&body);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

impl Checkpoint {
    /// Opens the file. `generation` is the newest known. One that is missing or misshapen is made by the first write.
    pub(crate) fn open(dir: &Path, spool_id: u32, generation: u64, faults: Faults) -> Checkpoint {
        let path = dir.join(NAME);
        let file = OpenOptions::new().read(true).write(true).open(&path).ok();
        let file = file.filter(|file| file.metadata().is_ok_and(|m| m.len() == 2 * SLOT_BYTES as u64));
        Checkpoint { file, path, spool_id, generation, faults }
    }

    /// Makes `state` durable as the next generation, which is written into it.
    pub(crate) fn write(&mut self, state: &mut State) -> Result<(), Error> {
        self.faults.point("checkpoint.begin");
        let generation = self.generation + 1;
        state.generation = generation;
        let bytes = encode_slot(state, self.spool_id);
        let at = (generation % 2) * SLOT_BYTES as u64;
        match &self.file {
            Some(file) => {
                self.write_slot(file, &bytes, at).or_io("write", &self.path)?;
                self.faults.point("checkpoint.written");
                if let Err(error) = self.faults.io("checkpoint.sync").and_then(|()| file.sync_data()) {
                    self.file = None;
                    return Err(Error::io("sync", &self.path, error));
                }
            }
            None => {
                self.faults.io("checkpoint.write").or_io("write", &self.path)?;
                self.file = Some(allocate(&self.path, &bytes, at, &self.faults)?);
            }
        }
        self.faults.point("checkpoint.synced");
        self.generation = generation;
        Ok(())
    }

    fn write_slot(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.faults.io("checkpoint.write")?;
        let (front, back) = bytes.split_at(bytes.len() / 2);
        file.write_all_at(front, at)?;
        self.faults.point("checkpoint.half_written");
        file.write_all_at(back, at + front.len() as u64)
    }
}

/// A new file that holds one slot's bytes. The old one stays in place until the new one is durable.
fn allocate(path: &Path, slot: &[u8], at: u64, faults: &Faults) -> Result<File, Error> {
    let temporary = path.with_extension("tmp");
    remove(&temporary)?;
    let file = create_new(&temporary)?;
    // Written, not only reserved: overwriting these blocks later needs no space.
    file.write_all_at(&vec![0; 2 * SLOT_BYTES], 0).or_io("write", &temporary)?;
    file.write_all_at(slot, at).or_io("write", &temporary)?;
    faults.io("checkpoint.sync").and_then(|()| file.sync_all()).or_io("sync", &temporary)?;
    std::fs::rename(&temporary, path).or_io("rename", path)?;
    path.parent().map_or(Ok(()), sync_dir)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, plan};

    fn state(acknowledged: u64) -> State {
        State { acknowledged, tail: 100, ..State::default() }
    }

    fn acknowledged(dir: &Path) -> Option<u64> {
        read(dir, Some(7)).map(|state| state.acknowledged)
    }

    #[test]
    fn the_newest_whole_slot_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint::open(dir.path(), 7, 0, Faults::of(dir.path()));
        assert_eq!(acknowledged(dir.path()), None);
        for position in 1..=5 {
            checkpoint.write(&mut state(position)).unwrap();
            assert_eq!(acknowledged(dir.path()), Some(position));
        }
        assert_eq!(read(dir.path(), Some(8)), None, "the checkpoint of another spool");
        // Generation 5 lies in slot 1: with it damaged, generation 4 is the newest.
        let file = OpenOptions::new().write(true).open(dir.path().join(NAME)).unwrap();
        file.write_all_at(&[0xAA], SLOT_BYTES as u64 + 20).unwrap();
        assert_eq!(acknowledged(dir.path()), Some(4));
    }

    #[test]
    fn a_failed_sync_makes_a_new_file_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let faults = plan(dir.path());
        let mut checkpoint = Checkpoint::open(dir.path(), 7, 0, Faults::of(dir.path()));
        checkpoint.write(&mut state(1)).unwrap();
        let before = std::fs::metadata(dir.path().join(NAME)).unwrap();
        faults.arm("checkpoint.sync", Fault::Errno(rustix::io::Errno::IO.raw_os_error()), 0, 1);
        assert!(checkpoint.write(&mut state(2)).is_err());
        checkpoint.write(&mut state(3)).unwrap();
        let after = std::fs::metadata(dir.path().join(NAME)).unwrap();
        assert_ne!(std::os::unix::fs::MetadataExt::ino(&before), std::os::unix::fs::MetadataExt::ino(&after));
        assert_eq!(acknowledged(dir.path()), Some(3));
    }
}
