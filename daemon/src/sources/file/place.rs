//! An open file and how far it was read; how the place is found again, and told from a place in another
//! file that has the name, the inode or the length of it now.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncSeekExt, SeekFrom};
use tokio::time::Instant;

use crate::frontier::Cursor;

/// Enough to hold the end of a record, which hardly any other file has at the same place.
const TAIL_BYTES: usize = 64;

/// The last bytes before a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Reads what stands before `place`; less when the file is shorter. No file's own position is moved.
    async fn read(file: &Arc<fs::File>, place: u64) -> io::Result<Self> {
        let file = Arc::clone(file);
        let read = move || {
            let length = place.min(TAIL_BYTES as u64);
            let mut bytes = vec![0; TAIL_BYTES.min(usize::try_from(length).unwrap_or(TAIL_BYTES))];
            let mut got = 0;
            while got < bytes.len() {
                match file.read_at(&mut bytes[got..], place - length + got as u64)? {
                    0 => break,
                    more => got += more,
                }
            }
            bytes.truncate(got);
            Ok(Self(bytes))
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// The tail after these bytes, too.
    fn after(&self, more: &[u8]) -> Self {
        let kept = TAIL_BYTES.saturating_sub(more.len()).min(self.0.len());
        let more = &more[more.len().saturating_sub(TAIL_BYTES)..];
        Self([&self.0[self.0.len() - kept..], more].concat())
    }

    /// A checksum that stands for it.
    pub(super) fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    /// The same file, for looks that do not move the place.
    twin: Arc<fs::File>,
    /// Else it is a pipe or a device, which has no places.
    is_regular: bool,
    device: u64,
    inode: u64,
    /// Where reading began.
    pub(super) start: u64,
    /// Bytes handed to the framer, plus `start`.
    pub(super) read: u64,
    /// What stands before `read`.
    pub(super) tail: Tail,
    /// Since when another file is known to have the name.
    pub(super) renamed: Option<Instant>,
}

impl Open {
    /// Opens what is to be read next: where `resume` says, be it under another name of the same folder,
    /// else `path` from its beginning.
    pub(super) async fn find(path: &Path, resume: Option<&Cursor>) -> io::Result<Self> {
        let mut open = Self::at(path).await?;
        let Some(Cursor::File { device, inode, offset, tail }) = resume else { return Ok(open) };
        if (open.device, open.inode) == (*device, *inode) {
            if open.go_to(*offset, *tail).await? {
                return Ok(open);
            }
        } else if let Some(mut renamed) = under_another_name(path, *device, *inode).await
            && renamed.go_to(*offset, *tail).await?
        {
            tracing::info!(event = "file_rotated", path = %path.display(), "the file that the last run read has another name now; reading what is left of it first");
            renamed.renamed = Some(Instant::now());
            return Ok(renamed);
        }
        tracing::warn!(event = "file_replaced", path = %path.display(), "another file than the last run read; reading it from its beginning");
        Ok(open)
    }

    async fn at(path: &Path) -> io::Result<Self> {
        let file = File::open(path).await?;
        let meta = file.metadata().await?;
        let twin = Arc::new(file.try_clone().await?.into_std().await);
        Ok(Self {
            file,
            twin,
            is_regular: meta.is_file(),
            device: meta.dev(),
            inode: meta.ino(),
            start: 0,
            read: 0,
            tail: Tail::default(),
            renamed: None,
        })
    }

    /// Goes to a place that was read up to, unless something else stands before it now.
    async fn go_to(&mut self, place: u64, checksum: Option<u32>) -> io::Result<bool> {
        if !self.is_regular || place > self.file.metadata().await?.len() {
            return Ok(false);
        }
        let tail = Tail::read(&self.twin, place).await?;
        if checksum.is_some_and(|checksum| checksum != tail.checksum()) {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(place)).await?;
        (self.start, self.read, self.tail) = (place, place, tail);
        Ok(true)
    }

    /// Whether what was read last still stands where it was read.
    pub(super) async fn is_as_read(&self) -> io::Result<bool> {
        Ok(!self.is_regular || Tail::read(&self.twin, self.read).await? == self.tail)
    }

    /// Whether another file has the name. A name that nobody has, as between a rename and the creation of
    /// the new file, is not lost yet.
    pub(super) async fn has_lost(&self, path: &Path) -> bool {
        let now = tokio::fs::metadata(path).await;
        now.is_ok_and(|now| (now.dev(), now.ino()) != (self.device, self.inode))
    }

    /// These bytes are the framer's now.
    pub(super) fn passed(&mut self, chunk: &[u8]) {
        self.read += chunk.len() as u64;
        self.tail = self.tail.after(chunk);
    }

    /// The cursor of a place; with the checksum of what stands before it, where that is known.
    pub(super) fn cursor(&self, offset: u64, tail: Option<u32>) -> Cursor {
        Cursor::File { device: self.device, inode: self.inode, offset, tail }
    }

    /// The cursor of a place in the chunk that was just read and is not passed yet.
    pub(super) fn cursor_in(&self, offset: u64, chunk: &[u8]) -> Cursor {
        let inside = usize::try_from(offset - self.read).ok().and_then(|length| chunk.get(..length));
        self.cursor(offset, inside.map(|bytes| self.tail.after(bytes).checksum()))
    }

    /// An id that the same line has in every run: the file, the line's first byte, and a checksum of the
    /// line, since another may come to stand there when the file is emptied or its inode is used again.
    pub(super) fn id(&self, begin: u64, line: &[u8]) -> String {
        let checksum = crc32c::crc32c(line);
        format!("{:x}-{:x}-{}-{checksum:08x}", self.device, self.inode, self.start + begin)
    }
}

/// The file with this inode, in the folder of `path`. What cannot be looked at is as not there.
async fn under_another_name(path: &Path, device: u64, inode: u64) -> Option<Open> {
    let real = tokio::fs::canonicalize(path).await.ok()?;
    let mut entries = tokio::fs::read_dir(real.parent()?).await.ok()?;
    while let Ok(Some(entry)) = entries.next_entry().await {
        let Ok(meta) = entry.metadata().await else { continue };
        if meta.is_file() && (meta.dev(), meta.ino()) == (device, inode) {
            let open = Open::at(&entry.path()).await.ok()?;
            return (open.inode == inode && open.device == device).then_some(open);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_same_however_it_was_come_to() {
        let text: Vec<u8> = (0..=255).collect();
        for end in [0_usize, 1, 10, 63, 64, 65, 128, 200] {
            let expected = Tail(text[end.saturating_sub(TAIL_BYTES)..end].to_vec());
            for cut in [1, 7, 64, 100] {
                let tail = text[..end].chunks(cut).fold(Tail::default(), |tail, piece| tail.after(piece));
                assert_eq!(tail, expected, "{end} bytes in pieces of {cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_tail_is_the_same_when_it_is_read_back() {
        let kept = tempfile::NamedTempFile::new().unwrap();
        let text: Vec<u8> = (0..200).collect();
        fs::write(kept.path(), &text).unwrap();
        let file = Arc::new(fs::File::open(kept.path()).unwrap());
        for place in [0_usize, 5, 64, 65, 200] {
            let tail = Tail::read(&file, place as u64).await.unwrap();
            assert_eq!(tail, Tail::default().after(&text[..place]), "{place}");
        }
        assert_ne!(Tail::read(&file, 220).await.unwrap(), Tail::default().after(&[0; 220]));
    }
}
