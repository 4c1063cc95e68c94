//! A small world in which everything that can go wrong with applying does.
//!
//! Writers, other people and the services all run in one thread, and each call gives
//! way before and after it has its effect. Who goes on is drawn from a seed, so that a
//! schedule that breaks something can be run again. A process is killed by dropping
//! its future at one of those places, which leaves exactly what a `SIGKILL` leaves.
//!
//! The world sees every write land. It remembers who put each network into a set, and
//! that is the truth that ledger and account are held against.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    AuditLine, AwsRanges, Cause, Change, Changes, Clock, Family, Figures, IpSet, IpSets, Kind,
    Ledger, LedgerStore, MemoryIpSets, MemoryLedger, NeverBlock, ReadError, SaveError, Scope, Sets,
    StoreError, Target, Version, WriteError,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub(crate) const SETS: [&str; 2] = ["portcullis-v4", "portcullis-v6"];

/// 2025-11-04T09:12:00Z.
pub(crate) const START_MS: i64 = 1_762_247_520_000;

pub(crate) fn time(epoch_ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(epoch_ms).expect("a time of this century")
}

pub(crate) fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

pub(crate) fn target() -> Target {
    Target::new("111122223333", "eu-west-1", Scope::Regional)
}

/// Ranges of AWS beside those that are built in.
const AWS_RANGES: &str = r#"{
    "syncToken": "1762000000",
    "prefixes": [
        {"ip_prefix": "198.18.254.0/24", "service": "CLOUDFRONT"},
        {"ip_prefix": "203.0.113.128/25", "service": "ROUTE53_HEALTHCHECKS"}
    ],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8:fffe::/48", "service": "CLOUDFRONT"}]
}"#;

pub(crate) fn never_block() -> NeverBlock {
    let aws = AwsRanges::with_file("ip-ranges.json", AWS_RANGES).expect("a whole file");
    NeverBlock::parse("never-block.txt", "198.18.255.0/24 head office\n2001:db8:ffff::/48")
        .expect("a valid list")
        .with_aws_ranges(aws)
}

pub(crate) fn cause(last: Timestamp) -> Cause {
    Cause {
        score: 320,
        rules: vec!["probe/dotfiles".to_owned()],
        reason: "probe/dotfiles (31 requests)".to_owned(),
        evidence: Vec::new(),
        last: Some(last),
    }
}

/// Changes that hold whatever the ledger and the sets have come to.
pub(crate) fn changes(operation: &str, changes: Vec<Change>, now: Timestamp) -> Changes {
    Changes {
        operation: operation.to_owned(),
        kind: Kind::Plan,
        target: target(),
        created_at: now,
        not_after: time(now.epoch_ms() + 3_600_000),
        ledger: None,
        base: Vec::new(),
        changes,
        figures: Figures::default(),
        digests: portcullis_remediation::Digests::default(),
    }
}

pub(crate) fn add(network: IpNet, term_ms: i64, now: Timestamp) -> Change {
    let set = SETS[Family::of(network) as usize].to_owned();
    Change::Add { set, network, term_ms, strikes: 1, cause: cause(now) }
}

/// How often, in a thousand calls, each fault happens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// The service is busy, and nothing happened.
    pub(crate) busy: u32,
    /// It happened, and the answer was lost.
    pub(crate) lost_answer: u32,
    /// It did not happen, and the answer was lost.
    pub(crate) lost_request: u32,
    /// It happens later, and the answer was lost.
    pub(crate) delayed: u32,
    /// A read shows an earlier value.
    pub(crate) stale_read: u32,
    /// Somebody else writes the set.
    pub(crate) foreign: u32,
    /// The process is killed.
    pub(crate) kill: u32,
}

impl Faults {
    pub(crate) const STORM: Self = Self {
        busy: 100,
        lost_answer: 60,
        lost_request: 60,
        delayed: 60,
        stale_read: 60,
        foreign: 20,
        kill: 4,
    };

    /// Somebody else is busy in the same sets, and every answer arrives.
    pub(crate) const CROWD: Self = Self {
        busy: 50,
        lost_answer: 0,
        lost_request: 0,
        delayed: 0,
        stale_read: 60,
        foreign: 60,
        kill: 0,
    };
}

