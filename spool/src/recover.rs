//! Opening a spool, whatever state its files are in.
//!
//! Guarantees: the lock and the version come first, and if they refuse, nothing was changed. After that nothing
//! found in the files makes opening fail: a torn tail is cut off, damage is quarantined and counted, what the
//! index does not know is read from the segments, and what cannot be known is replayed rather than lost. Only
//! headers are read, and bodies only where the newest segment ends, so that the time does not grow with what
//! waits. Never deletes a record.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::books::{Books, SegmentInfo, Work};
use crate::capacity::Capacity;
use crate::checkpoint::{self, Checkpoint};
use crate::config::Config;
use crate::dead::{self, DeadLog};
use crate::dead_read;
use crate::error::Error;
use crate::fault::Faults;
use crate::frame::{HEADER_BYTES, Header};
use crate::indexer::{Indexer, Opened};
use crate::layout::{Format, Layout};
use crate::segment::{self, SegmentFile};
use crate::set_aside::set_aside;
use crate::shared::{Parts, Shared};
use crate::state::State;
use crate::stats::{IndexState, Recovery};
use crate::survey::{Survey, survey};

/// How long sled may take to open. It takes milliseconds; a damaged file might make it hang.
const INDEX_OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the index may take to answer while opening.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the spool and everything in it. The maintenance thread is not started yet.
pub(crate) fn open(config: Config) -> Result<Shared, Error> {
    let began = Instant::now();
    let layout = Layout::new(&config.dir);
    layout.refuse_newer()?;
    let lock = layout.lock()?;
    // Once more under the lock: a newer program may have been here since.
    layout.refuse_newer()?;
    layout.create_folders()?;
    let faults = Faults::of(&config.dir);
    let spool_id = identify(&layout)?;
    let capacity = Capacity::new(&config, layout.ballast.clone(), faults.clone());
    // sled writes while it opens: on a full disk the last run's ballast makes that possible.
    capacity.relieve();
    let (indexer, opened) = start_index(&config, &layout, spool_id, &faults)?;

    let checkpoint_state = checkpoint::read(&layout.dir, Some(spool_id));
    let index_state = indexer.ask(ASK_TIMEOUT, |index| index.state()).flatten();
    let known = match (checkpoint_state, index_state) {
        (Some(a), Some(b)) => Some(a.merge(b)),
        (a, b) => a.or(b),
    };
    let survey = survey(&layout, &indexer, spool_id, known)?;
    let checkpoint = Checkpoint::open(&layout.dir, spool_id, survey.state.generation, faults.clone());
    let writer = open_writer(&layout, &survey, &faults)?;
    let mut recovery = report(&survey, opened, &indexer);
    let books = open_books(config, layout, faults, spool_id, survey);
    let dead = open_dead(&books, &indexer)?;
    indexer.attach(Arc::downgrade(&books) as _, ASK_TIMEOUT);
    recovery.took = began.elapsed();
    let shared = Shared::new(Parts { books, capacity, indexer, recovery, dead, writer, checkpoint, lock });
    finish(&shared);
    Ok(shared)
}

/// The spool's id: from the FORMAT file, else from a frame, else a new one.
fn identify(layout: &Layout) -> Result<u32, Error> {
    if let Format::Version { spool_id, .. } = layout.read_format()? {
        return Ok(spool_id);
    }
    let segments = segment::list(&layout.log)?;
    let from_frames = segments.iter().find_map(|(first, _)| {
        let mut front = [0; HEADER_BYTES];
        let file = File::open(segment::path(&layout.log, *first)).ok()?;
        crate::files::read_up_to(&file, &mut front, 0).ok()?;
        Header::decode(&front).ok().map(|header| header.spool_id)
    });
    let spool_id = from_frames.unwrap_or_else(new_id);
    match layout.write_format(spool_id) {
        // Damage must not stop the spool, not even on a full disk: the next open tries again.
        Err(error) if !segments.is_empty() => {
            tracing::warn!(event = "spool_note_failed", %error, "cannot write the FORMAT file");
            Ok(spool_id)
        }
        result => result.map(|()| spool_id),
    }
}

/// A number that no other spool is likely to have. It guards against mistakes, not against malice.
fn new_id() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    let [a, b, c, d, ..] = random.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1)
}

/// Starts the index. If sled hangs on what it finds, that is set aside and left to itself.
fn start_index(
    config: &Config,
    layout: &Layout,
    spool_id: u32,
    faults: &Faults,
) -> Result<(Indexer, Opened), Error> {
    let start = || Indexer::start(layout.index.clone(), config.index_cache_bytes, spool_id, faults.clone());
    let wait = |opened: &Receiver<Opened>| opened.recv_timeout(INDEX_OPEN_TIMEOUT).ok();
    let (indexer, opened) = start()?;
    if let Some(how) = wait(&opened) {
        return Ok((indexer, how));
    }
    tracing::warn!(event = "spool_index_failed", path = %layout.index.display(), "the index does not open; setting it aside");
    indexer.abandon();
    set_aside(&layout.index);
    let (indexer, opened) = start()?;
    let how = if wait(&opened).is_some() { Opened::Replaced } else { Opened::Failed };
    Ok((indexer, how))
}

