//! One run: a topic, a part of the store, the members, and what is done to them while records come.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use spillway_testkit::store_faults::{Proxy, Weather};
use tempfile::TempDir;

use crate::Outcome;
use crate::judge::{download, judge, read_topic};
use crate::load::Load;
use crate::member::{Config, Launch, Member};
use crate::plan::{Act, Plan, SESSION};
use crate::producer::Producer;
use crate::world::{BUCKET, World};

/// Records that are in the topic in no order of theirs: 5 s of event time.
const CHUNK: u64 = 5;
/// How long it takes to produce all.
const PRODUCE_FOR: Duration = Duration::from_secs(25);
/// What a service manager waits before it starts a program again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A drain reads what is left, and every put may fail a few times.
const DRAIN_WITHIN: Duration = Duration::from_secs(180);

/// What a run came to.
pub(crate) struct Report {
    pub(crate) text: String,
    /// Final objects that were there before the drain.
    pub(crate) early: usize,
}

pub(crate) struct Run<'a> {
    world: &'a World,
    plan: Plan,
    topic: String,
    dir: TempDir,
    proxy: Proxy,
    launch: Launch,
    members: Vec<Member>,
    /// One too many, for a while.
    guest: Option<Member>,
    store_back: Option<Instant>,
    /// A member that ends by itself is a failure.
    strict: bool,
    /// How members ended by themselves, and how often.
    ends: BTreeMap<String, u64>,
    began: Instant,
}

impl<'a> Run<'a> {
    pub(crate) fn start(world: &'a World, plan: Plan, strict: bool) -> Outcome<Self> {
        let (topic, dir) = (format!("events-{}", plan.seed), tempfile::tempdir()?);
        world.create_topic(&topic, plan.partitions)?;
        let proxy = Proxy::start(&world.endpoint(), plan.seed, weather(&plan))?;
        let (bootstrap, endpoint) = (world.bootstrap(), proxy.endpoint());
        let store = format!("s3://{BUCKET}/{topic}");
        let config = Config {
            bootstrap: &bootstrap,
            topic: &topic,
            endpoint: &endpoint,
            store: &store,
            session: SESSION,
        };
        let config = config.write(dir.path())?;
        let launch = Launch { binary: world.binary.clone(), config, log: dir.path().join("members.log") };
        let members = (0..plan.members).map(|_| Member::start(&launch, false)).collect::<Outcome<_>>()?;
        let (guest, store_back, ends, began) = (None, None, BTreeMap::new(), Instant::now());
        Ok(Self { world, plan, topic, dir, proxy, launch, members, guest, store_back, strict, ends, began })
    }

    /// Does everything, and compares. On an error the folder with all logs stays.
    pub(crate) fn finish(mut self) -> Outcome<Report> {
        let done = self.work();
        done.map_err(|error| {
            self.members.clear();
            let tail = self.launch.tail();
            self.dir.disable_cleanup(true);
            format!("{error}\nthe members' log ends so:\n{tail}\nall is in {}", self.dir.path().display())
                .into()
        })
    }

    fn work(&mut self) -> Outcome<Report> {
        let mut load = Load::new(&self.plan);
        self.produce(&mut load)?;
        let produced = self.began.elapsed();
        self.end_members()?;
        let early = self.world.objects().list(&format!("{}/tables/", self.topic))?.len();
        self.drain()?;
        let records = read_topic(&self.world.bootstrap(), &self.topic, load.partitions())?;
        if u64::try_from(records.len())? != self.plan.records {
            return Err(format!("the topic holds {} of {} records", records.len(), self.plan.records).into());
        }
        let objects = download(self.world, &self.topic, self.dir.path())?;
        let verdict = judge(&records, self.dir.path())?;
        if !verdict.is_equal() {
            return Err(verdict.to_string().into());
        }
        // A run that proves nothing is no success.
        if verdict.tables.iter().any(|table| table.expected == 0) || verdict.tally.late == 0 {
            return Err(format!("the load was too small to prove anything: {verdict}").into());
        }
        let text = format!(
            "equal after {:.1} s ({:.1} s of records), {objects} objects, {early} of the tables' before the drain; ended by themselves: {:?}\n{verdict}\nstore: {}",
            self.began.elapsed().as_secs_f64(),
            produced.as_secs_f64(),
            self.ends,
            self.proxy.counts()
        );
        Ok(Report { text, early })
    }