/// Who put a network into a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Ours,
    Foreign,
}

pub(crate) struct World {
    pub(crate) sets: MemoryIpSets,
    pub(crate) ledger: MemoryLedger,
    faults: Cell<Faults>,
    random: RefCell<ChaCha8Rng>,
    now_ms: Cell<i64>,
    /// Earlier values of the sets, for stale reads.
    earlier: RefCell<Vec<IpSet>>,
    /// Writes that are still on their way.
    on_their_way: RefCell<Vec<IpSet>>,
    saves_on_their_way: RefCell<Vec<(Ledger, Option<Version>)>>,
    /// The truth about every entry.
    pub(crate) owners: RefCell<BTreeMap<IpNet, Owner>>,
    /// Entries of ours that were put in, and that were taken out by anybody, so far.
    pub(crate) put_in: RefCell<BTreeMap<IpNet, u64>>,
    pub(crate) taken_out: RefCell<BTreeMap<IpNet, u64>>,
    pub(crate) violations: RefCell<Vec<String>>,
    pub(crate) figures: Cell<WorldFigures>,
}

/// What happened, for the report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorldFigures {
    pub(crate) calls: u64,
    pub(crate) injected: u64,
    pub(crate) kills: u64,
    pub(crate) foreign_writes: u64,
    pub(crate) our_writes: u64,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let world = Self {
            sets: MemoryIpSets::new(&Sets::empty()),
            ledger: MemoryLedger::default(),
            faults: Cell::new(faults),
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            now_ms: Cell::new(START_MS),
            earlier: RefCell::default(),
            on_their_way: RefCell::default(),
            saves_on_their_way: RefCell::default(),
            owners: RefCell::default(),
            put_in: RefCell::default(),
            taken_out: RefCell::default(),
            violations: RefCell::default(),
            figures: Cell::default(),
        };
        for name in SETS {
            world.earlier.borrow_mut().push(world.set(name));
        }
        world
    }

    pub(crate) fn set(&self, name: &str) -> IpSet {
        self.sets.get(name).expect("both sets are always there")
    }

    pub(crate) fn below(&self, limit: u32) -> u32 {
        self.random.borrow_mut().random_range(0..limit)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    pub(crate) fn now(&self) -> Timestamp {
        time(self.now_ms.get())
    }

    /// No more faults; what is on its way still arrives, or never does.
    pub(crate) fn calm(&self) {
        self.faults.set(Faults::default());
        self.arrive(true);
    }

    fn happens(&self, per_mille: u32) -> bool {
        let happens = per_mille > 0 && self.below(1_000) < per_mille;
        if happens {
            self.count(|figures| figures.injected += 1);
        }
        happens
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut WorldFigures)) {
        let mut figures = self.figures.get();
        change(&mut figures);
        self.figures.set(figures);
    }

    pub(crate) fn violation(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    /// Lets a write of ours land, if its token is still good.
    fn land(&self, set: &IpSet) -> Result<(), WriteError> {
        let before = self.set(set.name());
        now_or_never(self.sets.write(set))?;
        self.count(|figures| figures.our_writes += 1);
        self.seen(&before, set, Owner::Ours);
        Ok(())
    }

    /// Keeps the truth about who put what where.
    fn seen(&self, before: &IpSet, after: &IpSet, writer: Owner) {
        let list = never_block();
        let mut owners = self.owners.borrow_mut();
        for network in after.addresses().difference(before.addresses()) {
            owners.insert(*network, writer);
            if writer == Owner::Ours {
                *self.put_in.borrow_mut().entry(*network).or_default() += 1;
                if list.protection(*network).is_some() {
                    self.violation(format!("{network} is never blocked, and was"));
                }
            }
        }
        for network in before.addresses().difference(after.addresses()) {
            let owner = owners.remove(network);
            if owner == Some(Owner::Ours) {
                *self.taken_out.borrow_mut().entry(*network).or_default() += 1;
            } else if writer == Owner::Ours {
                self.violation(format!("{network} was somebody else's, and we took it out"));
            }
        }
        if after.description() != before.description() {
            self.violation(format!("set {} lost its description", before.name()));
        }
        self.earlier.borrow_mut().push(self.set(before.name()));
    }

    /// Somebody else edits a set, properly, with its own token.
    fn meddle(&self) {
        let name = SETS[self.below(2) as usize];
        let before = self.set(name);
        let mut after = before.clone();
        let ledger = self.ledger.get();
        let entries: Vec<IpNet> = before.addresses().iter().copied().collect();
        if self.below(3) == 0 && !entries.is_empty() {
            after.remove(&entries[self.below(entries.len() as u32) as usize]);
        } else {
            let network = if self.below(4) == 0 {
                // One that we may want too. Once it is ours, to add it changes nothing;
                // while one of us is at it, or gave up without having heard the answer,
                // nobody can tell afterwards who put it in.
                let candidate = candidate(self, before.family());
                let is_ours =
                    ledger.as_ref().is_some_and(|ledger| ledger.entries().contains_key(&candidate));
                let Faults { lost_answer, lost_request, delayed, kill, .. } = self.faults.get();
                let is_told = lost_answer + lost_request + delayed + kill == 0;
                let is_settled =
                    |ledger: &Ledger| ledger.lease().is_none() && ledger.intent().is_none();
                let is_quiet = ledger.as_ref().is_none_or(is_settled)
                    && self.on_their_way.borrow().is_empty()
                    && self.saves_on_their_way.borrow().is_empty();
                if is_ours || !(is_told || is_quiet) {
                    return;
                }
                candidate
            } else {
                let number = self.below(200);
                match before.family() {
                    Family::V4 => network(&format!("203.0.113.{number}/32")),
                    Family::V6 => network(&format!("2001:db8:aaaa:{number:x}::/64")),
                }
            };
            let _ = after.insert(network);
        }
        if after.addresses() != before.addresses() {
            now_or_never(self.sets.write(&after)).expect("the token was just read");
            self.count(|figures| figures.foreign_writes += 1);
            self.seen(&before, &after, Owner::Foreign);
        }
    }

    /// Something that was on its way arrives.
    fn arrive(&self, all: bool) {
        while !self.on_their_way.borrow().is_empty() && (all || self.below(4) == 0) {
            let set = self.on_their_way.borrow_mut().remove(0);
            // With an old token it is refused, as it should be.
            let _ = self.land(&set);
        }
        while !self.saves_on_their_way.borrow().is_empty() && (all || self.below(4) == 0) {
            let (ledger, replaces) = self.saves_on_their_way.borrow_mut().remove(0);
            let _ = now_or_never(self.ledger.save(&ledger, replaces.as_ref()));
        }
    }

    /// Gives way, and lets the rest of the world go on.
    async fn give_way(&self) {
        self.count(|figures| figures.calls += 1);
        self.pass(20);
        self.arrive(false);
        if self.happens(self.faults.get().foreign) {
            self.meddle();
        }
        let mut waited = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Runs processes until all are done, one step of a random one after the other.
    /// One that is killed starts again.
    pub(crate) fn run<'f>(
        &self,
        processes: usize,
        start: impl Fn(usize) -> Pin<Box<dyn Future<Output = ()> + 'f>>,
    ) {
        let mut running: Vec<_> = (0..processes).map(|number| Some(start(number))).collect();
        let mut context = Context::from_waker(Waker::noop());
        while running.iter().any(Option::is_some) {
            let chosen = self.below(processes as u32) as usize;
            let Some(process) = &mut running[chosen] else {
                continue;
            };
            if process.as_mut().poll(&mut context).is_ready() {
                running[chosen] = None;
            } else if self.happens(self.faults.get().kill) {
                self.count(|figures| figures.kills += 1);
                running[chosen] = Some(start(chosen));
            }
        }
    }
}

