//! Named places at which a test can make the spool fail, lie or die.
//!
//! Guarantees: without `cfg(test)` or the feature `fault` everything here is an empty inline function.
//! Never changes what the spool does unless a test has planned a fault for that very folder.

#[cfg(any(test, feature = "fault"))]
pub(crate) use planned::Faults;
#[cfg(any(test, feature = "fault"))]
pub use planned::{Fault, Plan, plan};

#[cfg(not(any(test, feature = "fault")))]
pub(crate) use absent::Faults;

/// Every place, so that a crash test can visit all of them.
#[cfg(any(test, feature = "fault"))]
pub const CRASH_POINTS: &[&str] = &[
    "append.begin",
    "append.half_written",
    "append.written",
    "append.synced",
    "append.published",
    "segment.created",
    "segment.linked",
    "checkpoint.begin",
    "checkpoint.half_written",
    "checkpoint.written",
    "checkpoint.synced",
    "index.applied",
    "index.flushed",
    "delete.begin",
    "delete.unlinked",
    "delete.synced",
    "drop.recorded",
    "dead.written",
    "dead.synced",
];

#[cfg(not(any(test, feature = "fault")))]
mod absent {
    use std::io;
    use std::path::Path;

    /// No faults: every method does nothing and is optimised away.
    #[derive(Debug, Clone)]
    pub(crate) struct Faults;

    impl Faults {
        #[inline(always)]
        pub(crate) fn of(_dir: &Path) -> Faults {
            Faults
        }

        #[inline(always)]
        pub(crate) fn point(&self, _name: &'static str) {}

        #[inline(always)]
        pub(crate) fn io(&self, _name: &'static str) -> io::Result<()> {
            Ok(())
        }

        #[inline(always)]
        pub(crate) fn write_len(&self, _name: &'static str, len: usize) -> usize {
            len
        }

        #[inline(always)]
        pub(crate) fn free_bytes(&self, real: io::Result<u64>) -> io::Result<u64> {
            real
        }
    }
}

#[cfg(any(test, feature = "fault"))]
mod planned {
    use std::collections::HashMap;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, OnceLock, PoisonError};

    /// What happens at a place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// The call fails with this error number.
        Errno(i32),
        /// Only this many bytes are written, then the call fails with ENOSPC.
        Short(usize),
        /// The file system claims this many free bytes.
        Free(u64),
        /// The call takes this many milliseconds.
        Stall(u64),
        /// The call does not return until the place is disarmed.
        Hang,
        /// The call panics.
        Panic,
        /// The process dies as by SIGKILL.
        Die,
    }

    /// A fault, the calls it lets pass first, and how often it then strikes.
    #[derive(Debug, Clone, Copy)]
    struct Armed {
        fault: Fault,
        pass: u64,
        strikes: u64,
    }

    /// The faults planned for one spool folder.
    #[derive(Debug, Default)]
    pub struct Plan {
        armed: Mutex<HashMap<String, Armed>>,
        hits: Mutex<HashMap<String, u64>>,
    }

    impl Plan {
        /// Lets `pass` calls at `place` through, then strikes `strikes` times.
        pub fn arm(&self, place: &str, fault: Fault, pass: u64, strikes: u64) {
            lock(&self.armed).insert(place.to_owned(), Armed { fault, pass, strikes });
        }

        /// Strikes at `place` from now on.
        pub fn always(&self, place: &str, fault: Fault) {
            self.arm(place, fault, 0, u64::MAX);
        }

        /// No more faults at `place`.
        pub fn disarm(&self, place: &str) {
            lock(&self.armed).remove(place);
        }

        fn is_armed(&self, place: &str) -> bool {
            lock(&self.armed).contains_key(place)
        }

        /// How often `place` was reached.
        pub fn hits(&self, place: &str) -> u64 {
            lock(&self.hits).get(place).copied().unwrap_or(0)
        }

        fn strike(&self, place: &'static str) -> Option<Fault> {
            *lock(&self.hits).entry(place.to_owned()).or_default() += 1;
            let mut armed = lock(&self.armed);
            let found = armed.get_mut(place)?;
            if found.pass > 0 {
                found.pass -= 1;
                return None;
            }
            if found.strikes == 0 {
                return None;
            }
            found.strikes = found.strikes.saturating_sub(u64::from(found.strikes != u64::MAX));
            Some(found.fault)
        }
    }

    type Plans = Mutex<HashMap<PathBuf, Arc<Plan>>>;

    fn plans() -> &'static Plans {
        static PLANS: OnceLock<Plans> = OnceLock::new();
        PLANS.get_or_init(Plans::default)
    }

    /// The plan of the spool in `dir`. Make it before the spool is opened.
    pub fn plan(dir: &Path) -> Arc<Plan> {
        lock(plans()).entry(dir.to_path_buf()).or_default().clone()
    }

    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spool's view of its plan.
    #[derive(Debug, Clone)]
    pub(crate) struct Faults(Option<Arc<Plan>>);

    impl Faults {
        pub(crate) fn of(dir: &Path) -> Faults {
            Faults(lock(plans()).get(dir).cloned())
        }

        pub(crate) fn point(&self, name: &'static str) {
            if self.strike(name) == Some(Fault::Die) {
                die();
            }
        }

        pub(crate) fn io(&self, name: &'static str) -> io::Result<()> {
            match self.strike(name) {
                Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
                Some(Fault::Stall(ms)) => {
                    std::thread::sleep(std::time::Duration::from_millis(ms));
                    Ok(())
                }
                Some(Fault::Hang) => {
                    while self.0.as_ref().is_some_and(|plan| plan.is_armed(name)) {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    Ok(())
                }
                Some(Fault::Panic) => panic!("planned at {name}"),
                Some(Fault::Die) => die(),
                _ => Ok(()),
            }
        }

        pub(crate) fn write_len(&self, name: &'static str, len: usize) -> usize {
            match self.strike(name) {
                Some(Fault::Short(short)) => short.min(len),
                Some(Fault::Die) => die(),
                _ => len,
            }
        }

        pub(crate) fn free_bytes(&self, real: io::Result<u64>) -> io::Result<u64> {
            match self.strike("statvfs") {
                Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
                Some(Fault::Free(free)) => Ok(free),
                _ => real,
            }
        }

        fn strike(&self, name: &'static str) -> Option<Fault> {
            self.0.as_ref()?.strike(name)
        }
    }

    /// SIGKILL to this very process: no destructor runs, no buffer is flushed.
    fn die() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort()
    }
}
