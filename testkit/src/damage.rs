//! Damage to the files of a stopped spool, from a seed: what bad disks, bad cables and bad hands do.
//!
//! It guarantees that a [`Damage`] knows exactly which bytes of which file are not what they were: the
//! files are compared before and after. It knows the names in a spool's folder (`docs/spool-format.md`)
//! and none of the spool's code.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::rng::{Rng, Weighted};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// 1 to 16 bytes of a file are changed, anywhere or close together.
    Flip,
    /// Up to 64 KiB of a file are zeroed.
    Zero,
    /// Up to 64 KiB of a file are overwritten with noise.
    Scribble,
    /// A file loses its end.
    Cut,
    /// A file is emptied.
    Empty,
    /// A file is deleted.
    Delete,
    /// Noise, zeros or a piece of the same file is appended to a file.
    Append,
    /// A segment gets the content of another one, or that content appended.
    Duplicate,
    /// The folder of the index is deleted.
    DeleteIndex,
    /// The checkpoint is deleted.
    DeleteCheckpoint,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Flip,
        Self::Zero,
        Self::Scribble,
        Self::Cut,
        Self::Empty,
        Self::Delete,
        Self::Append,
        Self::Duplicate,
        Self::DeleteIndex,
        Self::DeleteCheckpoint,
    ];
}

/// How one file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, relative to the spool's folder.
    pub path: PathBuf,
    /// Its length in bytes before.
    pub len_before: u64,
    /// Its length in bytes after; `None` when it is gone.
    pub len_after: Option<u64>,
    /// The places, in bytes of the old content, where that content is no longer: ascending, apart.
    pub changed: Vec<Range<u64>>,
}

/// One damage, done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What was done.
    pub kind: Kind,
    /// Every file that has changed. Empty when the damage happened to change nothing.
    pub changes: Vec<Change>,
}

impl Damage {
    /// Whether the bytes `range` of the file `path` (relative to the spool's folder) are as before.
    #[must_use]
    pub fn is_intact(&self, path: &Path, range: &Range<u64>) -> bool {
        let of_file = self.changes.iter().filter(|change| change.path == path);
        of_file.flat_map(|c| &c.changed).all(|lost| lost.end <= range.start || range.end <= lost.start)
    }

    /// Whether any segment of records lost or changed a byte that it had.
    #[must_use]
    pub fn hits_records(&self) -> bool {
        self.changes.iter().any(|change| is_segment(&change.path) && !change.changed.is_empty())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        for change in &self.changes {
            let after = change.len_after.map_or("gone".to_owned(), |len| format!("{len} bytes"));
            write!(f, " {} ({} bytes, now {after})", change.path.display(), change.len_before)?;
            for range in change.changed.iter().take(4) {
                write!(f, " {}..{}", range.start, range.end)?;
            }
            if change.changed.len() > 4 {
                write!(f, " and {} more", change.changed.len() - 4)?;
            }
        }
        Ok(())
    }
}

/// Does one random damage to the spool in `dir`. No process may have it open.
///
/// # Errors
/// When the folder or a file in it cannot be read or written, or when there is no file in it.
pub fn random(dir: &Path, rng: &mut Rng) -> io::Result<Damage> {
    let kinds = Weighted::new([3.0, 3.0, 2.0, 3.0, 1.5, 1.5, 2.0, 1.5, 1.0, 1.0]);
    apply(dir, Kind::ALL[kinds.draw(rng)], rng)
}

/// Does a random damage of one kind to the spool in `dir`.
///
/// # Errors
/// As [`random`].
pub fn apply(dir: &Path, kind: Kind, rng: &mut Rng) -> io::Result<Damage> {
    let changes = match kind {
        Kind::DeleteIndex => delete_index(dir)?,
        Kind::DeleteCheckpoint => vec![edit(dir, Path::new("checkpoint"), |_| None)?],
        Kind::Duplicate => duplicate(dir, rng)?,
        _ => {
            let path = pick_file(dir, rng)?;
            vec![edit(dir, &path, |old| changed_content(kind, old, rng))?]
        }
    };
    let is_change = |c: &Change| !c.changed.is_empty() || c.len_after != Some(c.len_before);
    Ok(Damage { kind, changes: changes.into_iter().filter(is_change).collect() })
}

/// What becomes of a file; `None` is its deletion.
fn changed_content(kind: Kind, mut bytes: Vec<u8>, rng: &mut Rng) -> Option<Vec<u8>> {
    let len = bytes.len();
    match kind {
        Kind::Flip => flip(&mut bytes, rng),
        Kind::Zero => bytes[piece(len, rng)].fill(0),
        Kind::Scribble => bytes[piece(len, rng)].fill_with(|| noise(rng)),
        // Half of the cuts take little, as a crash does.
        Kind::Cut if rng.chance(0.5) => bytes.truncate(len.saturating_sub(1 + rng.index(8192))),
        Kind::Cut => bytes.truncate(rng.index(len)),
        Kind::Append => append(&mut bytes, rng),
        Kind::Delete | Kind::DeleteIndex | Kind::DeleteCheckpoint => return None,
        Kind::Empty | Kind::Duplicate => bytes.clear(),
    }
    Some(bytes)
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let near = rng.index(bytes.len());
    let close = rng.chance(0.5);
    for _ in 0..=rng.below(16) {
        let at = if close { near + rng.index(64) } else { rng.index(bytes.len()) };
        if let Some(byte) = bytes.get_mut(at) {
            // Never the value that it has.
            *byte ^= u8::try_from(1 + rng.below(255)).unwrap_or(1);
        }
    }
}

