//! The spool's file operations that have to be right under a power cut, in one place.
//!
//! Guarantees: a new or removed file is durable in its folder when these return `Ok`. Never retries an fsync on
//! the same file: after a failure the kernel may have dropped the pages and would report success.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, IoContext};

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|folder| folder.sync_all()).or_io("sync the folder", dir)
}

/// Creates a file that must not exist. Its name is durable only after [`sync_dir`].
pub(crate) fn create_new(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).or_io("create", path)
}

/// Opens a file for reading and writing.
pub(crate) fn open_rw(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).write(true).open(path).or_io("open", path)
}

/// Removes a file; one that is gone already counts as removed.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.or_io("remove", path),
    }
}

/// Writes a small file so that after a power cut either the old or the new content is there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    remove(&temporary)?;
    let file = create_new(&temporary)?;
    file.write_all_at(content, 0).or_io("write", &temporary)?;
    file.sync_all().or_io("sync", &temporary)?;
    std::fs::rename(&temporary, path).or_io("rename", path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads as many bytes as there are, up to the length of `buf`.
pub(crate) fn read_up_to(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A length or offset of a file held in memory as a `usize`. Saturates where `usize` is narrower.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
