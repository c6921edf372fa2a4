//! Moving a damaged index out of the way.
//!
//! Guarantees: afterwards nothing is left at the old path; at most two old ones are kept for inspection, and
//! they never stop the spool: what cannot be moved is deleted.

use std::path::{Path, PathBuf};

/// Damaged indexes that are kept.
const KEPT_MAX: usize = 2;

/// Renames the folder to `<name>.broken-<n>`, n being larger than any there.
pub(crate) fn set_aside(dir: &Path) {
    if !dir.exists() {
        return;
    }
    let mut broken = list_broken(dir);
    let number = broken.last().map_or(1, |(number, _)| number + 1);
    let target = broken_path(dir, number);
    match std::fs::rename(dir, &target) {
        Ok(()) => {
            tracing::warn!(event = "spool_index_set_aside", path = %target.display(), "set a damaged index aside");
            broken.push((number, target));
        }
        Err(error) => {
            tracing::warn!(event = "spool_index_failed", path = %dir.display(), %error, "cannot set the index aside; deleting it");
            delete(dir);
        }
    }
    let surplus = broken.len().saturating_sub(KEPT_MAX);
    for (_, old) in &broken[..surplus] {
        delete(old);
    }
}

fn delete(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(event = "spool_leftover", path = %path.display(), %error, "cannot delete an old index");
    }
}

fn broken_path(dir: &Path, number: u64) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".broken-{number}"));
    PathBuf::from(name)
}

/// The damaged indexes beside `dir`, oldest first.
fn list_broken(dir: &Path) -> Vec<(u64, PathBuf)> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.broken-");
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_two() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        for number in 1..=4 {
            std::fs::create_dir(&index).unwrap();
            std::fs::write(index.join("db"), format!("{number}")).unwrap();
            set_aside(&index);
            assert!(!index.exists());
        }
        let kept: Vec<_> = list_broken(&index).into_iter().map(|(number, _)| number).collect();
        assert_eq!(kept, [3, 4]);
        assert_eq!(std::fs::read(broken_path(&index, 4).join("db")).unwrap(), b"4");
    }
}