fn append(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let count = 1 + rng.index(65_536);
    match rng.below(3) {
        0 => bytes.extend(std::iter::repeat_n(0, count)),
        1 => bytes.extend(std::iter::repeat_with(|| noise(rng)).take(count)),
        _ => {
            let range = piece(bytes.len(), rng);
            bytes.extend_from_within(range);
        }
    }
}

/// A range of at most 64 KiB within `len`.
fn piece(len: usize, rng: &mut Rng) -> Range<usize> {
    let start = rng.index(len);
    start..len.min(start + 1 + rng.index(65_536))
}

fn noise(rng: &mut Rng) -> u8 {
    rng.next_u64().to_le_bytes()[0]
}

fn delete_index(dir: &Path) -> io::Result<Vec<Change>> {
    let files: Vec<_> = files_under(dir)?.into_iter().filter(|path| path.starts_with("index")).collect();
    let changes = files.iter().map(|path| edit(dir, path, |_| None)).collect::<io::Result<Vec<_>>>()?;
    match fs::remove_dir_all(dir.join("index")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(changes),
    }
}

fn duplicate(dir: &Path, rng: &mut Rng) -> io::Result<Vec<Change>> {
    let segments: Vec<_> = files_under(dir)?.into_iter().filter(|path| is_segment(path)).collect();
    let Some(target) = segments.get(rng.index(segments.len())) else { return Ok(Vec::new()) };
    let content = fs::read(dir.join(&segments[rng.index(segments.len())]))?;
    let replace = rng.chance(0.5);
    let double = |old: Vec<u8>| Some(if replace { content } else { [old, content].concat() });
    Ok(vec![edit(dir, target, double)?])
}

/// Changes one file and says how it differs from before.
fn edit(dir: &Path, path: &Path, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> io::Result<Change> {
    let full = dir.join(path);
    let old = match fs::read(&full) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let new = change(old.clone());
    match &new {
        Some(bytes) => fs::write(&full, bytes)?,
        None if full.exists() => fs::remove_file(&full)?,
        None => {}
    }
    let changed = differences(&old, new.as_deref().unwrap_or_default());
    Ok(Change {
        path: path.to_owned(),
        len_before: old.len() as u64,
        len_after: new.map(|bytes| bytes.len() as u64),
        changed,
    })
}

/// The places in `old` where `new` has something else or nothing.
fn differences(old: &[u8], new: &[u8]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (at, byte) in (0u64..).zip(old) {
        let same = usize::try_from(at).ok().and_then(|at| new.get(at)) == Some(byte);
        match ranges.last_mut() {
            _ if same => {}
            Some(last) if last.end == at => last.end += 1,
            _ => ranges.push(at..at + 1),
        }
    }
    ranges
}

/// A file to damage: most often a segment, else any file of the spool.
fn pick_file(dir: &Path, rng: &mut Rng) -> io::Result<PathBuf> {
    // The ballast has no content, and the lock none that anyone reads.
    let files: Vec<_> = files_under(dir)?
        .into_iter()
        .filter(|path| path != Path::new("ballast") && path != Path::new("LOCK"))
        .collect();
    let segments: Vec<_> = files.iter().filter(|path| is_segment(path)).collect();
    if rng.chance(0.6) && !segments.is_empty() {
        return Ok(segments[rng.index(segments.len())].clone());
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "there is no file to damage");
    files.get(rng.index(files.len())).cloned().ok_or_else(none)
}

fn is_segment(path: &Path) -> bool {
    path.starts_with("log") && path.extension().is_some_and(|extension| extension == "log")
}

/// Every file under `dir`, relative to it, in the order of names, so that a seed picks the same one.
fn files_under(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path) {
        for (path, byte, len) in [
            ("log/00000000000000000001.log", 1u8, 9_000),
            ("log/00000000000000000100.log", 2, 4_000),
            ("index/db", 3, 2_000),
            ("index/conf", 4, 60),
            ("checkpoint", 5, 2_000),
            ("FORMAT", 6, 34),
        ] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![byte; len]).unwrap();
        }
    }

    fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let files = files_under(dir).unwrap();
        files.into_iter().map(|path| (path.clone(), fs::read(dir.join(path)).unwrap())).collect()
    }

    #[test]
    fn a_damage_knows_every_byte_that_changed_and_no_other() {
        for seed in 0..100 {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            let before = contents(dir.path());
            let damage = random(dir.path(), &mut Rng::new(seed)).unwrap();
            let after = contents(dir.path());
            for (path, old) in &before {
                let new = after.iter().find(|(other, _)| other == path);
                let new = new.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
                for at in 0..old.len() {
                    let range = at as u64..at as u64 + 1;
                    let same = new.get(at) == old.get(at);
                    assert_eq!(damage.is_intact(path, &range), same, "seed {seed}: {damage} at {at}");
                }
            }
        }
    }

    #[test]
    fn every_kind_changes_something() {
        for kind in Kind::ALL {
            // A duplicate of a segment in its own place changes nothing, so try a few.
            let changes = (0..8).map(|seed| {
                let dir = tempfile::tempdir().unwrap();
                make(dir.path());
                apply(dir.path(), kind, &mut Rng::new(seed)).unwrap().changes
            });
            assert!(changes.into_iter().any(|changes| !changes.is_empty()), "{kind:?}");
        }
    }

    #[test]
    fn a_seed_does_the_same_damage_again() {
        let damages = [(); 2].map(|()| {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            (random(dir.path(), &mut Rng::new(3)).unwrap(), contents(dir.path()))
        });
        assert_eq!(damages[0], damages[1]);
    }
}
