//! One round: a topic, a spool and a load of their own, a few disturbances, then everything healed and
//! delivered, the daemon stopped, and all of it judged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spillway_testkit::damage;
use spillway_testkit::disk::Disk;
use spillway_testkit::numbered::{Class, Numbered};
use spillway_testkit::oracle::chaos::{Allowance, Case, Refusal, Verdict, judge};
use spillway_testkit::program::{Launch, Status};
use spillway_testkit::rng::Rng;

use crate::Outcome;
use crate::daemon::Daemon;
use crate::dead;
use crate::faults::{self, Stage};
use crate::load::Load;
use crate::plan::{self, Kind, Step};
use crate::report::{Disturbance, RoundReport, say};
use crate::topic::Topic;
use crate::world::World;

/// Records a second.
const RATE: u64 = 1_000;
/// Enough for the backlog of the longest fault, and small enough to be filled at once.
const DISK_BYTES: u64 = 512 << 20;
/// The breaker must be open so long after the brokers fell silent.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Far above what a recovery takes.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);
/// Far above what the backlog of one round takes.
const DRAIN_WITHIN: Duration = Duration::from_secs(120);
/// How often a fault may go on with itself.
const KEEP_ON_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// To measure a recovery.
const LOOK_OFTEN: Duration = Duration::from_millis(20);

/// A round under way.
pub(crate) struct Round<'a> {
    world: &'a World,
    plan: plan::Round,
    rng: Rng,
    numbered: Numbered,
    daemon: Daemon,
    load: Load,
    topic: Topic,
    hosts: PathBuf,
    spool: PathBuf,
    disk: Option<Disk>,
    disturbances: Vec<Disturbance>,
    /// Dead letters that a damage may have hit.
    dead_before: BTreeSet<u64>,
    /// Dropped last: the disk is mounted in it.
    dir: tempfile::TempDir,
}

impl<'a> Round<'a> {
    /// Sets everything up and starts the daemon.
    pub(crate) fn start(world: &'a World, plan: plan::Round) -> Outcome<Self> {
        say!("round {} (seed {}): {}", plan.number, plan.seed, plan.mode);
        let dir = tempfile::Builder::new().prefix("spillway-chaos-").tempdir()?;
        let numbered = Numbered::new(plan.seed);
        let topic =
            Topic::create(&world.cluster, format!("chaos-{}", plan.number), numbered, plan.mode.letters)?;
        let disk = world.disks.then(|| Disk::create(dir.path(), DISK_BYTES)).transpose()?;
        let spool = disk.as_ref().map_or(dir.path(), Disk::path).join("spool");
        let hosts = dir.path().join("hosts");
        faults::write_hosts(&hosts, true)?;
        let load = Load::start(plan.mode.file, numbered, RATE, dir.path())?;
        let launch = Launch {
            binary: world.binary.clone(),
            dir: dir.path().to_owned(),
            config: world.config(plan.mode, &load.config(), &topic, &spool, dir.path())?,
            hosts: world.namespaces.then(|| hosts.clone()),
        };
        let mut daemon = Daemon::new(launch, plan.mode);
        daemon.start(&load)?;
        let rng = Rng::new(plan.seed);
        let (disturbances, dead_before) = (Vec::new(), BTreeSet::new());
        Ok(Self {
            world,
            plan,
            rng,
            numbered,
            daemon,
            load,
            topic,
            hosts,
            spool,
            disk,
            disturbances,
            dead_before,
            dir,
        })
    }

    /// Goes through the disturbances until `deadline`, drains, stops and judges.
    pub(crate) fn run(mut self, deadline: Instant) -> Outcome<RoundReport> {
        match self.go(deadline) {
            Ok(report) if report.verdict.is_good() => Ok(report),
            Ok(report) => {
                let dir = self.dir.keep();
                Err(format!("the round is lost; its files stay in {}\n{report}", dir.display()).into())
            }
            Err(error) => {
                let words = self.daemon.last_words();
                let dir = self.dir.keep();
                Err(format!("{error}\nthe round's files stay in {}\n{words}", dir.display()).into())
            }
        }
    }

