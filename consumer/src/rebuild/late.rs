//! The log as a rebuild needs it: how far it is final, where the panes of a range lie, and the late rows
//! that belong there. Reads; decides nothing.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{RebuildError, Span};
use crate::log::{Entry, Kept, Log, LogError, Reason};
use crate::micros::Micros;
use crate::store::Objects;
use crate::tables::Tables;

/// Entries that are fetched at once, of each of so many partitions.
pub(super) const PARALLEL: usize = 8;
const PARTITIONS: usize = 4;

/// What the log of one partition has for a range of event time.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) partition: i32,
    /// Its newest entry.
    pub(crate) newest: u64,
    pub(crate) closed_through: Option<Micros>,
    /// The first record that can be of the range; `None` when the log does not say it.
    pub(crate) resume: Option<i64>,
    /// The entries that may hold panes of the range, with the span that each closes.
    pub(crate) entries: Vec<(u64, Span)>,
    /// Late rows of the range, in the order of their offsets.
    pub(crate) late: Vec<Kept>,
    /// Those that were late rows and are copies of events that count.
    pub(crate) copies: Vec<Kept>,
}

/// All moments that windows that begin within `range` hold.
pub(crate) fn widened(tables: &Tables, range: &Span) -> Span {
    let width = tables.list().iter().map(|table| table.width()).max().unwrap_or(0);
    range.start..range.end.saturating_add(width)
}

/// Reads the chains of all partitions. The first of the results is how far windows are final.
pub(crate) async fn read<S: Objects>(
    log: &Log<S>,
    range: &Span,
) -> Result<(Option<Micros>, Vec<Chain>), RebuildError> {
    // The proposal first: a partition that is not listed after it has nothing before it.
    let proposal = log.newest_proposal(None).await?;
    let partitions = log.partitions().await?;
    let chains = stream::iter(partitions).map(|p| chain(log, p, range)).buffered(PARTITIONS);
    let chains: Vec<Option<Chain>> = chains.try_collect().await?;
    let chains: Vec<Chain> = chains.into_iter().flatten().collect();
    let is_closed = |through: Micros| chains.iter().all(|chain| chain.closed_through >= Some(through));
    let through = proposal.and_then(|newest| match newest.through {
        through if is_closed(through) => Some(through),
        _ => newest.from,
    });
    Ok((through, chains))
}

async fn chain<S: Objects>(log: &Log<S>, partition: i32, range: &Span) -> Result<Option<Chain>, LogError> {
    let Some(newest) = log.newest(partition, None).await? else { return Ok(None) };
    let first = first_beyond(log, partition, newest.seq, range.start).await?;
    let resume = match first.checked_sub(1) {
        Some(before) => read_entry(log, partition, before).await?.header.resume_offset,
        None => None,
    };
    let mut chain = Chain {
        partition,
        newest: newest.seq,
        closed_through: newest.closed_through,
        resume,
        entries: Vec::new(),
        late: Vec::new(),
        copies: Vec::new(),
    };
    let mut entries =
        stream::iter(first..=newest.seq).map(|seq| read_entry(log, partition, seq)).buffered(PARALLEL);
    while let Some(entry) = entries.try_next().await? {
        let Entry { header, kept, .. } = entry;
        if let Some(closed) = header.closed_through {
            let span = header.closed_before.unwrap_or(Micros::MIN)..closed;
            if span.start < range.end && !span.is_empty() {
                chain.entries.push((header.seq, span));
            }
        }
        let is_ours =
            |kept: &Kept| kept.reason == Reason::Late && kept.time.is_some_and(|time| range.contains(&time));
        chain.late.extend(kept.into_iter().filter(is_ours));
    }
    chain.late.sort_by_key(|kept| kept.offset);
    Ok(Some(chain))
}

/// The first entry that closes anything behind `time`; the one after the newest when none does.
async fn first_beyond<S: Objects>(
    log: &Log<S>,
    partition: i32,
    newest: u64,
    time: Micros,
) -> Result<u64, LogError> {
    let (mut low, mut high) = (0, newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if read_entry(log, partition, middle).await?.header.closed_through > Some(time) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// An entry that must be there.
pub(crate) async fn read_entry<S: Objects>(
    log: &Log<S>,
    partition: i32,
    seq: u64,
) -> Result<Entry, LogError> {
    match log.read(partition, seq).await? {
        Some(entry) => Ok(entry),
        None => Err(log.lost(partition, seq)),
    }
}
