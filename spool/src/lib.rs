//! A crash-safe disk spool: a sled index over a value log of checksummed frames.
//!
//! Records go in as groups at the tail and come out in order at the head. Each record has its own sequence
//! number: contiguous, beginning with 1, never used twice.
//!
//! ```
//! use spillway_spool::{Appended, Config, Group, Spool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let mut config = Config::new(dir.path());
//! # config.free_floor_bytes = 0;
//! let (spool, mut appender, mut reader) = Spool::open(config)?;
//! let mut group = Group::new();
//! group.push(&[b"one"]);
//! group.push(&[b"t", b"wo"]);
//! let stored = appender.append(&group)?;
//! assert!(matches!(stored, Appended::Stored { first_seq: 1, records: 2, .. }));
//!
//! while let Some(batch) = reader.next()? {
//!     for (seq, record) in batch.iter() {
//!         println!("{seq}: {}", String::from_utf8_lossy(record));
//!     }
//!     reader.acknowledge(batch.end_seq())?;
//! }
//! spool.sync()?;
//! assert_eq!(spool.stats().records, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - An append that returned `Ok` survives a crash of the process and a power cut.
//! - A record is handed out again after every restart until it was acknowledged. Acknowledgements become durable
//!   about once a second: a crash repeats records, it never skips one.
//! - Damage is found by checksums, counted exactly, copied to `quarantine/` and stepped over. It never stops the
//!   spool, and neither does an index that is lost.
//! - A full or failing disk is an error of the call, never a lost record; work resumes when the disk does.
//! - One process at a time, one appender and one reader in it.
//!
//! # Flow
//! ```text
//!  Group -> codec -> frame -> segment (write, fdatasync) -> books -> reader -> Batch
//!             appender            |                           ^         |
//!                                 v                           |         v acknowledge
//!                              indexer (sled)              survey <- maintain: checkpoint, delete, flush
//! ```
//! Files and their layout: see `docs/spool-format.md`.

mod appender;
mod batch;
mod books;
mod capacity;
mod checkpoint;
mod codec;
mod config;
mod cursor;
mod dead;
mod dead_read;
mod error;
#[cfg_attr(any(test, feature = "fault"), doc(hidden))]
#[cfg(any(test, feature = "fault"))]
pub mod fault;
#[cfg(not(any(test, feature = "fault")))]
mod fault;
mod files;
mod frame;
#[cfg(test)]
mod frame_tests;
mod group;
mod holes;
mod index;
mod index_values;
mod index_worker;
mod indexer;
pub mod inspect;
mod layout;
mod maintain;
mod quarantine;
mod reader;
mod recover;
mod scan;
mod segment;
mod set_aside;
mod shared;
mod spool;
mod spool_dead;
mod state;
mod stats;
mod survey;
mod walk;
#[cfg(test)]
mod walk_tests;

pub use appender::{Appended, Appender};
pub use batch::Batch;
pub use config::{Codec, Config, WhenFull};
pub use dead::{DeadLetter, NewDeadLetter};
pub use error::{Error, FullCause};
pub use frame::{Defect, FORMAT_VERSION, MAX_GROUP_BYTES, MAX_GROUP_RECORDS, MAX_RECORD_BYTES};
pub use group::Group;
pub use reader::Reader;
pub use spool::Spool;
pub use state::{MAX_META_KEY_BYTES, MAX_META_VALUE_BYTES};
pub use stats::{Dropped, IndexState, IoTrouble, Quarantined, Recovery, Stats};