    fn go(&mut self, deadline: Instant) -> Outcome<RoundReport> {
        self.recover(Instant::now())?;
        for step in self.plan.steps.clone() {
            if Instant::now() >= deadline {
                break;
            }
            let disturbance = self.disturb(step).map_err(|error| format!("{step}: {error}"))?;
            say!("  {disturbance}");
            self.disturbances.push(disturbance);
            self.daemon.watch(Instant::now() + step.calm, LOOK_EVERY, |_| false)?;
        }
        self.drain()?;
        self.daemon.stop(&self.load)?;
        let report = self.judge()?;
        self.topic.delete(&self.world.cluster)?;
        Ok(report)
    }

    fn disturb(&mut self, step: Step) -> Outcome<Disturbance> {
        let mut fault = step.fault.and_then(|kind| faults::of(kind, &mut self.rng));
        let was_closed = self.daemon.look()?.breaker == "closed";
        let (began, began_ms) = (Instant::now(), unix_ms());
        if let Some(fault) = &mut fault {
            fault.inject(&mut self.stage())?;
        }
        let blow_at = began + step.hold.mul_f64(0.3 + 0.4 * self.rng.unit());
        // To take the brokers away may itself take a while.
        let mut signs = Signs { since_ms: began_ms, silent_ms: unix_ms(), opened: None, problem: false };
        let (mut blow, mut back) = (step.blow, None);
        let end = began + step.hold;
        while Instant::now() < end {
            let until = blow.map_or(end, |_| blow_at).min(Instant::now() + KEEP_ON_EVERY).min(end);
            self.daemon.watch(until, LOOK_EVERY, |status| signs.look(status))?;
            if let Some(fault) = &mut fault {
                fault.keep_on(&mut self.stage())?;
            }
            if let Some(kind) = blow.filter(|_| Instant::now() >= blow_at) {
                self.blow(kind)?;
                blow = None;
                if fault.is_none() {
                    back = Some(self.recover(Instant::now())?);
                }
            }
        }
        if step.blow.is_none() && was_closed {
            signs.check(step.fault)?;
        }
        if let Some(fault) = &mut fault {
            fault.heal(&mut self.stage())?;
        }
        let recovered = match back {
            Some(recovered) => recovered,
            None => self.recover(Instant::now())?,
        };
        Ok(Disturbance { step, opened: signs.opened, recovered })
    }

