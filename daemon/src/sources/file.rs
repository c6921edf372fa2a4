//! Lines of a file, from where the last run stopped.
//!
//! The place is a byte offset with the file's device and inode, so that another file of the same name
//! is told apart and read from its beginning. With `follow` it waits for more at the end; a line
//! without its end is then not read yet. A file that was truncated, or replaced by another of its name,
//! is read from its beginning.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use bytes::BytesMut;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::intake::Tally;
use super::ndjson::Framer;
use super::reconnect::Cause;
use super::{Disconnect, Event, Line, Met, Oddities};
use crate::config::FileConfig;
use crate::frontier::Cursor;

const CHUNK_BYTES: usize = 256 << 10;
/// How often the end of a followed file is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The source.
#[derive(Debug)]
pub struct FileSource {
    config: FileConfig,
    max_line: usize,
    framer: Framer,
    /// Oddities of the files before the current one.
    before: Oddities,
    resume: Option<Cursor>,
    open: Option<Open>,
    buffer: BytesMut,
    retry_at: Instant,
    waits: ExponentialBackoff,
    ended: bool,
    /// Bytes read since the start.
    bytes: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    device: u64,
    inode: u64,
    /// Where reading began.
    start: u64,
    /// Bytes handed to the framer, plus `start`.
    read: u64,
}

impl Open {
    fn cursor(&self, offset: u64) -> Cursor {
        Cursor::File { device: self.device, inode: self.inode, offset }
    }
}

impl FileSource {
    /// A source that opens the file at the first call of [`Self::next`] and goes on at `resume`.
    #[must_use]
    pub fn new(config: FileConfig, max_line: usize, resume: Option<Cursor>) -> Self {
        let waits = ExponentialBackoff {
            max_elapsed_time: None,
            max_interval: Duration::from_secs(5),
            ..ExponentialBackoff::default()
        };
        Self {
            config,
            max_line,
            framer: Framer::new(max_line),
            before: Oddities::default(),
            resume,
            open: None,
            buffer: BytesMut::new(),
            retry_at: Instant::now(),
            waits,
            ended: false,
            bytes: 0,
        }
    }

    /// See [`super::Source::next`]. Cancel safety: bytes that were read are in the buffer until they are
    /// framed, and the framing has no await.
    pub async fn next(&mut self) -> Event {
        loop {
            if self.ended {
                return Event::Ended;
            }
            let Some(open) = &mut self.open else {
                tokio::time::sleep_until(self.retry_at).await;
                return match self.start().await {
                    Ok(()) => Event::Connected,
                    Err(error) => self.failed(&error),
                };
            };
            self.buffer.reserve(CHUNK_BYTES);
            match open.file.read_buf(&mut self.buffer).await {
                Ok(0) if !self.config.follow => {
                    self.ended = true;
                    let last = self.last_line();
                    if !last.is_empty() {
                        return Event::Lines(last);
                    }
                }
                Ok(0) => self.wait_for_more().await,
                Ok(_) => {
                    let lines = self.frame();
                    if !lines.is_empty() {
                        return Event::Lines(lines);
                    }
                }
                Err(error) => return self.failed(&error),
            }
        }
    }

    /// What was met, since the start.
    #[must_use]
    pub fn met(&self) -> Met {
        Met { bytes: self.bytes, odd: self.oddities(), tally: Tally::default() }
    }

    fn oddities(&self) -> Oddities {
        let now = self.framer.oddities();
        Oddities {
            torn: self.before.torn + now.torn,
            too_long: self.before.too_long + now.too_long,
            keep_alives: self.before.keep_alives + now.keep_alives,
        }
    }

