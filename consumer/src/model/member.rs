//! One member of the group: what `run` does, as steps that may be taken in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sink::ModelSink;
use super::tables::tables;
use super::world::{SECOND, TOPIC, World};
use crate::acquire::{Claim, acquire};
use crate::engine::Engine;
use crate::finaliser::{FinaliseError, Finaliser, Step};
use crate::hint::Hint;
use crate::log::{Header, Log, LogError, Proposal, Put, Standing};
use crate::pane::Record;
use crate::partition::{Restored, Verdict};
use crate::testing::store::Memory;

/// What a task came to.
enum Done {
    Acquired {
        partition: i32,
        epoch: u64,
        restored: Box<Restored>,
    },
    Put {
        epoch: u64,
        header: Box<Header>,
        put: Put,
    },
    Step {
        finaliser: Box<Finaliser<Memory>>,
        step: Option<Step>,
    },
    Proposal(Option<Proposal>),
    /// The log of a partition that rests was looked at.
    Checked {
        partition: i32,
        epoch: u64,
        seq: u64,
        goes_on: bool,
    },
}

type Task = Pin<Box<dyn Future<Output = Done>>>;

/// A partition that this member believes to own.
struct Owned {
    /// Which taking on it belongs to.
    epoch: u64,
    /// The next record; `None` while it is being taken on.
    next: Option<usize>,
}

/// See the module.
pub(super) struct Member {
    engine: Engine,
    owned: BTreeMap<i32, Owned>,
    epochs: u64,
    tasks: Vec<Task>,
    finaliser: Option<Box<Finaliser<Memory>>>,
    is_finalising: bool,
    is_asking: bool,
    proposed: Option<Proposal>,
    is_frozen: bool,
    is_draining: bool,
    /// How many partitions it believes that the topic has: its client asks now and then.
    partitions: i32,
}

