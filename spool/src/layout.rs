//! The spool's folder: names, the lock, and the file that says which format this is.
//!
//! Guarantees: a folder of a newer format and a folder that another process holds are recognised before
//! anything in them is changed. The lock is the kernel's (flock): it ends with the process, however that ends.
//!
//! ```text
//! <dir>/FORMAT        format version and the spool's id      <dir>/index/       sled
//! <dir>/LOCK          flock, pid of the holder               <dir>/dead/        dead letters
//! <dir>/checkpoint    acknowledged position, meta            <dir>/quarantine/  copies of damaged frames
//! <dir>/log/          segments                               <dir>/ballast      reserve for a full disk
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;
use crate::files::{replace, sync_dir};
use crate::frame::{FORMAT_VERSION, Header, claimed_version};
use crate::segment;

/// The first word of the FORMAT file.
const FORMAT_WORD: &str = "spillway-spool";

/// The FORMAT file is one short line; more is not read.
const FORMAT_BYTES_MAX: u64 = 256;

/// The paths of a spool.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) dead: PathBuf,
    pub(crate) quarantine: PathBuf,
    pub(crate) ballast: PathBuf,
    format: PathBuf,
    lock: PathBuf,
}

/// What the FORMAT file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// There is none.
    Absent,
    /// It is damaged.
    Unreadable,
    /// It was written by a program with this format version.
    Version {
        /// The format version.
        version: u32,
        /// The id that is in the header of every frame.
        spool_id: u32,
    },
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Layout {
        Layout {
            dir: dir.to_path_buf(),
            log: dir.join("log"),
            index: dir.join("index"),
            dead: dir.join("dead"),
            quarantine: dir.join("quarantine"),
            ballast: dir.join("ballast"),
            format: dir.join("FORMAT"),
            lock: dir.join("LOCK"),
        }
    }

    /// Reads the FORMAT file.
    pub(crate) fn read_format(&self) -> Result<Format, Error> {
        let mut text = Vec::new();
        match File::open(&self.format) {
            Ok(file) => {
                // A file that cannot be read is treated like a damaged one: it never stops the spool.
                if file.take(FORMAT_BYTES_MAX).read_to_end(&mut text).is_err() {
                    return Ok(Format::Unreadable);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Format::Absent),
            Err(error) if is_not_a_folder(&error) => return Ok(Format::Absent),
            Err(error) => return Err(Error::io("open", &self.format, error)),
        }
        Ok(parse_format(&text).unwrap_or(Format::Unreadable))
    }

    /// Fails if the folder belongs to a newer program. Changes nothing.
    pub(crate) fn refuse_newer(&self) -> Result<(), Error> {
        let newest = match self.read_format()? {
            Format::Version { version, .. } => version,
            Format::Absent | Format::Unreadable => self.version_of_frames(),
        };
        if newest > u32::from(FORMAT_VERSION) {
            let supported = u32::from(FORMAT_VERSION);
            return Err(Error::NewerVersion { dir: self.dir.clone(), found: newest, supported });
        }
        Ok(())
    }

    /// Without a FORMAT file: a newer version counts only if no segment begins with a frame of this one,
    /// because a single version byte may be damage.
    fn version_of_frames(&self) -> u32 {
        let mut newest = 0;
        for (first_seq, _) in segment::list(&self.log).unwrap_or_default() {
            let mut front = [0; crate::frame::HEADER_BYTES];
            let read = File::open(segment::path(&self.log, first_seq))
                .and_then(|file| crate::files::read_up_to(&file, &mut front, 0));
            if Header::decode(&front).is_ok() {
                return u32::from(FORMAT_VERSION);
            }
            let claimed = read.ok().and_then(|read| claimed_version(&front[..read]));
            newest = newest.max(u32::from(claimed.unwrap_or(0)));
        }
        newest
    }

    /// Makes the folder and takes its lock. The file returned holds the lock until it is dropped.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        std::fs::create_dir_all(&self.dir).map_err(|source| self.unwritable(&self.dir, source))?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.lock);
        let mut file = file.map_err(|source| self.unwritable(&self.lock, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Locked { dir: self.dir.clone(), pid: read_pid(&mut file) });
            }
            Err(errno) => return Err(Error::io("lock", &self.lock, errno.into())),
        }
        // Only a courtesy to whoever finds the spool locked; the lock does not depend on it, a full disk may refuse it.
        let noted =
            file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        if let Err(error) = noted {
            tracing::warn!(event = "spool_note_failed", path = %self.lock.display(), %error, "cannot note the pid in the lock file");
        }
        Ok(file)
    }

    /// Makes the folders inside.
    pub(crate) fn create_folders(&self) -> Result<(), Error> {
        for folder in [&self.log, &self.dead, &self.quarantine] {
            match std::fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result.map_err(|source| self.unwritable(folder, source))?,
            }
        }
        sync_dir(&self.dir)?;
        self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
    }

    pub(crate) fn write_format(&self, spool_id: u32) -> Result<(), Error> {
        replace(&self.format, format_line(u32::from(FORMAT_VERSION), spool_id).as_bytes())
    }

    fn unwritable(&self, path: &Path, source: io::Error) -> Error {
        Error::Unwritable { path: path.to_path_buf(), source }
    }
}

fn is_not_a_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn format_line(version: u32, spool_id: u32) -> String {
    let words = format!("{FORMAT_WORD} {version} {spool_id:08x}");
    format!("{words} {:08x}\n", crc32c::crc32c(words.as_bytes()))
}

/// `None` if the line is damaged. A newer format may say more, or check it differently: its first two words count,
/// unless the line is exactly one of this version with another number in it, which is damage.
pub(crate) fn parse_format(text: &[u8]) -> Option<Format> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    if words.next()? != FORMAT_WORD {
        return None;
    }
    let version: u32 = words.next()?.parse().ok()?;
    let spool_id = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
    if let Some(spool_id) = spool_id.filter(|id| text == format_line(version, *id)) {
        return Some(Format::Version { version, spool_id });
    }
    let current = format_line(u32::from(FORMAT_VERSION), spool_id.unwrap_or(0));
    let damaged = text.split_ascii_whitespace().skip(2).eq(current.split_ascii_whitespace().skip(2));
    (version > u32::from(FORMAT_VERSION) && !damaged).then_some(Format::Version { version, spool_id: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_line_is_checked() {
        let line = format_line(1, 0xAB);
        assert_eq!(parse_format(line.as_bytes()), Some(Format::Version { version: 1, spool_id: 0xAB }));
        assert_eq!(parse_format(line.replace("000000ab", "000000ac").as_bytes()), None);
        assert_eq!(parse_format(b""), None);
        assert_eq!(parse_format(b"\xff\xfe"), None);
        let newer = format_line(9, 0xAB);
        assert_eq!(parse_format(newer.as_bytes()), Some(Format::Version { version: 9, spool_id: 0xAB }));
        let other = parse_format(b"spillway-spool 9 whatever it may say");
        assert_eq!(other, Some(Format::Version { version: 9, spool_id: 0 }));
        let flipped = line.replacen(" 1 ", " 3 ", 1);
        assert_eq!(parse_format(flipped.as_bytes()), None, "one damaged byte is not a newer version");
    }
}
