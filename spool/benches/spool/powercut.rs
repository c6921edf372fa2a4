//! What a power cut leaves of what each design had reported as durable: on an ext4 of its own in a loop device, which
//! is shut down without flushing its journal while the design is at work. Needs root.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Scale;
use crate::designs::{Sled, Spooled, Store, group_records, one_group};

const DESIGNS: [(&str, &str); 5] = [
    ("record-per-key", "sled flush()"),
    ("record-per-key+", "sled flush(), then fdatasync"),
    ("group-per-key", "sled flush()"),
    ("group-per-key+", "sled flush(), then fdatasync"),
    ("spool", "fdatasync of the segment"),
];

pub(crate) fn run(scale: Scale) {
    println!("power cut: records reported as durable before the cut, and what is left of them");
    let Some(disk) = Disk::new() else {
        println!("SKIPPED: it needs root, mkfs.ext4, python3 and a loop device\n");
        return;
    };
    println!(
        "{:>15} {:>30} {:>7} {:>7} {:>12} {:>10} {:>8}",
        "design", "made durable by", "cuts", "opens", "reported", "lost", "lost %"
    );
    for (design, how) in DESIGNS {
        let (mut reported, mut lost, mut opens, cuts) = (0, 0, 0, scale.pick(10, 2));
        for round in 0..cuts {
            disk.format();
            let promised = promise_until_cut(&disk, design, Duration::from_millis(400 + round * 130));
            let left = count(design, &disk.mount_point());
            reported += promised;
            opens += u64::from(left.is_some());
            lost += promised.saturating_sub(left.unwrap_or(0));
        }
        let percent = lost as f64 * 100.0 / (reported.max(1)) as f64;
        println!("{design:>15} {how:>30} {cuts:>7} {opens:>7} {reported:>12} {lost:>10} {percent:>8.1}");
    }
    println!();
}

/// Lets the design work until the power is cut; how many records it had reported by then.
fn promise_until_cut(disk: &Disk, design: &str, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--child=promise")
        .arg(design)
        .arg(disk.mount_point())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut said = Vec::new();
    let mut moment = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((at, records)) = line.split_once(' ')
            && let (Ok(at), Ok(records)) = (at.parse::<u128>(), records.parse::<u64>())
        {
            said.push((at, records));
        }
        if moment.is_none() && began.elapsed() >= after {
            moment = Some(disk.cut());
            let _ = child.kill();
        }
    }
    let _ = child.wait();
    disk.remount();
    // An fsync that is under way while the file system is shut down can report success; a power cut leaves no one
    // to hear it.
    let moment = moment.unwrap_or(u128::MAX);
    said.iter().filter(|(at, _)| *at < moment).map(|(_, records)| *records).max().unwrap_or(0)
}

/// Child: stores groups, and says after each how many records are durable, and when.
pub(crate) fn child(arguments: &[String]) {
    let (design, dir) = (arguments[0].as_str(), PathBuf::from(&arguments[1]).join("store"));
    let mut store: Box<dyn Store> = match design {
        "record-per-key" => Box::new(Sled::open(&dir, true, false)),
        "group-per-key" => Box::new(Sled::open(&dir, false, false)),
        "record-per-key+" => Box::new(Sled::open(&dir, true, true)),
        "group-per-key+" => Box::new(Sled::open(&dir, false, true)),
        _ => Box::new(Spooled::open(&dir)),
    };
    let group = one_group();
    for number in 0.. {
        store.append(1 + number * group_records(), &group);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{now} {}\n", (number + 1) * group_records()).as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// Records that can still be read after the power is back; `None` if the store does not even open.
fn count(design: &str, mount: &Path) -> Option<u64> {
    let dir = mount.join("store");
    // What a panic says belongs in no table.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| match design {
        "spool" => Spooled::open(&dir).count(),
        design => Sled::open(&dir, design.starts_with("record"), false).count(),
    });
    std::panic::set_hook(hook);
    opened.ok()
}

/// An ext4 in a file.
struct Disk {
    home: tempfile::TempDir,
}

impl Disk {
    fn new() -> Option<Disk> {
        let disk = Disk { home: tempfile::tempdir_in(crate::bench_dir()).ok()? };
        std::fs::create_dir(disk.mount_point()).ok()?;
        std::fs::File::create(disk.image()).ok()?.set_len(1 << 30).ok()?;
        (disk.make() && succeeds("python3", &["-c", "import fcntl"])).then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.home.path().join("mnt")
    }

    fn make(&self) -> bool {
        let (image, mount) = (self.image().display().to_string(), self.mount_point().display().to_string());
        succeeds("mkfs.ext4", &["-q", "-F", &image]) && succeeds("mount", &["-o", "loop", &image, &mount])
    }

    fn format(&self) {
        assert!(self.unmount() && self.make(), "cannot make the file system anew");
    }

    fn unmount(&self) -> bool {
        succeeds("umount", &[&self.mount_point().display().to_string()])
    }

    fn remount(&self) {
        let (image, mount) = (self.image().display().to_string(), self.mount_point().display().to_string());
        assert!(self.unmount() && succeeds("mount", &["-o", "loop", &image, &mount]), "cannot mount again");
    }

    /// FS_IOC_SHUTDOWN without flushing the journal. Returns the moment right before.
    fn cut(&self) -> u128 {
        let script = "import fcntl,os,struct,sys,time\n\
            disk=os.open(sys.argv[1],os.O_RDONLY)\n\
            print(time.time_ns(),flush=True)\n\
            fcntl.ioctl(disk,0x8004587D,struct.pack('I',2))";
        let output = Command::new("python3").args(["-c", script]).arg(self.mount_point()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}
