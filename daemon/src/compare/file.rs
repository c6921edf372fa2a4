//! A recording as an input: newline-delimited JSON, or the raw bytes of an SSE stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use super::{Damage, Input, InputError, Item, Progress};
use crate::sources::{Oddities, ndjson, sse};

/// Longest record; a longer one is left out and counted.
const RECORD_MAX_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 256 << 10;

/// A file, as long as it was when it was opened: a recording may still grow.
#[derive(Debug)]
pub struct FileInput {
    path: PathBuf,
    file: File,
    length: u64,
}

impl FileInput {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be opened or is no regular file.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let error = |source| InputError::File { file: path.display().to_string(), source };
        let file = File::open(path).map_err(error)?;
        let found = file.metadata().map_err(error)?;
        if !found.is_file() {
            return Err(InputError::NotRegular(path.display().to_string()));
        }
        Ok(Self { path: path.to_owned(), file, length: found.len() })
    }

    fn is_sse(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "sse")
    }

    fn chunks(&mut self, mut take: impl FnMut(Bytes, Progress)) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut done = 0;
        while done < self.length {
            let wanted = usize::try_from(self.length - done).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let mut chunk = BytesMut::zeroed(wanted);
            let got = self.file.read(&mut chunk)?;
            if got == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file was cut while it was read",
                ));
            }
            chunk.truncate(got);
            done += got as u64;
            take(chunk.freeze(), Progress { done, total: self.length, is_bytes: true });
        }
        Ok(())
    }

    fn lines(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> io::Result<Damage> {
        let mut framer = ndjson::Framer::new(RECORD_MAX_BYTES);
        self.chunks(|chunk, progress| framer.push(chunk, |line, _| visit(item(&line), progress)))?;
        if let Some(line) = framer.finish() {
            visit(item(&line), Progress { done: self.length, total: self.length, is_bytes: true });
        }
        Ok(damage(framer.oddities()))
    }

    fn events(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> io::Result<Damage> {
        let mut framer = sse::Framer::new(RECORD_MAX_BYTES);
        self.chunks(|chunk, progress| framer.push(&chunk, |event| visit(item(&event.data), progress)))?;
        framer.finish();
        Ok(damage(framer.oddities()))
    }
}

fn damage(odd: Oddities) -> Damage {
    Damage { torn: odd.torn, too_long: odd.too_long }
}

fn item(value: &[u8]) -> Item<'_> {
    Item { value, id: None, time_ms: None }
}

impl Input for FileInput {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn has_ids(&self) -> bool {
        false
    }

    fn read(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> Result<Damage, InputError> {
        let damage = if self.is_sse() { self.events(visit) } else { self.lines(visit) };
        damage.map_err(|source| InputError::File { file: self.path.display().to_string(), source })
    }
}