/// A network that our processes may want to block. A few are never to be blocked, by the
/// operator's list or as ranges of AWS, and some are entries that neighbours share, which
/// overlap those of single sources in either direction.
pub(crate) fn candidate(world: &World, family: Family) -> IpNet {
    let (high, low) = (world.below(20), world.below(60));
    let shared_bits = if world.below(5) == 0 { 1 + world.below(4) as u8 } else { 0 };
    let source = match (family, high) {
        (Family::V4, 0 | 1) => network(&format!("198.18.{}.{low}/32", 255 - high)),
        (Family::V4, _) => network(&format!("198.18.0.{low}/32")),
        (Family::V6, 0 | 1) => network(&format!("2001:db8:{:x}:{low:x}::/64", 0xffff - high)),
        (Family::V6, _) => network(&format!("2001:db8:0:{low:x}::/64")),
    };
    let length = source.prefix_len() - shared_bits;
    IpNet::new(source.network(), length).expect("a shorter prefix").trunc()
}

/// For what never has to wait.
pub(crate) fn now_or_never<Output>(future: impl Future<Output = Output>) -> Output {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory does not make anybody wait"),
    }
}

impl IpSets for World {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        self.give_way().await;
        let faults = self.faults.get();
        if self.happens(faults.busy) {
            return Err(ReadError::Temporary("slow down".to_owned()));
        }
        if self.happens(faults.stale_read) {
            let earlier = self.earlier.borrow();
            let of_set: Vec<_> = earlier.iter().filter(|set| set.name() == name).collect();
            let recent = self.below(of_set.len().min(4) as u32) as usize;
            return Ok(of_set[of_set.len() - 1 - recent].clone());
        }
        let set = self.sets.read(name).await;
        self.give_way().await;
        set
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        self.give_way().await;
        let faults = self.faults.get();
        let no_answer = || Err(WriteError::Unknown("no answer".to_owned()));
        if self.happens(faults.busy) {
            return Err(WriteError::Busy("slow down".to_owned()));
        }
        if self.happens(faults.lost_request) {
            return no_answer();
        }
        if self.happens(faults.delayed) {
            self.on_their_way.borrow_mut().push(set.clone());
            return no_answer();
        }
        let landed = self.land(set);
        self.give_way().await;
        if self.happens(faults.lost_answer) { no_answer() } else { landed }
    }
}