    async fn start(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.config.path).await?;
        let meta = file.metadata().await?;
        let (device, inode) = (meta.dev(), meta.ino());
        let mut read = 0;
        if let Some(Cursor::File { device: d, inode: i, offset }) = &self.resume {
            if (*d, *i) == (device, inode) && *offset <= meta.len() {
                read = *offset;
            } else {
                tracing::warn!(event = "file_replaced", path = %self.config.path.display(), "another file than the last run read; reading it from its beginning");
            }
        }
        file.seek(std::io::SeekFrom::Start(read)).await?;
        self.before = self.oddities();
        self.framer = Framer::new(self.max_line);
        self.buffer.clear();
        self.resume = None;
        self.waits.reset();
        self.open = Some(Open { file, device, inode, start: read, read });
        Ok(())
    }

    fn failed(&mut self, error: &std::io::Error) -> Event {
        let retry_in = self.waits.next_backoff().unwrap_or(FOLLOW_EVERY);
        self.retry_at = Instant::now() + retry_in;
        if let Some(open) = self.open.take() {
            // What the framer holds is read again.
            self.resume = Some(open.cursor(open.start + self.framer.line_begin()));
        }
        Event::Disconnected(Disconnect {
            cause: Cause::Network,
            detail: format!("cannot read {}: {error}", self.config.path.display()),
            retry_in,
        })
    }

    fn frame(&mut self) -> Vec<Line> {
        let chunk = self.buffer.split().freeze();
        let Some(open) = &mut self.open else { return Vec::new() };
        open.read += chunk.len() as u64;
        self.bytes += chunk.len() as u64;
        let mut lines: Vec<Line> = Vec::new();
        let mut durable_at = None;
        self.framer.push(chunk, |bytes, place| {
            lines.push(Line { bytes, id: Some(position(open, place.start)), cursor: None });
            durable_at = Some(open.start + place.end);
        });
        // One cursor a chunk: a restart repeats at most so much.
        if let Some(last) = lines.last_mut() {
            last.cursor = durable_at.map(|at| open.cursor(at));
        }
        lines
    }

    fn last_line(&mut self) -> Vec<Line> {
        let Some(open) = &self.open else { return Vec::new() };
        let begin = self.framer.line_begin();
        let line = self.framer.finish();
        line.map(|bytes| Line {
            bytes,
            id: Some(position(open, begin)),
            cursor: Some(open.cursor(open.read)),
        })
        .into_iter()
        .collect()
    }

    /// At the end of a followed file: waits, and looks whether it is still the same one.
    async fn wait_for_more(&mut self) {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let Some(open) = &self.open else { return };
        let replaced = match tokio::fs::metadata(&self.config.path).await {
            Ok(now) => (now.dev(), now.ino()) != (open.device, open.inode) || now.len() < open.read,
            // It may be between a rename and a create: the old one is still open.
            Err(_) => false,
        };
        if replaced {
            tracing::warn!(event = "file_replaced", path = %self.config.path.display(), "the file was replaced or truncated; reading it from its beginning");
            self.open = None;
            self.retry_at = Instant::now();
        }
    }
}

/// An id that the same line has in every run: the file and the line's first byte.
fn position(open: &Open, begin: u64) -> String {
    format!("{:x}-{:x}-{}", open.device, open.inode, open.start + begin)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    fn source(path: &Path, follow: bool, resume: Option<Cursor>) -> FileSource {
        FileSource::new(FileConfig { path: path.to_owned(), follow }, 1000, resume)
    }

    /// Reads until the input ends; returns each line with its id, and the last cursor.
    async fn read_all(source: &mut FileSource) -> (Vec<(String, String)>, Option<Cursor>) {
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            match source.next().await {
                Event::Lines(some) => {
                    for line in some {
                        lines.push((String::from_utf8(line.bytes.to_vec()).unwrap(), line.id.unwrap()));
                        cursor = line.cursor.or(cursor);
                    }
                }
                Event::Ended => return (lines, cursor),
                Event::Connected => {}
                Event::Disconnected(Disconnect { detail, .. }) => panic!("{detail}"),
            }
        }
    }

    #[tokio::test]
    async fn it_goes_on_where_the_cursor_says_with_the_same_ids() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..1000).map(|i| format!("{{\"n\":{i}}}\n")).collect();
        std::fs::write(file.path(), &text).unwrap();
        let (lines, end) = read_all(&mut source(file.path(), false, None)).await;
        assert_eq!(lines.len(), 1000);
        let Some(Cursor::File { device, inode, offset }) = end else { panic!("no cursor") };
        assert_eq!(offset, text.len() as u64);

        let at = text.find("{\"n\":400}").unwrap() as u64;
        let resume = Cursor::File { device, inode, offset: at };
        let (rest, _) = read_all(&mut source(file.path(), false, Some(resume))).await;
        assert_eq!(rest, lines[400..]);
    }

    #[tokio::test]
    async fn another_file_of_the_same_name_is_read_from_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"n\":1}\n{\"n\":2}\n").unwrap();
        let resume = Cursor::File { device: 0, inode: 0, offset: 8 };
        let (lines, _) = read_all(&mut source(file.path(), false, Some(resume))).await;
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn a_followed_file_gives_lines_as_they_are_completed_and_survives_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"{\"n\":1}\n{\"n\":").unwrap();
        let mut source = source(&path, true, None);
        assert_eq!(source.next().await, Event::Connected);
        let Event::Lines(first) = source.next().await else { panic!("the first line is whole") };
        assert_eq!(&first[0].bytes[..], b"{\"n\":1}");
        file.write_all(b"2}\n").unwrap();
        let Event::Lines(second) = source.next().await else { panic!("the second line is whole now") };
        assert_eq!((&second[0].bytes[..], second.len()), (&b"{\"n\":2}"[..], 1));
        std::fs::rename(&path, dir.path().join("events.1")).unwrap();
        std::fs::write(&path, "{\"n\":3}\n").unwrap();
        assert_eq!(source.next().await, Event::Connected);
        let Event::Lines(third) = source.next().await else { panic!("the new file has a line") };
        assert_eq!(&third[0].bytes[..], b"{\"n\":3}");
    }

    #[tokio::test]
    async fn a_torn_end_is_counted_and_a_missing_file_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"n\":1}\n{\"n\":").unwrap();
        let mut torn = source(file.path(), false, None);
        assert_eq!(read_all(&mut torn).await.0.len(), 1);
        assert_eq!(torn.oddities().torn, 1);
        let mut missing = source(Path::new("/nonexistent/events"), false, None);
        assert!(matches!(missing.next().await, Event::Disconnected(_)));
    }
}
