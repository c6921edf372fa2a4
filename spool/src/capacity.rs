//! Whether there is room for a frame: the quota, the floor of free space, and the ballast.
//!
//! Guarantees: a free space that cannot be found out counts as none, never as plenty. The file system is asked
//! at most every 100 ms or 4 MiB. The ballast is a file of allocated blocks that is given up when the disk is
//! full, so that the index can still write what deleting needs; as long as it is gone, its size counts as part
//! of the floor. Never deletes anything but the ballast.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::books::lock;
use crate::config::Config;
use crate::error::{Error, FullCause, IoContext};
use crate::fault::Faults;
use crate::files::{create_new, remove, sync_dir};

/// How long an answer about free space is believed.
const FRESH_FOR: Duration = Duration::from_millis(100);

/// How many bytes may be written on one answer.
const FRESH_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes written at once when a file system cannot reserve space by itself.
const FILL_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
struct Known {
    free: Result<u64, io::ErrorKind>,
    at: Instant,
    spent: u64,
}

/// The limits of a spool and what is known about the space under it.
#[derive(Debug)]
pub(crate) struct Capacity {
    dir: PathBuf,
    ballast: PathBuf,
    quota_bytes: u64,
    floor_bytes: u64,
    ballast_bytes: u64,
    ballast_held: AtomicBool,
    known: Mutex<Option<Known>>,
    /// The free space when it was last looked at for the statistics; 0 when that failed.
    seen_free: AtomicU64,
    faults: Faults,
}

impl Capacity {
    pub(crate) fn new(config: &Config, ballast: PathBuf, faults: Faults) -> Capacity {
        Capacity {
            dir: config.dir.clone(),
            ballast,
            quota_bytes: config.quota_bytes,
            floor_bytes: config.free_floor_bytes,
            ballast_bytes: config.ballast_bytes,
            ballast_held: AtomicBool::new(false),
            known: Mutex::new(None),
            seen_free: AtomicU64::new(0),
            faults,
        }
    }

    /// Fails if `need` more bytes would break a limit. `used` are the bytes of the spool's own files.
    pub(crate) fn room(&self, used: u64, need: u64, now: Instant) -> Result<(), FullCause> {
        if self.quota_bytes > 0 && used.saturating_add(need) > self.quota_bytes {
            return Err(FullCause::Quota { used, quota: self.quota_bytes });
        }
        let floor = self.floor();
        if floor == 0 {
            return Ok(());
        }
        let mut known = lock(&self.known);
        let stale =
            known.is_none_or(|k| now.saturating_duration_since(k.at) >= FRESH_FOR || k.spent >= FRESH_BYTES);
        // Near the floor every byte counts: then the file system is asked each time.
        let tight =
            known.is_none_or(|k| k.free.is_ok_and(|free| free < floor + k.spent + need + FRESH_BYTES));
        if stale || tight {
            let free = self.free_bytes().map_err(|error| error.kind());
            *known = Some(Known { free, at: now, spent: 0 });
        }
        let Some(known) = known.as_mut() else {
            return Err(FullCause::FreeUnknown(io::ErrorKind::Other));
        };
        let free = known.free.map_err(FullCause::FreeUnknown)?.saturating_sub(known.spent);
        if free < floor.saturating_add(need) {
            return Err(FullCause::FreeFloor { free, floor });
        }
        known.spent += need;
        Ok(())
    }

    /// What must stay free now.
    fn floor(&self) -> u64 {
        let reserve = if self.ballast_held.load(Ordering::Acquire) { 0 } else { self.ballast_bytes };
        self.floor_bytes.saturating_add(reserve)
    }

    /// Looks at the free space, for [`room_bytes`](Self::room_bytes).
    pub(crate) fn look(&self) {
        self.seen_free.store(self.free_bytes().unwrap_or(0), Ordering::Relaxed);
    }

