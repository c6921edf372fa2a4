//! Where each source goes on: its cursor in the spool, under a key of its own.
//!
//! A cursor is written only for what is durable; see [`crate::frontier`].

use spillway_spool::Spool;

use crate::config::{Config, SourceConfig, SourceKind};
use crate::error::StartError;
use crate::frontier::Cursor;
use crate::sources::{FileSource, HttpSource, SocketSource, Source};

/// The key of the only source, before there could be several. Still read by a source without a key of its
/// own: a cursor of a file holds for that file alone.
const OLD_KEY: &str = "source.cursor";

/// Where the cursor of the source with this name is kept in the spool.
pub(crate) fn key(name: &str) -> String {
    format!("{OLD_KEY}.{name}")
}

/// Writes a source's cursor, durable when this returns.
pub(crate) fn persist(spool: &Spool, name: &str, cursor: &Cursor) -> Result<(), spillway_spool::Error> {
    // A cursor is plain numbers and text: writing it as JSON cannot fail.
    let bytes = serde_json::to_vec(cursor).unwrap_or_default();
    spool.meta_put(&key(name), &bytes)?;
    spool.sync()
}

/// Opens all sources, each where it stopped.
pub(crate) fn open_sources(config: &Config, spool: &Spool) -> Result<Vec<Source>, StartError> {
    config.sources.iter().map(|source| open(source, spool)).collect()
}

fn open(config: &SourceConfig, spool: &Spool) -> Result<Source, StartError> {
    let max_line = config.max_record_bytes;
    // A source without a cursor costs no look into the spool.
    let cursor = if config.keeps_cursor() { kept(spool, &config.name)? } else { None };
    match &config.kind {
        SourceKind::Http(http) => HttpSource::new(&config.name, (**http).clone(), max_line, cursor)
            .map(|source| Source::Http(Box::new(source)))
            .map_err(StartError::Client),
        SourceKind::Socket(socket) => SocketSource::new(&config.name, (**socket).clone(), max_line, cursor)
            .map(|source| Source::Socket(Box::new(source)))
            .map_err(StartError::Socket),
        SourceKind::File(file) => Ok(Source::File(Box::new(FileSource::new(file.clone(), max_line, cursor)))),
    }
}

fn kept(spool: &Spool, name: &str) -> Result<Option<Cursor>, StartError> {
    let get = |key: &str| spool.meta_get(key).map_err(StartError::Spool);
    let bytes = match get(&key(name))? {
        Some(bytes) => Some(bytes),
        None => get(OLD_KEY)?,
    };
    Ok(bytes.and_then(|bytes| read(name, &bytes)))
}

fn read(name: &str, bytes: &[u8]) -> Option<Cursor> {
    let read = serde_json::from_slice(bytes);
    if let Err(error) = &read {
        tracing::warn!(event = "cursor_unreadable", source = name, %error, "the source's cursor cannot be read; reading from the beginning");
    }
    read.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_cursor_and_the_old_key_is_still_read() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _appender, _reader) = Spool::open(spillway_spool::Config::new(dir.path())).unwrap();
        let at = |offset| Cursor::File { device: 1, inode: 2, offset, tail: None };
        assert_eq!(kept(&spool, "a").unwrap(), None);
        spool.meta_put(OLD_KEY, br#"{"kind":"file","device":1,"inode":2,"offset":7}"#).unwrap();
        assert_eq!(kept(&spool, "a").unwrap(), Some(at(7)));
        persist(&spool, "a", &at(8)).unwrap();
        persist(&spool, "b", &at(9)).unwrap();
        assert_eq!((kept(&spool, "a").unwrap(), kept(&spool, "b").unwrap()), (Some(at(8)), Some(at(9))));
        spool.meta_put(&key("a"), b"torn").unwrap();
        assert_eq!(kept(&spool, "a").unwrap(), None);
    }
}
