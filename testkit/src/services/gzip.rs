//! A gzip stream (RFC 1952) of stored blocks (RFC 1951, 3.2.4): nothing gets smaller, but a client
//! has to decode it all the same, and every block is whole at a known byte.

const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const BLOCK_BYTES_MAX: usize = 65_535;

/// Encodes one stream.
pub(super) struct Gzip {
    begun: bool,
    crc: u32,
    len: u32,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { begun: false, crc: u32::MAX, len: 0 }
    }

    /// `bytes` as blocks; what is written so far can be decoded without what comes.
    pub(super) fn encode(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / BLOCK_BYTES_MAX * 5 + 16);
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&HEAD);
        }
        for part in bytes.chunks(BLOCK_BYTES_MAX) {
            // At most BLOCK_BYTES_MAX.
            let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&(!len).to_le_bytes());
            out.extend_from_slice(part);
            // The length counts modulo 2^32.
            self.len = self.len.wrapping_add(u32::from(len));
        }
        self.crc = bytes.iter().fold(self.crc, |crc, byte| step(crc ^ u32::from(*byte)));
        out
    }

    /// The end of the stream.
    pub(super) fn finish(&self) -> Vec<u8> {
        let mut out = if self.begun { Vec::new() } else { HEAD.to_vec() };
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
        out.extend_from_slice(&(!self.crc).to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out
    }
}

/// Eight steps of CRC-32 as in IEEE 802.3. Bit by bit: the tests do not compress much.
fn step(crc: u32) -> u32 {
    let low = (0..8).fold(crc & 0xff, |low, _| if low & 1 == 1 { low >> 1 ^ 0xedb8_8320 } else { low >> 1 });
    low ^ crc >> 8
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What the gzip program makes of it.
    fn decoded(stream: &[u8]) -> (Vec<u8>, bool) {
        let mut command = Command::new("gzip");
        command.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut gzip = crate::children::spawn(&mut command).unwrap();
        let (mut stdin, stream) = (gzip.stdin.take().unwrap(), stream.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&stream));
        let output = gzip.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        (output.stdout, output.status.success())
    }

    #[test]
    fn another_program_decodes_it() {
        let parts: [&[u8]; 4] = [b"spill", b"", &[b'x'; 200_000], "余水路".as_bytes()];
        let mut gzip = Gzip::new();
        let mut stream: Vec<u8> = parts.iter().flat_map(|part| gzip.encode(part)).collect();
        stream.extend(gzip.finish());
        assert_eq!(decoded(&stream), (parts.concat(), true));
        let last = stream.len() - 5;
        stream[last] ^= 1;
        assert!(!decoded(&stream).1, "the checksum is checked");
        assert_eq!(decoded(&Gzip::new().finish()), (Vec::new(), true));
    }
}
