//! The spool against a model: a plain list of records, and what may have become of it. Actions are what users,
//! crashes, power cuts and bad disks do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{copy_dir, fast_dir, frames, record, segments};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use spillway_spool::fault::{Fault, plan};
use spillway_spool::{Appended, Appender, Codec, Config, Group, Reader, Spool};

#[derive(Debug, Clone)]
enum Action {
    /// One group of this many records.
    Append(u64),
    /// An append that fails, with this fault, and is not tried again.
    FailAppend(usize),
    Next,
    /// Everything that was read, less this many records.
    Acknowledge(u64),
    Rewind,
    Sync,
    Reopen,
    /// kill -9: the files as they are at this moment.
    Kill,
    /// What was not synced is gone: the newest segment has a torn end, the index and perhaps the checkpoint are older.
    PowerCut {
        torn: Vec<u8>,
        index: Lost,
        old_checkpoint: bool,
    },
    /// A byte of a frame that is not acknowledged is flipped while the spool is closed.
    FlipByte(prop::sample::Index, u8),
    /// A segment is deleted while the spool is closed.
    DeleteSegment(prop::sample::Index),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Nothing,
    /// The index is the one of the last `Sync`.
    SinceSync,
    Everything,
    /// The index's file is garbage.
    Garbage,
}

const FAULTS: [(&str, Fault); 5] = [
    ("append.write", Fault::Errno(5)),
    ("append.short", Fault::Short(60)),
    ("append.sync", Fault::Errno(5)),
    ("append.truncate", Fault::Errno(5)),
    ("segment.create", Fault::Errno(28)),
];

fn action() -> impl Strategy<Value = Action> {
    let lost = prop::sample::select(vec![Lost::Nothing, Lost::SinceSync, Lost::Everything, Lost::Garbage]);
    let torn = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..200),
        Just(vec![0; 300]),
        Just(b"\xf5SPW\x01\x00\x00\x00\x05".to_vec()),
    ];
    prop_oneof![
        12 => (1_u64..9).prop_map(Action::Append),
        2 => (0..FAULTS.len()).prop_map(Action::FailAppend),
        10 => Just(Action::Next),
        5 => (0_u64..6).prop_map(Action::Acknowledge),
        1 => Just(Action::Rewind),
        2 => Just(Action::Sync),
        1 => Just(Action::Reopen),
        1 => Just(Action::Kill),
        2 => (torn, lost, any::<bool>()).prop_map(|(torn, index, old_checkpoint)| Action::PowerCut { torn, index, old_checkpoint }),
        1 => (any::<prop::sample::Index>(), 1_u8..=255).prop_map(|(at, flip)| Action::FlipByte(at, flip)),
        1 => any::<prop::sample::Index>().prop_map(Action::DeleteSegment),
    ]
}

type Open = (Spool, Appender, Reader);

/// What must be true.
struct Model {
    tail: u64,
    position: u64,
    acknowledged: u64,
    lost: BTreeSet<u64>,
    /// A failed append was neither synced nor cut off: only the name of the next segment says that it is void.
    left_over: bool,
    /// The acknowledged position at the last `Sync`, while the copy made then is still a state that a power cut
    /// can leave.
    synced: Option<u64>,
}

struct Rig {
    home: tempfile::TempDir,
    generation: u32,
    codec: Codec,
    open: Option<Open>,
    model: Model,
}

impl Rig {
    fn new(codec: Codec) -> Rig {
        let model = Model {
            tail: 1,
            position: 1,
            acknowledged: 1,
            lost: BTreeSet::new(),
            left_over: false,
            synced: None,
        };
        let mut rig = Rig { home: fast_dir(), generation: 0, codec, open: None, model };
        rig.reopen(1);
        rig
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join(format!("spool-{}", self.generation))
    }

    fn copy(&self) -> PathBuf {
        self.home.path().join("copy")
    }

    fn parts(&mut self) -> &mut Open {
        self.open.as_mut().unwrap()
    }

