//! Messages that are compressed with zstd and a dictionary that both sides have, one frame a message.
//!
//! A frame names its dictionary by a number. Another number than ours is told as such: it means that the
//! upstream has moved on to another dictionary, and an operator has to fetch it. What a message unfolds
//! to is bounded, whatever its header says.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use zstd::dict::DecoderDictionary;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{get_dict_id_from_dict, get_dict_id_from_frame};

/// Largest dictionary that is read; zstd's own tools make them of about 110 KiB.
const DICTIONARY_BYTES_MAX: u64 = 16 << 20;
/// Room for the output at first, when the frame does not say.
const FIRST_BYTES: usize = 4 << 10;

/// Why there is no dictionary.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// The file cannot be read.
    #[error("cannot read the zstd dictionary {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is no dictionary with a number.
    #[error("{} is no zstd dictionary with an id", path.display())]
    NoDictionary {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any dictionary.
    #[error("{} has {bytes} bytes; that is no zstd dictionary", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// It was compressed with another dictionary.
    #[error(
        "it needs the zstd dictionary {found}, and the one given is {ours}; get the upstream's present one, or set compress = false"
    )]
    OtherDictionary {
        /// The number in the frame; 0 when it names none.
        found: u32,
        /// The number of the one we have.
        ours: u32,
    },
    /// It is no whole zstd frame.
    #[error("it is damaged")]
    Damaged(#[source] io::Error),
    /// It ends before its frame does, or goes on after it.
    #[error("it is not exactly one zstd frame")]
    NotOneFrame,
    /// It unfolds to more than the limit.
    #[error("it unfolds to more than the limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl Undecodable {
    /// Whether an operator has to act.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        matches!(self, Self::OtherDictionary { .. })
    }
}

/// A dictionary, made ready for use.
pub struct Dictionary {
    prepared: DecoderDictionary<'static>,
    id: u32,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dictionary({})", self.id)
    }
}

impl Dictionary {
    /// Reads a dictionary.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(path: &Path) -> Result<Self, DictionaryError> {
        let failed = |source| DictionaryError::Read { path: path.to_owned(), source };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > DICTIONARY_BYTES_MAX {
            return Err(DictionaryError::TooLarge { path: path.to_owned(), bytes });
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        Self::new(&bytes).ok_or_else(|| DictionaryError::NoDictionary { path: path.to_owned() })
    }

    /// Takes a dictionary; `None` when it is none, or has no number.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let id = get_dict_id_from_dict(bytes)?.get();
        let prepared = DecoderDictionary::try_copy(bytes).ok()?;
        Some(Self { prepared, id })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Unfolds a message to at most `limit` bytes.
    ///
    /// # Errors
    /// When it was compressed otherwise, is damaged, or is too long.
    pub fn unfold(&self, message: &[u8], limit: usize) -> Result<Bytes, Undecodable> {
        let found = get_dict_id_from_frame(message).map_or(0, std::num::NonZeroU32::get);
        let is_frame = message.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        if is_frame && found != self.id {
            return Err(Undecodable::OtherDictionary { found, ours: self.id });
        }
        let mut decoder = Decoder::with_prepared_dictionary(&self.prepared).map_err(Undecodable::Damaged)?;
        let mut input = InBuffer::around(message);
        let mut unfolded: Vec<u8> = Vec::with_capacity(room(message, limit));
        loop {
            let at = unfolded.len();
            let mut output = OutBuffer::around_pos(&mut unfolded, at);
            let left = decoder.run(&mut input, &mut output).map_err(Undecodable::Damaged)?;
            let is_full = output.pos() == output.capacity();
            if left == 0 && input.pos() == message.len() {
                break;
            }
            if left == 0 || !is_full {
                return Err(Undecodable::NotOneFrame);
            }
            if unfolded.len() > limit {
                return Err(Undecodable::TooLong { limit });
            }
            let more = unfolded.len().max(FIRST_BYTES).min(limit + 1 - unfolded.len());
            unfolded.reserve_exact(more);
        }
        if unfolded.len() > limit {
            return Err(Undecodable::TooLong { limit });
        }
        Ok(unfolded.into())
    }
}

/// Room for what the frame says that it holds, or for a guess.
fn room(message: &[u8], limit: usize) -> usize {
    let said = zstd::zstd_safe::get_frame_content_size(message).ok().flatten();
    let said = said.and_then(|said| usize::try_from(said).ok());
    said.unwrap_or(FIRST_BYTES).min(limit).saturating_add(1)
}