    fn stage(&mut self) -> Stage<'_> {
        Stage {
            cluster: &self.world.cluster,
            topic: &mut self.topic,
            hosts: &self.hosts,
            disk: self.disk.as_ref(),
        }
    }

    /// Waits until records flow to Kafka and the disk works; returns how long the first record took.
    fn recover(&mut self, since: Instant) -> Outcome<Duration> {
        let mut before = None;
        let mut first = None;
        let well = self.daemon.watch(since + RECOVER_WITHIN, LOOK_OFTEN, |status| {
            let sent = status.acked + status.replayed;
            let before = *before.get_or_insert(sent);
            first = first.or((sent > before).then(|| since.elapsed()));
            first.is_some() && status.breaker == "closed" && status.problem.is_none()
        })?;
        match first.filter(|_| well) {
            Some(first) => Ok(first),
            None => Err(format!("no recovery within {RECOVER_WITHIN:?} after all was healed").into()),
        }
    }

    fn blow(&mut self, kind: Kind) -> Outcome {
        match kind {
            Kind::DaemonStopped => self.daemon.stop(&self.load)?,
            Kind::PowerCut => {
                let disk = self.disk.as_ref().ok_or("there is no disk of our own")?;
                self.daemon.kill(&self.load, "power cut", || Ok(disk.power_cut()?))?;
                disk.remount()?;
            }
            Kind::SpoolDamaged => {
                self.daemon.stop(&self.load)?;
                self.damage()?;
            }
            _ => self.daemon.kill(&self.load, "SIGKILL", || Ok(()))?,
        }
        self.daemon.start(&self.load)
    }

    fn damage(&mut self) -> Outcome {
        let dead = dead::of_spool(&self.world.binary, &self.spool, self.numbered)?;
        let damage = damage::random(&self.spool, &mut self.rng)?;
        say!("  {damage}");
        if damage.changes.iter().any(|change| change.path.starts_with("dead")) {
            // They were kept, until they were damaged.
            self.dead_before = dead;
        }
        let counted_at_ms = Some(i64::try_from(unix_ms())?);
        // How many, the daemon's count says at the end.
        self.daemon.allowances.push(Allowance {
            reason: DAMAGED.to_owned(),
            records: 1..=self.load.served(),
            at_most: 0,
            // A source that can resume may read again what was lost, if its cursor was lost too.
            counted_at_ms: counted_at_ms.filter(|_| !self.load.can_resume()),
        });
        Ok(())
    }

    fn drain(&mut self) -> Outcome {
        self.load.pause()?;
        let deadline = Instant::now() + DRAIN_WITHIN;
        // Twice in a row: a status is not taken in one moment.
        let mut drained = 0;
        while drained < 2 {
            if Instant::now() > deadline {
                return Err(format!("not drained {DRAIN_WITHIN:?} after all was healed").into());
            }
            drained = if self.daemon.is_drained(&self.load)? { drained + 1 } else { 0 };
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn judge(&mut self) -> Outcome<RoundReport> {
        let mut allowances = std::mem::take(&mut self.daemon.allowances);
        let damaged = allowances.iter_mut().find(|allowance| allowance.reason == DAMAGED);
        match damaged {
            Some(allowance) => allowance.at_most = self.daemon.quarantined,
            None if self.daemon.quarantined > 0 => {
                let lost = self.daemon.quarantined;
                return Err(format!("{lost} records are said to be damaged, and nothing was").into());
            }
            None => {}
        }
        let topic = self.topic.read(&self.world.cluster)?;
        let (load, was_limited) = (self.numbered, self.topic.was_limited);
        let refusal = |n| match load.class(n) {
            Class::Huge => Refusal::Must,
            Class::Big if was_limited => Refusal::May,
            Class::Big | Class::Usual => Refusal::Never,
        };
        let served = self.load.served();
        let dead = self.dead_letters()?;
        let case = Case {
            served,
            arrival: !self.plan.mode.fresh,
            topic: &topic,
            dead: &dead,
            refusal: &refusal,
            allowances: &allowances,
        };
        let verdict: Verdict = judge(&case);
        Ok(RoundReport {
            number: self.plan.number,
            seed: self.plan.seed,
            mode: self.plan.mode,
            served,
            verdict,
            allowances,
            disturbances: std::mem::take(&mut self.disturbances),
            rss_max_kib: self.daemon.rss_max_kib,
            slowest_stop: self.daemon.slowest_stop,
        })
    }

    /// Those in the spool, and those in their topic.
    fn dead_letters(&self) -> Outcome<BTreeSet<u64>> {
        let mut dead = dead::of_spool(&self.world.binary, &self.spool, self.numbered)?;
        dead.extend(&self.dead_before);
        if let Some(letters) = &self.topic.letters {
            dead.extend(dead::of_topic(&self.world.cluster, letters, self.numbered)?);
        }
        Ok(dead)
    }
}

const DAMAGED: &str = "damaged in the spool";

/// What the daemon shows of a fault.
struct Signs {
    since_ms: u64,
    /// When the fault was there.
    silent_ms: u64,
    /// After how long the breaker first opened.
    opened: Option<Duration>,
    /// It said that its disk takes nothing.
    problem: bool,
}

impl Signs {
    /// Notes what the status shows; never enough.
    fn look(&mut self, status: &Status) -> bool {
        let opened = status.opened_since(self.since_ms).map(|at_ms| at_ms.saturating_sub(self.silent_ms));
        self.opened = self.opened.or(opened.map(Duration::from_millis));
        self.problem |= status.problem.is_some();
        false
    }

    /// Some faults must show, and in time.
    fn check(&self, fault: Option<Kind>) -> Outcome {
        if fault == Some(Kind::DiskFull) && !self.problem {
            return Err("the disk was full, and the daemon did not say so".into());
        }
        if !fault.is_some_and(Kind::is_silent) {
            return Ok(());
        }
        match self.opened {
            Some(after) if after <= OPEN_WITHIN => Ok(()),
            Some(after) => {
                Err(format!("the breaker opened after {after:?}, not within {OPEN_WITHIN:?}").into())
            }
            None => Err("the breaker did not open".into()),
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
