//! Lines of a file, from where the last run stopped.
//!
//! The place is a byte offset with the file's device and inode, and a checksum of what stands before it.
//! So the file is found again when it was renamed, and told apart from another that has got its name or
//! its inode, and from itself after it was emptied. A file that was renamed is read to its end before the
//! new one of its name; an emptied one, or one that nothing is known of, is read from its beginning.
//!
//! With `follow` it waits for more at the end; a line without its end is then not read yet.

mod place;

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::intake::Tally;
use super::ndjson::Framer;
use super::reconnect::Cause;
use super::{Disconnect, Event, Line, Met, Oddities};
use crate::config::FileConfig;
use crate::frontier::Cursor;
use place::Open;

const CHUNK_BYTES: usize = 256 << 10;
/// How often the end of a followed file is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How long a file that was renamed is still followed: its writer may not know yet.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

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
            let lines = if self.buffer.is_empty() {
                self.buffer.reserve(CHUNK_BYTES);
                match open.file.read_buf(&mut self.buffer).await {
                    Ok(0) => self.at_end().await,
                    Ok(_) => continue,
                    Err(error) => Err(error),
                }
            } else {
                self.take().await
            };
            match lines {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Event::Lines(lines),
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
        let open = Open::find(&self.config.path, self.resume.as_ref()).await?;
        self.before = self.oddities();
        self.framer = Framer::new(self.max_line);
        self.buffer.clear();
        self.resume = None;
        self.waits.reset();
        self.open = Some(open);
        Ok(())
    }

    fn failed(&mut self, error: &std::io::Error) -> Event {
        let retry_in = self.waits.next_backoff().unwrap_or(FOLLOW_EVERY);
        self.retry_at = Instant::now() + retry_in;
        if let Some(open) = self.open.take() {
            // What the framer holds is read again.
            self.resume = Some(open.cursor(open.start + self.framer.line_begin(), None));
        }
        Event::Disconnected(Disconnect {
            cause: Cause::Network,
            detail: format!("cannot read {}: {error}", self.config.path.display()),
            retry_in,
        })
    }

    /// Frames what was read, if it follows what was read before. Cancel safety: it changes something only
    /// after its await.
    async fn take(&mut self) -> std::io::Result<Vec<Line>> {
        match &self.open {
            // A file that is not followed is taken to be finished: nobody empties it.
            Some(open) if self.config.follow && !open.is_as_read().await? => Ok(self.emptied()),
            _ => Ok(self.frame()),
        }
    }

    fn emptied(&mut self) -> Vec<Line> {
        tracing::warn!(event = "file_replaced", path = %self.config.path.display(), "the file was emptied; reading it from its beginning");
        self.leave()
    }

    fn frame(&mut self) -> Vec<Line> {
        let chunk = self.buffer.split().freeze();
        let Some(open) = &mut self.open else { return Vec::new() };
        self.bytes += chunk.len() as u64;
        let mut lines: Vec<Line> = Vec::new();
        let mut durable_at = None;
        self.framer.push(chunk.clone(), |bytes, place| {
            let id = Some(open.id(place.start, &bytes));
            lines.push(Line { bytes, id, cursor: None });
            durable_at = Some(open.start + place.end);
        });
        // One cursor a chunk: a restart repeats at most so much.
        if let (Some(last), Some(at)) = (lines.last_mut(), durable_at) {
            last.cursor = Some(open.cursor_in(at, &chunk));
        }
        open.passed(&chunk);
        lines
    }

    fn last_line(&mut self) -> Vec<Line> {
        let Some(open) = &self.open else { return Vec::new() };
        let begin = self.framer.line_begin();
        let line = self.framer.finish();
        let cursor = || Some(open.cursor(open.read, Some(open.tail.checksum())));
        let line = line.map(|bytes| Line { id: Some(open.id(begin, &bytes)), bytes, cursor: cursor() });
        line.into_iter().collect()
    }

    /// There is no more for now. Cancel safety: it changes something only after its awaits.
    async fn at_end(&mut self) -> std::io::Result<Vec<Line>> {
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let is_left = open.renamed.is_some_and(|at| at.elapsed() >= LEAVE_AFTER || !self.config.follow);
        if is_left {
            return Ok(self.leave());
        }
        if !self.config.follow {
            self.ended = true;
            return Ok(self.last_line());
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
        if !open.is_as_read().await? {
            return Ok(self.emptied());
        }
        let is_renamed = open.renamed.is_none() && open.has_lost(&self.config.path).await;
        if let (true, Some(open)) = (is_renamed, &mut self.open) {
            tracing::info!(event = "file_rotated", path = %self.config.path.display(), "another file has the name; reading it after what is left of this one");
            open.renamed = Some(Instant::now());
        }
        Ok(Vec::new())
    }

    /// Goes to the file that has the name now.
    fn leave(&mut self) -> Vec<Line> {
        let last = self.last_line();
        self.open = None;
        self.buffer.clear();
        self.retry_at = Instant::now();
        last
    }
}

#[cfg(test)]
mod tests;
