//! The spool dies at named points: this program runs itself as a child that is killed as by SIGKILL at one of
//! them, then opens what the child left behind and compares it with what the child had been promised.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{append, config, drain, fast_dir};
use spillway_spool::fault::{CRASH_POINTS, Fault, plan};
use spillway_spool::{Appended, Config, Spool, WhenFull};

const DIR: &str = "SPILLWAY_CRASH_DIR";
const POINT: &str = "SPILLWAY_CRASH_POINT";
const PASS: &str = "SPILLWAY_CRASH_PASS";

/// Appends of a child that is not killed, and of one that works until its power is cut.
const APPENDS: u64 = 120;
const APPENDS_UNTIL_POWER_CUT: u64 = 5000;

/// Keeps the tests of this program apart: until a child has begun, it shares the locks that its parent has at the moment.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn child_config(dir: &Path, point: &str) -> Config {
    let config = config(dir);
    match point {
        // Only a spool that drops anything gets there: its log alone comes to more than this, and nothing is read.
        "drop.recorded" => Config { quota_bytes: 12_000, when_full: WhenFull::DropOldest, ..config },
        _ => config,
    }
}

/// What the child was promised.
#[derive(Debug, Default, Clone)]
struct Promised {
    /// Every record before this one was reported as durable.
    stored: u64,
    /// Every record before this one may be acknowledged.
    acknowledged: u64,
    /// Every record before this one was acknowledged when `sync` returned.
    synced: u64,
    cursor: u64,
    dead: Vec<u64>,
}

/// Nanoseconds of the wall clock, which parent and child share.
fn clock() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