impl Member {
    pub(super) fn new(delay_s: i64, partitions: usize) -> Self {
        Self {
            engine: Engine::new(tables(), delay_s * SECOND, 600 * SECOND),
            owned: BTreeMap::new(),
            epochs: 0,
            tasks: Vec::new(),
            finaliser: None,
            is_finalising: false,
            is_asking: false,
            proposed: None,
            is_frozen: false,
            is_draining: false,
            partitions: i32::try_from(partitions).unwrap(),
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    pub(super) fn set_frozen(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }

    pub(super) fn learn_partitions(&mut self, partitions: usize) {
        self.partitions = i32::try_from(partitions).unwrap();
    }

    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) fn describe(&self) -> String {
        let newest: Vec<_> = self.owned.keys().map(|p| self.engine.newest_entry(*p)).collect();
        format!(
            "{} tasks, finalising {}, {newest:?} {:?} {:?}",
            self.tasks.len(),
            self.is_finalising,
            self.finaliser,
            self.proposed
        )
    }

    pub(super) fn revoke(&mut self, p: i32) {
        self.owned.remove(&p);
        self.engine.revoke(p);
    }

    pub(super) fn take_on(&mut self, p: i32, committed: Option<(Option<i64>, Hint)>, store: &Memory) {
        self.engine.revoke(p);
        self.epochs += 1;
        let epoch = self.epochs;
        self.owned.insert(p, Owned { epoch, next: None });
        let log = Log::new(store.clone(), TOPIC);
        let claim = Claim {
            partition: p,
            cluster_id: None,
            committed: committed.and_then(|(offset, _)| offset),
            hint: committed.map(|(_, hint)| hint),
            marks: tables().marks(),
        };
        self.tasks.push(Box::pin(async move {
            loop {
                match acquire(&log, &claim).await {
                    Ok(restored) => {
                        return Done::Acquired { partition: p, epoch, restored: Box::new(restored) };
                    }
                    Err(error) => assert!(!error.is_permanent(), "{error:?}"),
                }
            }
        }));
    }

    /// Does one thing.
    pub(super) fn act(&mut self, world: &mut World) {
        match world.random.below(10) {
            0 | 1 => self.read(world),
            2 => self.close(world),
            3 => self.finalise(world),
            4 => self.ask(world),
            // The store is fast beside the stream, or the log would never catch up with it.
            _ => (0..1 + world.random.below(12)).for_each(|_| self.poll(world)),
        }
    }

    fn read(&mut self, world: &mut World) {
        if self.owned.is_empty() {
            return;
        }
        let i = world.random.index(self.owned.len());
        let n = 1 + world.random.below(12);
        let Some((p, owned)) = self.owned.iter_mut().nth(i) else { return };
        let Some(next) = &mut owned.next else { return };
        for _ in 0..n {
            let Some(rec) = world.logs[usize::try_from(*p).unwrap()].get(*next) else { return };
            let offset = i64::try_from(*next).unwrap();
            let (id, value) = (Some(rec.id.as_bytes()), rec.id.as_bytes());
            let record = Record { offset, id, timestamp: rec.kafka_secs * SECOND, value };
            if !rec.is_event {
                self.engine.unreadable(*p, record, "torn");
            } else if self.engine.event(*p, record, &rec.event()) == Some(Verdict::Duplicate) {
                world.totals.duplicates += 1;
            }
            *next += 1;
        }
    }

    fn is_at_end(&self, p: i32, world: &World) -> bool {
        let next = self.owned.get(&p).and_then(|owned| owned.next);
        next.is_some_and(|next| next >= world.logs[usize::try_from(p).unwrap()].len())
    }

    fn close(&mut self, world: &mut World) {
        let owned: Vec<(i32, u64)> =
            self.owned.iter().filter(|(_, o)| o.next.is_some()).map(|(p, o)| (*p, o.epoch)).collect();
        for (p, epoch) in owned {
            let is_at_end = self.is_at_end(p, world);
            let standing = if self.is_draining && is_at_end {
                self.engine.drained(p)
            } else if world.shape.may_idle && is_at_end && world.random.percent(50) {
                Standing::Idle
            } else {
                Standing::Awake
            };
            if standing.follows()
                && let Some(proposed) = &self.proposed
            {
                self.engine.follow(p, proposed.through);
            }
            let standing = if self.is_draining && is_at_end { self.engine.drained(p) } else { standing };
            let is_overdue = world.random.percent(5);
            let Some(entry) = self.engine.seal(p, standing, is_overdue) else {
                if standing.follows() && world.random.percent(20) {
                    self.check(p, epoch, world);
                }
                continue;
            };
            let log = Log::new(world.store.clone(), TOPIC);
            self.tasks.push(Box::pin(async move {
                loop {
                    match log.put(&entry).await {
                        Ok(put) => return Done::Put { epoch, header: Box::new(entry.header), put },
                        Err(error) => assert!(!error.is_permanent(), "{error:?}"),
                    }
                }
            }));
        }
    }

    /// Somebody who does not know that the partition is not theirs may have written to its log.
    fn check(&mut self, partition: i32, epoch: u64, world: &World) {
        let Some(seq) = self.engine.newest_entry(partition).map(|newest| newest.seq) else { return };
        let log = Log::new(world.store.clone(), TOPIC);
        self.tasks.push(Box::pin(async move {
            // One that fails is made again.
            let goes_on = log.goes_on_after(partition, seq).await.unwrap_or(false);
            Done::Checked { partition, epoch, seq, goes_on }
        }));
    }

    fn finalise(&mut self, world: &World) {
        if !self.owned.contains_key(&0) {
            self.finaliser = None;
            return;
        }
        if self.is_finalising {
            return;
        }
        self.is_finalising = true;
        let (sink, partitions) = (ModelSink { store: world.store.clone() }, self.partitions);
        let finaliser = self.finaliser.take();
        self.tasks.push(Box::pin(async move {
            let mut finaliser = match finaliser {
                Some(finaliser) => finaliser,
                None => Box::new(open(&sink.store).await),
            };
            let step = match finaliser.step(partitions, &sink).await {
                Ok(step) => Some(step),
                Err(FinaliseError::Log(error)) => {
                    assert!(!error.is_permanent(), "{error:?}");
                    None
                }
                Err(FinaliseError::Write(error)) => panic!("{error}"),
            };
            Done::Step { finaliser, step }
        }));
    }

    fn ask(&mut self, world: &World) {
        if self.is_asking {
            return;
        }
        self.is_asking = true;
        let (log, known) = (Log::new(world.store.clone(), TOPIC), self.proposed.clone());
        self.tasks.push(Box::pin(async move {
            loop {
                match log.newest_proposal(known.as_ref()).await {
                    Ok(newest) => return Done::Proposal(newest),
                    Err(error) => assert!(!error.is_permanent(), "{error:?}"),
                }
            }
        }));
    }

    /// Lets one task go on.
    fn poll(&mut self, world: &mut World) {
        if self.tasks.is_empty() {
            return;
        }
        let i = world.random.index(self.tasks.len());
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = self.tasks[i].as_mut().poll(&mut context) {
            drop(self.tasks.swap_remove(i));
            self.apply(done, world);
        }
    }

    fn apply(&mut self, done: Done, world: &mut World) {
        match done {
            Done::Acquired { partition, epoch, restored } => {
                let Some(owned) = self.owned.get_mut(&partition).filter(|o| o.epoch == epoch) else { return };
                let next = restored.header.resume_offset.unwrap_or(0);
                owned.next = Some(usize::try_from(next).unwrap());
                self.engine.assign(partition, *restored);
            }
            Done::Put { epoch, header, put } => self.put(epoch, *header, put, world),
            Done::Step { finaliser, step } => {
                self.is_finalising = false;
                let can_go_on = step.as_ref().is_some_and(|step| *step != Step::Waiting);
                if let Some(Step::Final { through, .. }) = step {
                    world.totals.retaken_proposals +=
                        u64::from(self.proposed.as_ref().is_some_and(|p| p.through > through));
                }
                // A newer one than this member knew of, also when it has made it itself.
                if finaliser.newest().map(|p| p.seq) > self.proposed.as_ref().map(|p| p.seq) {
                    self.proposed = finaliser.newest().cloned();
                }
                self.finaliser = Some(finaliser);
                if can_go_on {
                    self.finalise(world);
                }
            }
            Done::Checked { partition, epoch, seq, goes_on } => {
                let is_owned = self.owned.get(&partition).is_some_and(|owned| owned.epoch == epoch);
                let is_still_resting = self.engine.is_resting_at(partition, seq);
                if is_owned && goes_on && is_still_resting {
                    self.take_on(partition, world.committed.get(&partition).copied(), &world.store);
                }
            }
            Done::Proposal(newest) => {
                self.is_asking = false;
                if newest.as_ref().map(|p| p.seq) > self.proposed.as_ref().map(|p| p.seq) {
                    self.proposed = newest;
                }
            }
        }
    }

    fn put(&mut self, epoch: u64, header: Header, put: Put, world: &mut World) {
        let p = header.partition;
        world.totals.lost_races += u64::from(put == Put::Theirs);
        if self.owned.get(&p).is_none_or(|owned| owned.epoch != epoch) {
            return;
        }
        if put == Put::Theirs {
            let committed = world.committed.get(&p).copied();
            self.take_on(p, committed, &world.store);
            return;
        }
        let hint = Hint { seq: header.seq, closed_through: header.closed_through };
        let offset = header.resume_offset;
        self.engine.logged(header);
        // A commit may be lost, or come from a member that is not the owner any more.
        if world.random.percent(70) {
            world.committed.insert(p, (offset, hint));
        }
    }

    /// Whether everything is final.
    pub(super) fn is_drained(&self, world: &World) -> bool {
        let is_drained = |p: i32| {
            let newest = self.engine.newest_entry(p);
            self.is_at_end(p, world)
                && newest.is_some_and(|newest| newest.standing == Standing::Drained { end: None })
        };
        let through = self.finaliser.as_ref().and_then(|finaliser| finaliser.written_through());
        let all: BTreeSet<_> = (0..self.partitions).collect();
        self.tasks.is_empty()
            && all.iter().all(|p| is_drained(*p))
            && all.iter().all(|p| self.engine.newest_entry(*p).is_some_and(|h| h.closed_through <= through))
    }
}

async fn open(store: &Memory) -> Finaliser<Memory> {
    loop {
        match Finaliser::open(Log::new(store.clone(), TOPIC), tables()).await {
            Ok(finaliser) => return finaliser,
            Err(error) => assert!(!LogError::is_permanent(&error), "{error:?}"),
        }
    }
}
