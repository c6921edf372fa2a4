//! Frames server-sent events by the WHATWG standard: chunks in, events out. Pure; the chunks can be cut
//! anywhere, in the middle of a line end or of a character too.
//!
//! The data of an event is passed on as the bytes that came, without decoding them; several `data` lines
//! are joined by `\n`. What is not finished when the input ends is never emitted. The buffers never grow
//! beyond the longest event that is allowed; a longer one is dropped whole and counted.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Oddities;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// What a line may have besides the data: a byte order mark and `data: `.
const AROUND_DATA: usize = BOM.len() + b"data: ".len();
/// Bytes of a line that tell whether it is data, a comment or something else.
const HEAD: usize = BOM.len() + b"data:".len();

/// An event that is whole.
#[derive(Debug)]
pub struct Dispatch<'a> {
    /// Its data; shares the memory of its chunk where it can.
    pub data: Bytes,
    /// Its type; empty for `message`.
    pub name: &'a [u8],
    /// The id by which the stream is resumed after this event; empty for none.
    pub last_id: &'a Bytes,
}

/// Cuts chunks into events.
#[derive(Debug)]
pub struct Framer {
    max_data: usize,
    /// The line that the last chunk ended in.
    partial: BytesMut,
    /// The current line is too long; its rest is skipped.
    skipping: bool,
    /// The last chunk ended in `\r`: a `\n` that follows belongs to it.
    after_cr: bool,
    /// The next line is the first one, which may begin with a byte order mark.
    is_first_line: bool,
    data: Data,
    name: Bytes,
    /// The id of the event that is not whole yet, if it has one.
    next_id: Option<Bytes>,
    last_id: Bytes,
    retry: Option<Duration>,
    odd: Oddities,
}

/// The data of the event that is not whole yet.
#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    Many(BytesMut),
    TooLong,
}

impl Framer {
    /// A framer that drops events of more than `max_data` bytes of data.
    #[must_use]
    pub fn new(max_data: usize) -> Self {
        Self {
            max_data,
            partial: BytesMut::new(),
            skipping: false,
            after_cr: false,
            is_first_line: true,
            data: Data::None,
            name: Bytes::new(),
            next_id: None,
            last_id: Bytes::new(),
            retry: None,
            odd: Oddities::default(),
        }
    }

