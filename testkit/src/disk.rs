//! A disk of a test's own: a loop-mounted ext4 file system whose power can be cut and whose space can
//! be used up. Linux, root and the tools `mkfs.ext4`, `mount`, `umount` and `losetup` are needed;
//! [`Disk::is_possible`] says whether they are there, so that a test can say that it was skipped.
//!
//! It guarantees that after [`Disk::power_cut`] nothing more reaches the disk, that what was not synced
//! before is not there after [`Disk::remount`], and that dropping a `Disk` unmounts it. A sync that is
//! under way during the cut may report success although its data is lost: that is the kernel's way, not
//! a disk's. Count only what was promised before the cut began.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::ioctl::{Setter, ioctl, opcode};

use crate::children;

/// The file that uses up the space.
const FILLER: &str = "filler";

/// How long a file system may stay busy after its last user has ended.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the loop device may outlive the mount before somebody else must have it.
const RELEASE_PATIENCE: Duration = Duration::from_millis(300);

/// `FS_IOC_SHUTDOWN`: `_IOR('X', 125, u32)`, as XFS named it and ext4 took it over.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);

/// The argument of [`SHUTDOWN`] that leaves the journal's unwritten part unwritten.
const NO_LOG_FLUSH: u32 = 2;

/// Why something could not be done to a disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the disk cannot be made, filled or removed.
    #[error("cannot {action} {path}")]
    File {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A program cannot be started: it is not installed.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A program has failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it wrote to its standard error.
        said: String,
    },
}