impl LedgerStore for World {
    async fn load(&self) -> Result<Option<(Ledger, Version)>, StoreError> {
        self.give_way().await;
        if self.happens(self.faults.get().busy) {
            return Err(StoreError("slow down".to_owned()));
        }
        self.ledger.load().await
    }

    async fn save(
        &self,
        ledger: &Ledger,
        replaces: Option<&Version>,
    ) -> Result<Version, SaveError> {
        self.give_way().await;
        let faults = self.faults.get();
        let no_answer = || Err(SaveError::Unknown("no answer".to_owned()));
        if self.happens(faults.lost_request) {
            return no_answer();
        }
        if self.happens(faults.delayed) {
            self.saves_on_their_way.borrow_mut().push((ledger.clone(), replaces.cloned()));
            return no_answer();
        }
        let saved = self.ledger.save(ledger, replaces).await;
        self.give_way().await;
        if self.happens(faults.lost_answer) { no_answer() } else { saved }
    }

    async fn append_audit(&self, lines: &[AuditLine]) -> Result<(), StoreError> {
        self.give_way().await;
        let faults = self.faults.get();
        if self.happens(faults.busy) {
            return Err(StoreError("slow down".to_owned()));
        }
        self.ledger.append_audit(lines).await?;
        self.give_way().await;
        if self.happens(faults.lost_answer) {
            return Err(StoreError("no answer".to_owned()));
        }
        Ok(())
    }

    async fn audit(&self) -> Result<String, StoreError> {
        self.ledger.audit().await
    }

    async fn halted(&self) -> Result<Option<String>, StoreError> {
        self.give_way().await;
        self.ledger.halted().await
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        World::now(self)
    }

    async fn wait(&self, milliseconds: u64) {
        self.pass(milliseconds.cast_signed());
        self.give_way().await;
    }
}

/// The networks of one owner in all sets.
pub(crate) fn of_owner(world: &World, wanted: Owner) -> BTreeSet<IpNet> {
    let owners = world.owners.borrow();
    owners.iter().filter(|(_, owner)| **owner == wanted).map(|(network, _)| *network).collect()
}