    /// What was met besides events.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.odd
    }

    /// The id by which to resume; empty for none. It outlasts connections.
    #[must_use]
    pub fn last_id(&self) -> &Bytes {
        &self.last_id
    }

    /// Sets the id by which to resume, as an earlier run left it.
    pub fn resume(&mut self, last_id: Bytes) {
        self.last_id = last_id;
    }

    /// What `retry:` said, once.
    pub fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    /// Takes a chunk; hands each event that is whole now to `emit`.
    pub fn push(&mut self, chunk: &Bytes, mut emit: impl FnMut(Dispatch<'_>)) {
        let mut at = 0;
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            at = usize::from(chunk[0] == b'\n');
        }
        while let Some(len) = memchr::memchr2(b'\r', b'\n', &chunk[at..]) {
            let line = at..at + len;
            at = line.end + 1;
            if chunk[line.end] == b'\r' {
                match chunk.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                self.line(chunk, line, &mut emit);
            } else if self.keep(&chunk[line]) {
                let whole = self.partial.split().freeze();
                self.line(&whole, 0..whole.len(), &mut emit);
            } else {
                // The end of the line that was too long is here already.
                self.skipping = false;
            }
        }
        if !self.skipping {
            self.keep(&chunk[at..]);
        }
    }

    /// The input has ended: what is not whole is dropped, and the next input begins anew. The id by which
    /// to resume stays.
    pub fn finish(&mut self) {
        let is_comment = self.partial.first() == Some(&b':');
        let has_data = matches!(self.data, Data::One(_) | Data::Many(_));
        if has_data || !(self.partial.is_empty() || is_comment) {
            self.odd.torn += 1;
        }
        self.partial = BytesMut::new();
        self.skipping = false;
        self.after_cr = false;
        self.is_first_line = true;
        self.forget_event();
        self.next_id = None;
    }

    fn forget_event(&mut self) {
        self.data = Data::None;
        if !self.name.is_empty() {
            self.name = Bytes::new();
        }
    }

    /// Keeps the piece of a line; skips the line and returns false when it is too long now.
    fn keep(&mut self, piece: &[u8]) -> bool {
        if self.partial.len() + piece.len() <= self.max_data + AROUND_DATA {
            self.partial.extend_from_slice(piece);
            return true;
        }
        let mut head: Vec<u8> = self.partial.iter().chain(piece).take(HEAD).copied().collect();
        self.partial = BytesMut::new();
        self.skipping = true;
        let begin = self.after_bom(&head);
        self.too_long_line(&head.split_off(begin));
        false
    }

    /// Where the line begins; the mark can only be before the first one.
    fn after_bom(&mut self, line: &[u8]) -> usize {
        let is_marked = std::mem::take(&mut self.is_first_line) && line.starts_with(BOM);
        if is_marked { BOM.len() } else { 0 }
    }

    /// A line longer than any event's data may be: only the beginning of it counts.
    fn too_long_line(&mut self, head: &[u8]) {
        if head.starts_with(b"data:") {
            self.drop_event();
        } else if head.starts_with(b":") {
            self.odd.keep_alives += 1;
        }
        // A field that no service sends in such a length is as one that the standard does not know.
    }

    fn drop_event(&mut self) {
        if !matches!(self.data, Data::TooLong) {
            self.data = Data::TooLong;
            self.odd.too_long += 1;
        }
    }

    fn line(&mut self, chunk: &Bytes, mut range: Range<usize>, emit: &mut impl FnMut(Dispatch<'_>)) {
        let is_too_long = range.len() > self.max_data + AROUND_DATA;
        if self.is_first_line {
            range.start += self.after_bom(&chunk[range.clone()]);
        }
        let line = &chunk[range.clone()];
        if is_too_long {
            return self.too_long_line(line);
        }
        let Some(first) = line.first() else { return self.dispatch(emit) };
        if *first == b':' {
            self.odd.keep_alives += 1;
            return;
        }
        let colon = memchr::memchr(b':', line);
        let mut begin = colon.map_or(line.len(), |at| at + 1);
        begin += usize::from(line.get(begin) == Some(&b' '));
        let value = range.start + begin..range.end;
        match &line[..colon.unwrap_or(line.len())] {
            b"data" => self.add(chunk.slice(value)),
            b"event" => self.name = chunk.slice(value),
            b"id" if !chunk[value.clone()].contains(&0) => self.next_id = Some(chunk.slice(value)),
            b"retry" => self.read_retry(&chunk[value]),
            _ => {}
        }
    }

    fn add(&mut self, more: Bytes) {
        let length = match &self.data {
            Data::None => more.len(),
            Data::One(data) => data.len() + 1 + more.len(),
            Data::Many(data) => data.len() + 1 + more.len(),
            Data::TooLong => return,
        };
        if length > self.max_data {
            return self.drop_event();
        }
        let mut joined = match std::mem::replace(&mut self.data, Data::None) {
            Data::None | Data::TooLong => {
                self.data = Data::One(more);
                return;
            }
            Data::One(data) => BytesMut::from(data),
            Data::Many(data) => data,
        };
        joined.extend_from_slice(b"\n");
        joined.extend_from_slice(&more);
        self.data = Data::Many(joined);
    }

    /// Only digits count.
    fn read_retry(&mut self, value: &[u8]) {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        if is_number {
            // A number beyond 64 bits is a very long wait; whoever takes it has a limit.
            self.retry = Some(Duration::from_millis(number.unwrap_or(u64::MAX)));
        }
    }

    fn dispatch(&mut self, emit: &mut impl FnMut(Dispatch<'_>)) {
        if let Some(id) = self.next_id.take() {
            self.last_id = id;
        }
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::One(data) => Some(data),
            Data::Many(data) => Some(data.freeze()),
            Data::None | Data::TooLong => None,
        };
        if let Some(data) = data {
            emit(Dispatch { data, name: &self.name, last_id: &self.last_id });
        }
        self.forget_event();
    }
}

#[cfg(test)]
mod tests;