    /// Opens the spool; its position must lie between `least` and what was acknowledged, lost records aside.
    fn reopen(&mut self, least: u64) {
        self.open = None;
        plan(&self.dir());
        let config = Config {
            segment_bytes: 700,
            free_floor_bytes: 0,
            ballast_bytes: 0,
            codec: self.codec,
            index_cache_bytes: 1 << 20,
            ..Config::new(self.dir())
        };
        self.open = Some(Spool::open(config).unwrap());
        let (spool, _, reader) = self.open.as_ref().unwrap();
        let position = reader.position();
        let model = &mut self.model;
        assert_eq!(spool.stats().tail_seq, model.tail, "{:?}", spool.recovery());
        let farthest = (model.acknowledged..).find(|seq| !model.lost.contains(seq)).unwrap();
        assert!((least..=farthest).contains(&position), "{position} is not in {least}..={farthest}");
        model.position = position;
        model.acknowledged = position;
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Append(count) => self.append(*count),
            Action::FailAppend(fault) => self.fail_append(*fault),
            Action::Next => self.next(),
            Action::Acknowledge(less) => self.acknowledge(*less),
            Action::Rewind => {
                self.parts().2.rewind();
                let position = self.parts().2.position();
                assert!(position >= self.model.acknowledged);
                self.model.position = position;
            }
            Action::Sync => self.sync(),
            Action::Reopen => self.reopen(self.model.acknowledged),
            Action::Kill => self.kill(),
            Action::PowerCut { torn, index, old_checkpoint } => self.power_cut(torn, *index, *old_checkpoint),
            Action::FlipByte(at, flip) => self.flip(*at, *flip),
            Action::DeleteSegment(which) => self.delete(*which),
        }
    }

    fn group(&self, count: u64) -> Group {
        let mut group = Group::new();
        (self.model.tail..self.model.tail + count).for_each(|seq| group.push(&[&record(seq)]));
        group
    }

    fn append(&mut self, count: u64) {
        let group = self.group(count);
        let expected = self.model.tail;
        let stored = self.parts().1.append(&group).unwrap();
        assert!(matches!(stored, Appended::Stored { first_seq, records, .. }
            if first_seq == expected && u64::from(records) == count));
        self.model.tail += count;
    }

    fn fail_append(&mut self, fault: usize) {
        let (place, fault) = FAULTS[fault];
        let faults = plan(&self.dir());
        if place == "append.truncate" {
            faults.arm("append.sync", Fault::Errno(5), 0, 1);
            self.model.left_over = true;
        }
        faults.arm(place, fault, 0, 1);
        let group = self.group(3);
        let failed = self.parts().1.append(&group).is_err();
        for (place, _) in FAULTS {
            faults.disarm(place);
        }
        // A segment is not always begun.
        assert!(failed || place == "segment.create");
        self.model.tail += if failed { 0 } else { 3 };
        assert_eq!(self.parts().0.stats().tail_seq, self.model.tail);
    }

    fn next(&mut self) {
        let batch = self.parts().2.next().unwrap();
        let model = &mut self.model;
        let expected = (model.position..model.tail).find(|seq| !model.lost.contains(seq));
        assert_eq!(batch.as_ref().map(|b| b.first_seq()), expected);
        let Some(batch) = batch else {
            model.position = model.tail;
            return;
        };
        assert!(batch.records() > 0);
        for (seq, bytes) in batch.iter() {
            assert!(seq < model.tail && !model.lost.contains(&seq));
            assert_eq!(bytes, record(seq), "{seq}");
        }
        model.position = batch.end_seq();
    }

    fn acknowledge(&mut self, less: u64) {
        let through = self.model.position.saturating_sub(less).max(self.model.acknowledged);
        self.parts().2.acknowledge(through).unwrap();
        self.model.acknowledged = through;
    }

    fn sync(&mut self) {
        self.parts().0.sync().unwrap();
        let _ = std::fs::remove_dir_all(self.copy());
        copy_dir(&self.dir(), &self.copy());
        self.model.synced = Some(self.model.acknowledged);
    }

    /// Goes on in a copy of the files, as if the process had been killed at this moment.
    fn kill(&mut self) {
        let old = self.dir();
        self.generation += 1;
        copy_dir(&old, &self.dir());
        self.open = None;
        std::fs::remove_dir_all(old).unwrap();
        let least = self.model.synced.unwrap_or(1);
        self.reopen(least);
    }

    fn power_cut(&mut self, torn: &[u8], index: Lost, old_checkpoint: bool) {
        let old = self.dir();
        self.generation += 1;
        let dir = self.dir();
        copy_dir(&old, &dir);
        self.open = None;
        std::fs::remove_dir_all(old).unwrap();
        self.lose_index(&dir, index);
        // A checkpoint is durable before anything is deleted because of it: an older one goes with all its segments.
        let first = frames(&dir).first().map_or(self.model.tail, |frame| frame.2.start);
        let mut least = 1;
        if let Some(synced) = self.model.synced {
            least = synced;
            if old_checkpoint && first <= synced && self.model.lost.is_empty() {
                std::fs::copy(self.copy().join("checkpoint"), dir.join("checkpoint")).unwrap();
            }
        }
        let newest = segments(&dir).pop().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&newest).unwrap();
        file.write_all_at(torn, newest.metadata().unwrap().len()).unwrap();
        self.reopen(least);
    }

    fn lose_index(&self, dir: &Path, index: Lost) {
        let path = dir.join("index");
        match index {
            Lost::Nothing => {}
            Lost::SinceSync if self.model.synced.is_some() => {
                std::fs::remove_dir_all(&path).unwrap();
                copy_dir(&self.copy().join("index"), &path);
            }
            Lost::SinceSync | Lost::Everything => std::fs::remove_dir_all(&path).unwrap(),
            Lost::Garbage => std::fs::write(path.join("db"), vec![0xC3; 3000]).unwrap(),
        }
    }

    fn flip(&mut self, at: prop::sample::Index, flip: u8) {
        self.open = None;
        let waiting: Vec<_> =
            frames(&self.dir()).into_iter().filter(|f| f.2.end > self.model.acknowledged).collect();
        if !waiting.is_empty() {
            let (segment, bytes, seqs) = at.get(&waiting);
            let file = std::fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
            let offset = bytes.start + at.index(usize::try_from(bytes.end - bytes.start).unwrap()) as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).unwrap();
            file.write_all_at(&[byte[0] ^ flip], offset).unwrap();
            self.lose(seqs.clone());
        }
        self.reopen(self.model.acknowledged);
    }

    fn delete(&mut self, which: prop::sample::Index) {
        self.open = None;
        let all = frames(&self.dir());
        if self.model.left_over {
            // Without the segment that follows it, a left-over frame counts again: late, but not wrong.
            return self.reopen(self.model.acknowledged);
        }
        let victim = which.get(&segments(&self.dir())).clone();
        std::fs::remove_file(&victim).unwrap();
        for (_, _, seqs) in all.into_iter().filter(|frame| frame.0 == victim) {
            self.lose(seqs);
        }
        self.reopen(self.model.acknowledged);
    }

    fn lose(&mut self, seqs: std::ops::Range<u64>) {
        let acknowledged = self.model.acknowledged;
        self.model.lost.extend(seqs.filter(|seq| *seq >= acknowledged));
    }

    /// Everything that is left comes out, and everything that is lost was counted once.
    fn finish(mut self) {
        while self.model.position < self.model.tail {
            self.next();
        }
        self.next();
        let stats = self.parts().0.stats();
        assert_eq!(stats.quarantined.records, self.model.lost.len() as u64, "{:?}", self.model.lost);
        let tail = self.model.tail;
        self.parts().2.acknowledge(tail).unwrap();
        let stats = self.parts().0.stats();
        assert_eq!((stats.records, stats.bytes, stats.head_seq), (0, 0, tail));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("SPILLWAY_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model.proptest-regressions"))),
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_spool_does_what_the_model_says(
        codec in prop::sample::select(vec![Codec::None, Codec::Lz4]),
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let mut rig = Rig::new(codec);
        for action in &actions {
            rig.apply(action);
        }
        rig.finish();
    }
}