fn say(line: &str) {
    let now = clock();
    let mut out = std::io::stdout().lock();
    // One write per line, so that the parent never sees half of one.
    out.write_all(format!("\nSAID {now} {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The child: works on the spool until it is killed, and says aloud what it was promised.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let point = std::env::var(POINT).unwrap();
    let pass = std::env::var(PASS).unwrap().parse().unwrap();
    let dir = Path::new(&dir);
    let faults = plan(dir);
    match point.as_str() {
        // Half a frame is on disk when the process dies.
        "append.half_written" => {
            faults.arm("append.short", Fault::Short(70), pass, 1);
            faults.always(&point, Fault::Die);
        }
        _ => faults.arm(&point, Fault::Die, pass, 1),
    }
    let (spool, mut appender, mut reader) = Spool::open(child_config(dir, &point)).unwrap();
    for round in 1..=if point == "none" { APPENDS_UNTIL_POWER_CUT } else { APPENDS } {
        let stored = append(&spool, &mut appender, 1 + round % 7).unwrap();
        let Appended::Stored { first_seq, records, .. } = stored else { panic!("{stored:?}") };
        say(&format!("stored {}", first_seq + u64::from(records)));
        if round % 3 == 0 && point != "drop.recorded" {
            let batch = reader.next().unwrap().unwrap();
            // In the middle of a frame, too.
            let through = batch.end_seq() - u64::from(batch.records()) / 2;
            say(&format!("acknowledging {through}"));
            reader.acknowledge(through).unwrap();
        }
        if round % 10 == 0 {
            spool.meta_put("cursor", &round.to_le_bytes()).unwrap();
            let head = spool.stats().head_seq;
            spool.sync().unwrap();
            say(&format!("synced {head} {round}"));
            let id = spool.dead_put(&round.to_le_bytes(), "crash", round).unwrap();
            say(&format!("dead {id}"));
        }
        if round % 25 == 0 && point != "drop.recorded" {
            // Everything, so that segments are drained and deleted.
            while let Some(batch) = reader.next().unwrap() {
                say(&format!("acknowledging {}", batch.end_seq()));
                reader.acknowledge(batch.end_seq()).unwrap();
            }
            let head = spool.stats().head_seq;
            spool.sync().unwrap();
            say(&format!("synced {head} {}", round / 10 * 10));
        }
    }
    drop((spool, appender, reader));
    say("finished");
}

/// Runs the child. True if it died at the point, false if it never got there.
fn run_child(dir: &Path, point: &str, pass: u64) -> (bool, Promised) {
    let (finished, status, promised) = listen(dir, point, pass, |_| None);
    assert!(finished == status.success(), "{point} {pass}: {status:?}");
    assert!(finished || status.signal() == Some(9), "{point} {pass}: {status:?}");
    (!finished, promised)
}

/// Runs the child and notes what it was promised. `stored` is told how far it got, and may say from which moment on
/// nothing counts any more.
fn listen(
    dir: &Path,
    point: &str,
    pass: u64,
    mut stored: impl FnMut(u64) -> Option<u128>,
) -> (bool, std::process::ExitStatus, Promised) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(POINT, point)
        .env(PASS, pass.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut promised = Promised { stored: 1, acknowledged: 1, synced: 1, ..Promised::default() };
    let mut finished = false;
    let mut end = u128::MAX;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((at, said)) = line.strip_prefix("SAID ").and_then(|said| said.split_once(' ')) else {
            continue;
        };
        let counts = at.parse::<u128>().unwrap() < end;
        let words: Vec<&str> = said.split(' ').collect();
        match words[..] {
            // What may have been acknowledged counts in any case.
            ["acknowledging", through] => promised.acknowledged = through.parse().unwrap(),
            _ if !counts => {}
            ["stored", next] => {
                promised.stored = next.parse().unwrap();
                end = stored(promised.stored).unwrap_or(end);
            }
            ["synced", head, cursor] => {
                promised.synced = head.parse().unwrap();
                promised.cursor = cursor.parse().unwrap();
            }
            ["dead", id] => promised.dead.push(id.parse().unwrap()),
            ["finished"] => finished = true,
            _ => {}
        }
    }
    (finished, child.wait().unwrap(), promised)
}

fn check(dir: &Path, point: &str, pass: u64, promised: &Promised) {
    let context = format!("{point} after {pass}: {promised:?}");
    let (spool, mut appender, mut reader) = Spool::open(child_config(dir, point)).unwrap();
    let stats = spool.stats();
    assert_eq!((stats.quarantined.records, spool.recovery().position_lost), (0, false), "{context}");
    assert!(stats.tail_seq >= promised.stored, "{context}");
    let dropped = stats.dropped_oldest.records;
    assert!(reader.position() <= promised.acknowledged + dropped, "acknowledged too much: {context}");
    assert!(reader.position() >= promised.synced, "what was synced is durable: {context}");
    let first = reader.position();
    let seqs = drain(&mut reader);
    assert_eq!(seqs, (first..stats.tail_seq).collect::<Vec<_>>(), "{context}");
    let cursor = spool.meta_get("cursor").unwrap();
    let cursor = cursor.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    assert!(cursor >= promised.cursor, "{cursor} {context}");
    let dead: Vec<u64> = spool.dead_list().map(|letter| letter.id).collect();
    assert!(dead.starts_with(&promised.dead) && dead.len() <= promised.dead.len() + 1, "{dead:?} {context}");
    // It works on, and the numbers go on.
    let tail = stats.tail_seq;
    let stored = append(&spool, &mut appender, 3).unwrap();
    assert!(matches!(stored, Appended::Stored { first_seq, .. } if first_seq == tail), "{context}");
    assert_eq!(drain(&mut reader), (tail..tail + 3).collect::<Vec<_>>(), "{context}");
}

#[test]
fn a_crash_at_any_point_keeps_every_promise() {
    let _alone = alone();
    let mut died = Vec::new();
    for point in CRASH_POINTS {
        for pass in [0, 1, 4, 17] {
            let dir = fast_dir();
            let (crashed, promised) = run_child(dir.path(), point, pass);
            if crashed {
                died.push(*point);
            }
            check(dir.path(), point, pass, &promised);
        }
    }
    let never: Vec<_> = CRASH_POINTS.iter().filter(|point| !died.contains(point)).collect();
    assert!(never.is_empty(), "points that were never reached: {never:?}");
}

/// Crashing again and again in the same folder, at changing points.
#[test]
fn many_crashes_in_a_row_keep_every_promise() {
    let _alone = alone();
    let dir = fast_dir();
    let mut least = 1;
    for (round, point) in CRASH_POINTS.iter().filter(|p| **p != "drop.recorded").enumerate() {
        let (_, promised) = run_child(dir.path(), point, 3 + round as u64 % 5);
        let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        let stats = spool.stats();
        assert_eq!(stats.quarantined.records, 0, "{point}");
        assert!(stats.tail_seq >= promised.stored.max(least), "{point}");
        let first = reader.position();
        assert!(first <= promised.acknowledged.max(least), "{point}");
        assert_eq!(drain(&mut reader), (first..stats.tail_seq).collect::<Vec<_>>(), "{point}");
        least = stats.tail_seq;
    }
}

/// A file system of its own in a file, mounted for as long as this lives.
struct Disk {
    home: tempfile::TempDir,
}

impl Disk {
    fn new() -> Disk {
        let disk = Disk { home: tempfile::tempdir().unwrap() };
        std::fs::File::create(disk.home.path().join("image")).unwrap().set_len(128 << 20).unwrap();
        std::fs::create_dir(disk.mount_point()).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), disk.home.path().join("image").as_os_str()]);
        disk.mount();
        disk
    }

    fn mount_point(&self) -> std::path::PathBuf {
        self.home.path().join("mnt")
    }

    fn mount(&self) {
        let image = self.home.path().join("image");
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), self.mount_point().as_os_str()]);
    }

    /// FS_IOC_SHUTDOWN without flushing the journal: what was not synced is gone. Returns the moment right before:
    /// unlike a real power cut this one does not stop the process, and an fsync that is under way at that moment
    /// can still report success.
    fn cut_power(&self) -> u128 {
        let script = "import fcntl,os,struct,sys,time\n\
            disk=os.open(sys.argv[1],os.O_RDONLY)\n\
            print(time.time_ns(),flush=True)\n\
            fcntl.ioctl(disk,0x8004587D,struct.pack('I',2))";
        let output = Command::new("python3").args(["-c", script]).arg(self.mount_point()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    fn power_on(&self) {
        run("umount", &[self.mount_point().as_os_str()]);
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.mount_point()).status();
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {arguments:?}: {status:?}"
    );
}