/// A mounted file system. It is unmounted and its image deleted when this handle is dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Whether this machine lets a test make a disk; found out once, by making one.
    ///
    /// # Errors
    /// The reason why not, for people.
    pub fn is_possible() -> Result<(), String> {
        static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
        ANSWER.get_or_init(try_one).clone()
    }

    /// Makes a file system of `bytes` bytes (at least 4 MiB are sensible) in an image under `dir`,
    /// which must exist, and mounts it under `dir` as well. No blocks are reserved for root.
    ///
    /// # Errors
    /// When a file or the file system cannot be made, or not be mounted.
    pub fn create(dir: &Path, bytes: u64) -> Result<Self, Error> {
        let disk = Self { image: dir.join("disk.img"), mount: dir.join("disk") };
        fs::create_dir_all(&disk.mount).map_err(|source| file_error("create", &disk.mount, source))?;
        let image = File::create(&disk.image).map_err(|source| file_error("create", &disk.image, source))?;
        // All of it now: an image with holes fails in the middle of a test when the machine's own disk is full, as
        // a disk that loses writes, which is none of the faults that are meant.
        fallocate(&image, FallocateFlags::empty(), 0, bytes)
            .map_err(|errno| file_error("reserve the space of", &disk.image, errno.into()))?;
        drop(image);
        run("mkfs.ext4", Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power: from now on every access fails, and what was not synced is lost. Processes that
    /// use the disk live on and see errors, so kill them.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn power_cut(&self) -> Result<(), Error> {
        let failed = |source| file_error("cut the power of", &self.mount, source);
        let root = File::open(&self.mount).map_err(failed)?;
        shut_down(&root).map_err(|errno| failed(errno.into()))
    }

    /// Gives the power back: unmounts, and mounts again, with which the journal is recovered. No
    /// process may use the disk any more; one that is just ending is waited for.
    ///
    /// # Errors
    /// When it is still in use after 10 s, or cannot be mounted.
    pub fn remount(&self) -> Result<(), Error> {
        self.unmount(UNMOUNT_PATIENCE)?;
        if self.is_held()? {
            self.replace_image()?;
        }
        self.mount()
    }

    /// Whether the file system lives on although it is unmounted: a process in a mount namespace of its
    /// own has a copy of the mount. Mounting the image would then give back the dead file system.
    fn is_held(&self) -> Result<bool, Error> {
        let deadline = Instant::now() + RELEASE_PATIENCE;
        while !run("losetup", Command::new("losetup").arg("-j").arg(&self.image))?.is_empty() {
            if Instant::now() >= deadline {
                return Ok(true);
            }
            // The kernel lets go of the loop device a moment after the mount.
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }

    /// Goes on with a copy of the image, of which the old file system knows nothing.
    fn replace_image(&self) -> Result<(), Error> {
        let copy = self.image.with_extension("copy");
        run("cp", Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&copy))?;
        fs::rename(&copy, &self.image).map_err(|source| file_error("replace", &self.image, source))
    }

    /// Free space in bytes.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let found = statvfs(&self.mount).map_err(|errno| file_error("look at", &self.mount, errno.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Uses up all space, until not a block is free. Others may give some back and take it again.
    ///
    /// # Errors
    /// When the filler fails with anything but a full disk.
    pub fn fill(&self) -> Result<(), Error> {
        self.fill_but(0)
    }

    /// Uses up space until about `leave` bytes are free. What an earlier call took stays taken.
    ///
    /// # Errors
    /// As [`Disk::fill`].
    pub fn fill_but(&self, leave: u64) -> Result<(), Error> {
        let path = self.mount.join(FILLER);
        let failed = |source| file_error("fill", &path, source);
        let mut filler = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let mut piece = self.free_bytes()?.saturating_sub(leave);
        while piece >= 1024 {
            let len = filler.metadata().map_err(failed)?.len();
            match fallocate(&filler, FallocateFlags::empty(), len, piece) {
                Ok(()) => piece = piece.min(self.free_bytes()?.saturating_sub(leave)),
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        if leave == 0 {
            write_until_full(&mut filler).map_err(failed)?;
        }
        // What is still on its way to the disk has its blocks now.
        let synced = filler.sync_all().map_err(failed);
        // A child that has not begun yet would hold the file, and its space beyond `free_up`.
        children::while_none_starts(|| drop(filler));
        synced
    }

    /// Gives all that [`Disk::fill`] took back.
    ///
    /// # Errors
    /// When the filler cannot be removed.
    pub fn free_up(&self) -> Result<(), Error> {
        let path = self.mount.join(FILLER);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn mount(&self) -> Result<(), Error> {
        let mut command = Command::new("mount");
        run("mount", command.args(["-t", "ext4", "-o", "loop"]).arg(&self.image).arg(&self.mount)).map(drop)
    }

    fn unmount(&self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        loop {
            let outcome = run("umount", Command::new("umount").arg(&self.mount)).map(drop);
            if outcome.is_ok() || Instant::now() >= deadline {
                return outcome;
            }
            // Nothing tells when the last file of a killed process is closed.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount(Duration::from_millis(500)).is_err() {
            // Still in use, as after a failed test: it goes when its last user does. If it was not
            // mounted at all, there is nothing to undo.
            let _ = run("umount", Command::new("umount").arg("-l").arg(&self.mount));
        }
        // The folder is the caller's, who removes it.
        let _ = fs::remove_file(&self.image);
    }
}

#[expect(unsafe_code, reason = "rustix has no safe form of this one ioctl")]
fn shut_down(root: &File) -> rustix::io::Result<()> {
    // SAFETY: FS_IOC_SHUTDOWN reads one u32 through its argument and writes nothing to it; `Setter`
    // passes a pointer to its own u32, which lives until the call has returned.
    unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }
}

/// The last blocks, which are too scattered to be allocated in pieces.
fn write_until_full(filler: &mut File) -> io::Result<()> {
    let block = [0x5au8; 1024];
    loop {
        match filler.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn try_one() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can mount a disk".into());
    }
    let dir = std::env::temp_dir().join(format!("spillway-disk-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    let outcome = Disk::create(&dir, 8 << 20).and_then(|disk| disk.power_cut());
    let removed = fs::remove_dir_all(&dir);
    outcome.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    removed.map_err(|error| format!("cannot remove {}: {error}", dir.display()))
}

/// Runs a program; what it printed.
fn run(program: &'static str, command: &mut Command) -> Result<String, Error> {
    let output = children::output(command).map_err(|source| Error::Start { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed { program, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    /// A disk, or `None` with a loud word where none can be made.
    fn disk(dir: &Path, bytes: u64) -> Option<Disk> {
        if let Err(reason) = Disk::is_possible() {
            // The test's own output, as its result would hide it.
            let _ = writeln!(io::stderr(), "SKIPPED: {reason}");
            return None;
        }
        Some(Disk::create(dir, bytes).unwrap())
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = disk(dir.path(), 16 << 20) else { return };
        // The file system writes by itself every five seconds: not here.
        run("mount", Command::new("mount").args(["-o", "remount,commit=300"]).arg(disk.path())).unwrap();
        let mut synced = File::create(disk.path().join("synced")).unwrap();
        synced.write_all(b"kept").unwrap();
        synced.sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        synced.write_all(b"lost").unwrap();
        fs::write(disk.path().join("unsynced"), b"lost").unwrap();
        disk.power_cut().unwrap();
        assert!(fs::write(disk.path().join("later"), b"x").is_err(), "nothing is written after the cut");
        drop(synced);
        disk.remount().unwrap();
        assert_eq!(fs::read(disk.path().join("synced")).unwrap(), b"kept");
        assert!(!disk.path().join("unsynced").exists());
    }

    #[test]
    fn a_filled_disk_has_no_block_left_until_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = disk(dir.path(), 16 << 20) else { return };
        let before = disk.free_bytes().unwrap();
        disk.fill_but(1 << 20).unwrap();
        let left = disk.free_bytes().unwrap();
        assert!((900 << 10..=1 << 20).contains(&left), "{left}");
        disk.fill().unwrap();
        assert_eq!(disk.free_bytes().unwrap(), 0);
        let error = fs::write(disk.path().join("more"), [1; 4096]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        disk.free_up().unwrap();
        disk.free_up().unwrap();
        assert!(disk.free_bytes().unwrap() + 65_536 >= before);
        fs::write(disk.path().join("more"), [1; 4096]).unwrap();
    }

    #[test]
    fn the_power_comes_back_although_another_mount_namespace_holds_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = disk(dir.path(), 8 << 20) else { return };
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "echo; read _"]);
        let mut holder = children::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
        // Its namespace is there when it speaks.
        holder.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        disk.power_cut().unwrap();
        disk.remount().unwrap();
        fs::write(disk.path().join("new"), b"x").unwrap();
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }

    #[test]
    fn a_dropped_disk_is_unmounted() {
        let dir = tempfile::tempdir().unwrap();
        let Some(disk) = disk(dir.path(), 8 << 20) else { return };
        let path = disk.path().to_owned();
        fs::write(path.join("there"), b"x").unwrap();
        drop(disk);
        assert!(!path.join("there").exists());
        assert!(!dir.path().join("disk.img").exists());
    }
}