    fn produce(&mut self, load: &mut Load) -> Outcome {
        let producer = Producer::new(&self.world.bootstrap(), &self.topic)?;
        let mut acts = std::mem::take(&mut self.plan.acts).into_iter().peekable();
        for sent in (0..self.plan.records).step_by(usize::try_from(CHUNK)?) {
            while let Some((_, act)) = acts.next_if(|(at, _)| *at <= sent) {
                self.act(act, load)?;
            }
            let records: Vec<_> = (0..CHUNK).map(|_| load.next()).collect();
            producer.send(&records)?;
            self.look_after()?;
            self.pace(sent + CHUNK);
        }
        Ok(())
    }

    /// Real time passes while records come: the rate is part of what is simulated.
    fn pace(&self, sent: u64) {
        let share = sent as f64 / self.plan.records as f64;
        let due = self.began + PRODUCE_FOR.mul_f64(share);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    fn act(&mut self, act: Act, load: &mut Load) -> Outcome {
        if let Some(guest) = self.guest.take() {
            guest.kill()?;
        }
        let now = Instant::now();
        match act {
            Act::Kill { member } => {
                self.take(member)?.kill()?;
                self.members.push(Member::start(&self.launch, false)?);
            }
            Act::Restart { member } => {
                let status = self.take(member)?.terminate()?;
                if !status.success() {
                    self.ended_by_itself(status)?;
                }
                self.members.push(Member::start(&self.launch, false)?);
            }
            Act::Freeze { member, during } => self.at(member)?.freeze(now + during)?,
            Act::Join => self.guest = Some(Member::start(&self.launch, false)?),
            Act::StoreDown { during } => {
                self.store_back = Some(now + during);
                self.proxy.set(Weather::down());
            }
            Act::Grow { by } => {
                self.world.grow(&self.topic, load.partitions() + by)?;
                load.grow(by);
            }
        }
        Ok(())
    }

    fn at(&mut self, member: u64) -> Outcome<&mut Member> {
        let index = usize::try_from(member)?;
        self.members.get_mut(index).ok_or_else(|| "no such member".into())
    }

    fn take(&mut self, member: u64) -> Outcome<Member> {
        self.at(member)?;
        Ok(self.members.remove(usize::try_from(member)?))
    }

    /// What was to end has ended; a member that has ended by itself is started again.
    fn look_after(&mut self) -> Outcome {
        let now = Instant::now();
        if self.store_back.take_if(|until| *until <= now).is_some() {
            self.proxy.set(weather(&self.plan));
        }
        for at in 0..self.members.len() {
            self.members[at].thaw(now)?;
            if let Some(status) = self.members[at].ended()? {
                self.ended_by_itself(status)?;
                self.members[at] = Member::start(&self.launch, false)?;
            }
        }
        Ok(())
    }

    fn ended_by_itself(&mut self, status: ExitStatus) -> Outcome {
        if self.strict {
            return Err(format!("a member ended by itself, with {status}").into());
        }
        *self.ends.entry(status.to_string()).or_default() += 1;
        std::thread::sleep(START_AGAIN_AFTER);
        Ok(())
    }

    fn end_members(&mut self) -> Outcome {
        self.proxy.set(weather(&self.plan));
        if let Some(guest) = self.guest.take() {
            guest.kill()?;
        }
        for member in std::mem::take(&mut self.members) {
            let status = member.terminate()?;
            if !status.success() {
                self.ended_by_itself(status)?;
            }
        }
        Ok(())
    }

    /// One member reads what is left and closes every window; the store goes on failing.
    fn drain(&mut self) -> Outcome {
        let deadline = Instant::now() + DRAIN_WITHIN;
        loop {
            let status = Member::start(&self.launch, true)?.wait(DRAIN_WITHIN)?;
            if status.success() {
                return Ok(());
            }
            self.ended_by_itself(status)?;
            if Instant::now() > deadline {
                return Err(format!("the drain never succeeds: {:?}", self.ends).into());
            }
        }
    }
}

fn weather(plan: &Plan) -> Weather {
    Weather { share: plan.store_faults, ..Weather::rough() }
}