/// Power cuts on a real ext4, one after another on the same disk, each at another moment of the work.
#[test]
#[ignore = "needs root, mkfs.ext4, python3 and a loop device: cargo test --test crash -- --ignored power"]
fn a_power_cut_keeps_every_promise() {
    let disk = Disk::new();
    let dir = disk.mount_point().join("spool");
    let rounds = std::env::var("SPILLWAY_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_u64);
    let mut least = Promised { stored: 1, acknowledged: 1, synced: 1, ..Promised::default() };
    let mut cut_at_work = 0;
    for round in 0..rounds {
        let target = least.stored + 1 + round * 37 % 300;
        let mut cut = false;
        let (finished, _, promised) = listen(&dir, "none", 0, |stored| {
            let now = stored >= target && !cut;
            cut |= now;
            now.then(|| disk.cut_power())
        });
        cut_at_work += u64::from(!finished);
        disk.power_on();
        let so_far = Promised {
            stored: promised.stored.max(least.stored),
            acknowledged: promised.acknowledged.max(least.acknowledged),
            synced: promised.synced.max(least.synced),
            cursor: promised.cursor,
            dead: [&least.dead[..], &promised.dead[..]].concat(),
        };
        let (spool, _appender, mut reader) = Spool::open(child_config(&dir, "none")).unwrap();
        let context = format!("round {round}: {so_far:?} {:?}", spool.recovery());
        let stats = spool.stats();
        assert_eq!((stats.quarantined.records, spool.recovery().position_lost), (0, false), "{context}");
        assert!(stats.tail_seq >= so_far.stored, "{context}");
        let first = reader.position();
        assert!((so_far.synced..=so_far.acknowledged).contains(&first), "{first} {context}");
        assert_eq!(drain(&mut reader), (first..stats.tail_seq).collect::<Vec<_>>(), "{context}");
        let dead: Vec<u64> = spool.dead_list().map(|letter| letter.id).collect();
        assert!(so_far.dead.iter().all(|id| dead.contains(id)), "{dead:?} {context}");
        let cursor = spool.meta_get("cursor").unwrap();
        let cursor = cursor.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        assert!(promised.cursor == 0 || cursor >= promised.cursor, "{cursor} {context}");
        least = Promised { stored: stats.tail_seq, synced: first, ..so_far };
    }
    assert!(cut_at_work > rounds / 2, "most cuts were to come while the spool was at work: {cut_at_work}");
}
