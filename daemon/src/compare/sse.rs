//! The data of the events in the raw bytes of an SSE stream, by the WHATWG standard. Pure; the chunks can
//! be cut anywhere. Only what a comparison needs: names, ids and reconnection times are read over.

use super::Damage;

/// See the module.
#[derive(Debug)]
pub(super) struct Events {
    max_bytes: usize,
    line: Vec<u8>,
    /// The event's data so far, each line followed by `\n`; none before its first `data`.
    data: Option<Vec<u8>>,
    /// The event has become too long: its rest is not kept.
    is_too_long: bool,
    /// The last byte was `\r`: a `\n` now belongs to it.
    after_cr: bool,
    is_first_line: bool,
    too_long: u64,
}

impl Events {
    /// Leaves out events with more than about `max_bytes` of data.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            line: Vec::new(),
            data: None,
            is_too_long: false,
            after_cr: false,
            is_first_line: true,
            too_long: 0,
        }
    }

    /// Takes a chunk; hands the data of each event that is whole now to `emit`.
    pub(super) fn push(&mut self, mut chunk: &[u8], mut emit: impl FnMut(&[u8])) {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            self.keep(&chunk[..end]);
            let is_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if is_cr {
                self.after_cr = chunk.is_empty();
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
            self.end_line(&mut emit);
        }
        self.keep(chunk);
    }

    /// The stream has ended: an event that has begun is torn.
    pub(super) fn finish(self) -> Damage {
        let is_torn = self.data.is_some() || self.line.first().is_some_and(|first| *first != b':');
        Damage { torn: u64::from(is_torn && !self.is_too_long), too_long: self.too_long }
    }

    fn keep(&mut self, piece: &[u8]) {
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if held + piece.len() > self.max_bytes && !self.is_too_long {
            self.is_too_long = true;
            self.too_long += 1;
            self.data = None;
        }
        // Of a line that is too long its beginning stays, so that it does not count as the empty line that
        // ends the event.
        let kept = if self.is_too_long { &piece[..piece.len().min(1)] } else { piece };
        if !self.is_too_long || self.line.is_empty() {
            self.line.extend_from_slice(kept);
        }
    }

    fn end_line(&mut self, emit: &mut impl FnMut(&[u8])) {
        let mut line = std::mem::take(&mut self.line);
        let mark: &[u8] = "\u{feff}".as_bytes();
        let text = match std::mem::take(&mut self.is_first_line) {
            true => line.strip_prefix(mark).unwrap_or(&line),
            false => &line,
        };
        if text.is_empty() {
            self.is_too_long = false;
            if let Some(data) = self.data.take() {
                // The end of its last line is none of the data's.
                emit(&data[..data.len() - 1]);
            }
        } else if let Some(value) = field(text, b"data").filter(|_| !self.is_too_long) {
            let data = self.data.get_or_insert_default();
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        line.clear();
        self.line = line;
    }
}

/// The value of the field `name`, if the line has it.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]], max: usize) -> (Vec<String>, Damage) {
        let mut events = Events::new(max);
        let mut all = Vec::new();
        for chunk in chunks {
            events.push(chunk, |data| all.push(String::from_utf8(data.to_vec()).unwrap()));
        }
        (all, events.finish())
    }

    #[test]
    fn events_are_read_by_the_standard() {
        let text = b"\xEF\xBB\xBFdata: one\r\n\r\n:)\nevent: x\nid: 7\ndata:two\ndata:  three\n\ndata\n\ndatax: no\n\rdata: four\r\rdata: to";
        let (events, damage) = read(&[text], 100);
        assert_eq!(events, ["one", "two\n three", "", "four"]);
        assert_eq!(damage, Damage { torn: 1, too_long: 0 });
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out_whole() {
        let text = b"data: 123456789\ndata: 123456789\n\ndata: 12345\n\n";
        let (events, damage) = read(&[text], 20);
        assert_eq!(events, ["12345"]);
        assert_eq!(damage, Damage { torn: 0, too_long: 1 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':')], 0..100)) {
            let mut events = Events::new(10);
            events.push(&bytes, |data| assert!(data.len() <= 10));
            let damage = events.finish();
            prop_assert!(damage.torn <= 1);
        }

        #[test]
        fn cuts_do_not_matter(text in "(data: ?[ab]{0,3}|:c|[\r\n]|\r\n|\n\n){0,20}", cut in any::<prop::sample::Index>(), max in 3_usize..40) {
            let bytes = text.as_bytes();
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(read(&[bytes], max), read(&[a, b], max));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&[bytes], max), read(&single, max));
        }
    }
}