/// The segment that is appended to: the newest if its end is sound, else a new one.
fn open_writer(layout: &Layout, survey: &Survey, faults: &Faults) -> Result<SegmentFile, Error> {
    if let Some(newest) = survey.appendable() {
        match SegmentFile::reopen(&layout.log, newest.first_seq, newest.len, faults.clone()) {
            Ok(writer) => return Ok(writer),
            Err(error) if newest.first_seq == survey.state.tail => {
                tracing::warn!(event = "spool_new_segment", %error, "cannot go on in the newest segment; making it anew");
                return SegmentFile::recreate(&layout.log, newest.first_seq, faults.clone());
            }
            Err(error) => {
                tracing::warn!(event = "spool_new_segment", %error, "cannot go on in the newest segment; beginning a new one")
            }
        }
    }
    SegmentFile::create(&layout.log, survey.state.tail, faults.clone())
}

fn report(survey: &Survey, opened: Opened, indexer: &Indexer) -> Recovery {
    let rebuilt = opened == Opened::Replaced || survey.index_was_empty;
    Recovery {
        index: match opened {
            Opened::Failed => IndexState::Unavailable,
            _ if !indexer.is_ok() => IndexState::Unavailable,
            _ if rebuilt => IndexState::Rebuilt,
            Opened::Created => IndexState::Created,
            _ => IndexState::Found,
        },
        position_lost: survey.position_lost,
        torn_bytes: survey.torn_bytes,
        quarantined_frames: survey.damages,
        records_lost: survey.records_lost,
        segments_missing: survey.segments_missing,
        segments_scanned: survey.segments_scanned,
        took: Duration::ZERO,
    }
}

fn open_books(config: Config, layout: Layout, faults: Faults, spool_id: u32, survey: Survey) -> Arc<Books> {
    let tail = survey.state.tail;
    let mut segments = survey.segments;
    if segments.last().is_none_or(|newest| newest.end_seq != tail || !survey.newest_is_sound) {
        segments.push(SegmentInfo { first_seq: tail, end_seq: tail, len: 0, payload_bytes: 0 });
    }
    let books = Books::new(config, layout, faults, spool_id, segments, survey.state);
    // Lost records at the head are nobody's to acknowledge.
    books.acknowledge(books.acknowledged());
    Arc::new(books)
}

fn open_dead(books: &Books, indexer: &Indexer) -> Result<DeadLog, Error> {
    use std::sync::atomic::Ordering;
    let dir = &books.layout.dead;
    let through = indexer.ask(ASK_TIMEOUT, |index| index.dead_through()).unwrap_or(0);
    let log = DeadLog::open(dir, books.spool_id, through, books.faults.clone())?;
    if indexer.is_ok() && through < log.next() {
        dead_read::replay(dir, through, &mut |change| indexer.change_patiently(change, ASK_TIMEOUT));
    }
    let count = indexer.ask(ASK_TIMEOUT, |index| Ok(index.dead_count()));
    let count = count.unwrap_or_else(|| dead_read::list_from_log(dir, 0, usize::MAX).len() as u64);
    books.gauges.dead_letters.store(count, Ordering::Relaxed);
    books.gauges.dead_bytes.store(dead::size(dir), Ordering::Relaxed);
    Ok(log)
}

/// What needs the open spool: the bytes that wait, the ballast, and a first checkpoint.
fn finish(shared: &Shared) {
    use std::sync::atomic::Ordering;
    let books = &shared.books;
    let head = books.acknowledged();
    let segments: Vec<_> = books.segments(|map| map.values().copied().collect());
    let waiting = segments.iter().filter(|info| info.end_seq > head).map(|info| {
        let done = if info.first_seq < head { shared.locate(*info, head).1 } else { 0 };
        info.payload_bytes.saturating_sub(done)
    });
    books.gauges.waiting_bytes.store(waiting.sum(), Ordering::Relaxed);
    shared.capacity.take_ballast();
    if let Err(error) = shared.save() {
        tracing::error!(event = "spool_maintenance_failed", %error, "cannot write the checkpoint; trying again in a second");
        books.set_trouble(Work::Maintain, Some(&error));
    }
}

/// A state for a spool of which nothing is known.
pub(crate) fn unknown_state(first_segment: Option<u64>) -> State {
    let first = first_segment.unwrap_or(1);
    State { acknowledged: first, tail: first, ..State::default() }
}
