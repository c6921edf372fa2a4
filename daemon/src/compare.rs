//! Compares two readings of one stream, by the ids of their records: what does each miss?
//!
//! Both inputs are read once to see which id is where, and those that have what the other lacks are read
//! again to name it. So no id is kept in memory, only a hash of 128 bits of each: [`BYTES_PER_ID`]. Two
//! ids of one hash would count as one; with a billion ids the chance of that is below 10^-20.

mod fields;
mod file;
mod ids;
mod report;
mod tally;
mod topic;

use std::io;
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::pointer::Pointer;

pub use file::FileInput;
pub use report::{Gap, Named, Report, SideReport, WindowReport};
pub use topic::TopicInput;

use fields::Fields;
use tally::Tally;

/// What an id costs in memory, at least and at most; the table that holds them doubles as it grows, and
/// while it does the old one is there too.
pub const BYTES_PER_ID: (usize, usize) = (21, 41);

/// A record as an input has it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its bytes.
    pub value: &'a [u8],
    /// The `spillway-id` header, of a topic.
    pub id: Option<&'a str>,
    /// Kafka's timestamp, of a topic; unix milliseconds.
    pub time_ms: Option<i64>,
}

/// How far a reading is, in a unit of the input's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Done.
    pub done: u64,
    /// All there is to do.
    pub total: u64,
    /// Whether the unit is bytes; else it is records.
    pub is_bytes: bool,
}

/// Input that no record could be taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that were cut off at the end.
    pub torn: u64,
    /// Records over the limit of 64 MiB.
    pub too_long: u64,
}

/// Something that can be read from its beginning, more than once, and is the same each time.
pub trait Input {
    /// Its name, for people.
    fn name(&self) -> String;

    /// Whether its records carry ids of their own.
    fn has_ids(&self) -> bool;

    /// Reads all of it.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    fn read(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> Result<Damage, InputError>;
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file.
    #[error("cannot read {file}")]
    File {
        /// Its path.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is no regular file.
    #[error("{0} is no regular file; it has to be read twice")]
    NotRegular(String),
    /// A topic.
    #[error("cannot read the topic {topic}")]
    Topic {
        /// Its name.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// There is no such topic.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// The brokers have stopped giving records.
    #[error(
        "the topic {topic} gave nothing for {seconds} s; {left} of its partitions are not read to their end; \
         the last error was: {said}"
    )]
    Stalled {
        /// Its name.
        topic: String,
        /// How long it was waited.
        seconds: u64,
        /// Partitions that are left.
        left: usize,
        /// What librdkafka said last, if anything.
        said: String,
    },
}

/// Why two inputs could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One of them could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No pointer was given for records without ids of their own.
    #[error("the records of {0} have no ids of their own: say where in them the id is, with --id")]
    NoPointer(String),
    /// The pointer is wrong: "the same" would be said of inputs of which nothing was compared.
    #[error("none of the {records} records of {input} has an id{place}; check --id")]
    NoIds {
        /// The input.
        input: String,
        /// Its records.
        records: u64,
        /// Where the ids were looked for.
        place: String,
    },
}

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where in a record its id is; else the header of a topic's records.
    pub id: Option<Pointer>,
    /// Where in a record its time is; else the timestamp of a topic's records.
    pub time: Option<Pointer>,
    /// Width of the windows by which missing ids are reported.
    pub window: Duration,
    /// Do not count as missing what comes before the other input's first record or after its last.
    pub common_span: bool,
}

/// One of the two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both, in their order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Hears how far the reading is. The second reading of a side begins at 0 again.
pub type Watcher<'w> = &'w mut dyn FnMut(Side, Progress);

/// Compares `a` with `b`.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(
    [a, b]: [&mut dyn Input; 2],
    options: &Options,
    watch: Watcher<'_>,
) -> Result<Report, CompareError> {
    let fields = Fields { id: options.id.as_ref(), time: options.time.as_ref() };
    let mut tally = Tally::new(options.window, options.common_span);
    let mut inputs = [(Side::A, a), (Side::B, b)];
    let mut damages = [Damage::default(); 2];
    for (side, input) in &mut inputs {
        if options.id.is_none() && !input.has_ids() {
            return Err(CompareError::NoPointer(input.name()));
        }
        damages[side.index()] = input.read(&mut |item, progress| {
            let (id, time) = fields.of(item);
            tally.take(*side, id.as_deref(), time);
            watch(*side, progress);
        })?;
        check_ids(&tally, *side, &**input, options)?;
    }
    for (side, input) in &mut inputs {
        if tally.only_at(*side) > 0 {
            input.read(&mut |item, progress| {
                let (id, time) = fields.of(item);
                if let Some(id) = id {
                    tally.name(*side, &id, time);
                }
                watch(*side, progress);
            })?;
        }
    }
    let [(_, a), (_, b)] = &inputs;
    Ok(Report::new(tally, [a.name(), b.name()], damages))
}

fn check_ids(tally: &Tally, side: Side, input: &dyn Input, options: &Options) -> Result<(), CompareError> {
    let counts = tally.side(side);
    if counts.records == 0 || counts.without_id < counts.records {
        return Ok(());
    }
    let place = match &options.id {
        Some(pointer) => format!(" at {pointer}"),
        None => " in its header".to_owned(),
    };
    Err(CompareError::NoIds { input: input.name(), records: counts.records, place })
}
