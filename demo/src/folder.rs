//! The demo's folder: what is where in it, and that nobody else's folder is ever touched.
//!
//! A folder that the demo has made carries a marker file. Only such a folder, an empty one or a new one
//! is used, and only what the demo itself puts there is removed from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

const MARKER: &str = ".spillway-demo";
const MARKER_TEXT: &str =
    "This folder belongs to spillway-demo, which replaces what it put here on every run.\n";

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Takes `path` and clears away what an earlier demo left there.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let marker = path.join(MARKER);
        let is_empty = fs::read_dir(path).map_err(failed)?.next().is_none();
        if !is_empty && !marker.is_file() {
            return Err(Error::ForeignFolder { path: path.to_owned() });
        }
        fs::write(&marker, MARKER_TEXT).map_err(failed)?;
        // Absolute, so that the configurations in it can be used from anywhere.
        let root = fs::canonicalize(path).map_err(failed)?;
        if root.to_str().is_none() {
            return Err(Error::NotUnicode { path: root });
        }
        let folder = Self { root };
        for path in [folder.spool(), folder.store()] {
            remove(fs::remove_dir_all(&path)).map_err(|source| Error::Folder { path, source })?;
        }
        for path in [folder.report(), folder.log(), folder.daemon_config(), folder.consumer_config()] {
            remove(fs::remove_file(&path)).map_err(|source| Error::Folder { path, source })?;
        }
        Ok(folder)
    }

    /// The object store; the tables are below `tables/`.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.root.join("report.json")
    }

    /// What the daemon and the consumer log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("demo.log")
    }

    pub(crate) fn daemon_config(&self) -> PathBuf {
        self.root.join("spillwayd.toml")
    }

    pub(crate) fn consumer_config(&self) -> PathBuf {
        self.root.join("spillway-consumer.toml")
    }
}

/// What is not there need not be removed.
fn remove(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_and_an_empty_folder_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        Folder::claim(dir.path()).unwrap();
        let new = dir.path().join("a/b");
        let folder = Folder::claim(&new).unwrap();
        assert!(new.join(MARKER).is_file());
        assert!(folder.store().is_absolute());
    }

    #[test]
    fn an_earlier_demo_is_cleared_away_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::claim(dir.path()).unwrap();
        fs::create_dir_all(folder.store().join("tables/activity")).unwrap();
        fs::write(folder.report(), "{}").unwrap();
        let mine = dir.path().join("notes.txt");
        fs::write(&mine, "keep").unwrap();
        let folder = Folder::claim(dir.path()).unwrap();
        assert!(!folder.store().exists() && !folder.report().exists());
        assert_eq!(fs::read_to_string(mine).unwrap(), "keep");
    }

    #[test]
    fn a_foreign_folder_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("store/precious"), "data").unwrap();
        assert!(matches!(Folder::claim(dir.path()), Err(Error::ForeignFolder { .. })));
        assert_eq!(fs::read_to_string(dir.path().join("store/precious")).unwrap(), "data");
        assert!(!dir.path().join(MARKER).exists());
    }
}