    /// How many more bytes may be written, by the last look. `used` are the bytes of the spool's own files.
    pub(crate) fn room_bytes(&self, used: u64) -> u64 {
        let of_disk = self.seen_free.load(Ordering::Relaxed).saturating_sub(self.floor());
        let of_quota = self.quota_bytes.saturating_sub(used);
        if self.quota_bytes > 0 { of_disk.min(of_quota) } else { of_disk }
    }

    /// Forgets what is known about free space: something on the disk has changed much.
    pub(crate) fn forget(&self) {
        *lock(&self.known) = None;
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let real = statvfs(&self.dir).map_err(io::Error::from);
        self.faults.free_bytes(real.map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize)))
    }

    /// Removes the ballast of the last run if the disk is full.
    pub(crate) fn relieve(&self) {
        if self.is_short()
            && let Err(error) = remove(&self.ballast)
        {
            tracing::warn!(event = "ballast_failed", path = %self.ballast.display(), %error, "cannot give up the ballast");
        }
    }

    /// True if less than the ballast is free: a write outside the log may fail for want of space.
    pub(crate) fn is_short(&self) -> bool {
        self.free_bytes().is_ok_and(|free| free < self.ballast_bytes)
    }

    /// Gives the ballast up. True if there was one.
    pub(crate) fn release_ballast(&self) -> bool {
        if !self.ballast_held.swap(false, Ordering::AcqRel) {
            return false;
        }
        self.forget();
        match remove(&self.ballast) {
            Ok(()) => {
                tracing::warn!(event = "ballast_given_up", path = %self.ballast.display(), bytes = self.ballast_bytes, "the disk is full; gave up the ballast");
                true
            }
            Err(error) => {
                tracing::warn!(event = "ballast_failed", path = %self.ballast.display(), %error, "cannot give up the ballast");
                false
            }
        }
    }

    /// Takes the ballast, if there is comfortably room for it.
    pub(crate) fn take_ballast(&self) {
        if self.ballast_bytes == 0 || self.ballast_held.load(Ordering::Acquire) {
            return;
        }
        let comfortable = self.floor_bytes.saturating_add(self.ballast_bytes.saturating_mul(2));
        if !self.free_bytes().is_ok_and(|free| free >= comfortable) {
            return;
        }
        match self.allocate_ballast() {
            Ok(()) => {
                self.ballast_held.store(true, Ordering::Release);
                self.forget();
            }
            Err(error) => {
                tracing::warn!(event = "ballast_failed", path = %self.ballast.display(), %error, "cannot take the ballast");
                let _ = remove(&self.ballast);
            }
        }
    }

    fn allocate_ballast(&self) -> Result<(), Error> {
        if std::fs::metadata(&self.ballast).is_ok_and(|found| found.len() == self.ballast_bytes) {
            return Ok(());
        }
        remove(&self.ballast)?;
        let file = create_new(&self.ballast)?;
        if let Err(errno) = fallocate(&file, FallocateFlags::empty(), 0, self.ballast_bytes) {
            if errno != rustix::io::Errno::OPNOTSUPP {
                return Err(Error::io("allocate", &self.ballast, errno.into()));
            }
            let zeros = vec![0; FILL_BYTES];
            let mut at = 0;
            while at < self.ballast_bytes {
                let len = crate::files::to_usize(self.ballast_bytes - at).min(FILL_BYTES);
                file.write_all_at(&zeros[..len], at).or_io("allocate", &self.ballast)?;
                at += len as u64;
            }
        }
        file.sync_all().or_io("sync", &self.ballast)?;
        sync_dir(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, plan};

    fn capacity(dir: &std::path::Path, quota: u64, floor: u64, ballast: u64) -> Capacity {
        let mut config = Config::new(dir);
        config.quota_bytes = quota;
        config.free_floor_bytes = floor;
        config.ballast_bytes = ballast;
        Capacity::new(&config, dir.join("ballast"), Faults::of(dir))
    }

    #[test]
    fn the_quota_counts_what_would_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let capacity = capacity(dir.path(), 1000, 0, 0);
        let now = Instant::now();
        assert_eq!(capacity.room(900, 100, now), Ok(()));
        assert_eq!(capacity.room(900, 101, now), Err(FullCause::Quota { used: 900, quota: 1000 }));
        assert_eq!(capacity.room(u64::MAX, 1, now), Err(FullCause::Quota { used: u64::MAX, quota: 1000 }));
    }

    #[test]
    fn a_failed_statvfs_is_never_plenty() {
        let dir = tempfile::tempdir().unwrap();
        let faults = plan(dir.path());
        let capacity = capacity(dir.path(), 0, 1, 0);
        faults.always("statvfs", Fault::Errno(rustix::io::Errno::IO.raw_os_error()));
        assert!(matches!(capacity.room(0, 1, Instant::now()), Err(FullCause::FreeUnknown(_))));
        faults.disarm("statvfs");
        capacity.forget();
        assert_eq!(capacity.room(0, 1, Instant::now()), Ok(()));
    }

    #[test]
    fn the_file_system_is_asked_rarely_but_always_near_the_floor() {
        let dir = tempfile::tempdir().unwrap();
        let faults = plan(dir.path());
        let capacity = capacity(dir.path(), 0, 1000, 0);
        let now = Instant::now();
        faults.always("statvfs", Fault::Free(1 << 40));
        for _ in 0..50 {
            assert_eq!(capacity.room(0, 100, now), Ok(()));
        }
        assert_eq!(faults.hits("statvfs"), 1);
        assert_eq!(capacity.room(0, 100, now + FRESH_FOR), Ok(()));
        assert_eq!(faults.hits("statvfs"), 2);
        faults.always("statvfs", Fault::Free(1099));
        capacity.forget();
        assert_eq!(capacity.room(0, 100, now), Err(FullCause::FreeFloor { free: 1099, floor: 1000 }));
        faults.always("statvfs", Fault::Free(1100));
        assert_eq!(capacity.room(0, 100, now), Ok(()), "asked again at once");
    }

    #[test]
    fn the_room_is_what_the_nearer_limit_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let faults = plan(dir.path());
        let (bounded, unbounded) = (capacity(dir.path(), 1000, 200, 0), capacity(dir.path(), 0, 200, 0));
        assert_eq!(bounded.room_bytes(0), 0, "before it was looked at");
        faults.always("statvfs", Fault::Free(900));
        [&bounded, &unbounded].into_iter().for_each(Capacity::look);
        assert_eq!((bounded.room_bytes(0), bounded.room_bytes(400), bounded.room_bytes(1001)), (700, 600, 0));
        assert_eq!(unbounded.room_bytes(5000), 700);
        faults.always("statvfs", Fault::Errno(rustix::io::Errno::IO.raw_os_error()));
        unbounded.look();
        assert_eq!(unbounded.room_bytes(0), 0, "unknown is none");
    }

    #[test]
    fn a_released_ballast_raises_the_floor_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let faults = plan(dir.path());
        let capacity = capacity(dir.path(), 0, 1000, 64 * 1024);
        capacity.take_ballast();
        let ballast = std::fs::metadata(dir.path().join("ballast")).unwrap();
        assert_eq!(ballast.len(), 64 * 1024);
        assert!(std::os::unix::fs::MetadataExt::blocks(&ballast) * 512 >= 64 * 1024, "really allocated");
        faults.always("statvfs", Fault::Free(2000));
        assert_eq!(capacity.room(0, 100, Instant::now()), Ok(()));
        assert!(capacity.release_ballast() && !capacity.release_ballast());
        assert!(!dir.path().join("ballast").exists());
        assert!(capacity.room(0, 100, Instant::now()).is_err(), "the released blocks are not for frames");
        capacity.take_ballast();
        assert!(!dir.path().join("ballast").exists(), "not while space is short");
        faults.disarm("statvfs");
        capacity.take_ballast();
        assert!(dir.path().join("ballast").exists());
    }
}
