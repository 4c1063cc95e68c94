//! The real program is killed at every step of changing the sets, and the next run must
//! find everything as it should be.
//!
//! The invariants are those of the ledger: after recovery no entry of ours is without its
//! owner (I1), none of others is gone (I2), none overlaps what is never blocked (I3), the
//! brakes hold (I4), the account has each change once (I5), what is over is gone after an
//! expiry (I6), and applying twice is applying once (I7).
//!
//! Time is simulated, so that leases of the dead end and blocks run out; the processes,
//! the signals, the sockets and the files are real.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake_aws::{ACCOUNT, FakeAws, Hold};
use ipnet::IpNet;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    Cause, Change, Changes, Digests, Event, Figures, Kind, Ledger, Scope, Target, verify_audit,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::Files;
use crate::target::{REGION, V4, V6, with_nobody_listening};

/// Iterations of a usual run of the tests; `cargo xtask kill-loop` asks for more.
const USUAL: u32 = 24;

/// Iterations in one fake AWS, before a new one begins.
const EPISODE: u32 = 60;

/// Calls of a long run with its ledger on S3, and of one with its ledger in a directory.
const CALLS: [u64; 2] = [20, 7];

/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Simulated time between two runs: more than a lease lasts.
const STEP_MS: i64 = 6 * 60_000;

/// 2025-11-04T09:00:00Z.
const BEGIN_MS: i64 = 1_762_246_800_000;

#[test]
fn a_killed_run_leaves_nothing_that_the_next_one_does_not_settle() {
    let asked = std::env::var("PORTCULLIS_KILL_LOOP").ok();
    let iterations = asked.map_or(USUAL, |text| text.parse().expect("a number of iterations"));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4) as u32;
    let seed = std::env::var("PORTCULLIS_SEED").map_or(1, |seed| seed.parse().expect("a seed"));
    let begun = Instant::now();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let work = |worker: u32| {
            let mine = iterations / workers + u32::from(worker < iterations % workers);
            move || work(seed + u64::from(worker) * 1_000_000, mine)
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no violation")).collect()
    });
    let mut all = Tally::default();
    for tally in tallies {
        all.merge(tally);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{iterations} iterations in {seconds:.0} s: {all}");
    assert!(all.killed > iterations / 3, "too few runs were killed to show anything: {all}");
}

/// What was tried.
#[derive(Default)]
struct Tally {
    killed: u32,
    /// Calls at which a run was stopped and killed.
    calls: BTreeMap<String, u32>,
    at_random_times: u32,
    came_to_their_end: u32,
    recoveries: Vec<Duration>,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.killed += other.killed;
        self.at_random_times += other.at_random_times;
        self.came_to_their_end += other.came_to_their_end;
        self.recoveries.extend(other.recoveries);
        for (call, count) in other.calls {
            *self.calls.entry(call).or_default() += count;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut times = self.recoveries.clone();
        times.sort_unstable();
        let percentile = |share: usize| {
            let place = (times.len() * share / 100).min(times.len().saturating_sub(1));
            times.get(place).copied().unwrap_or_default().as_millis()
        };
        let calls: Vec<_> =
            self.calls.iter().map(|(call, count)| format!("{call} {count}")).collect();
        write!(
            f,
            "{} runs killed ({} at random times; {}), {} came to their end first; recovery p50 \
             {} ms, p99 {} ms; I1 to I7 hold",
            self.killed,
            self.at_random_times,
            calls.join(", "),
            self.came_to_their_end,
            percentile(50),
            percentile(99)
        )
    }
}

fn work(seed: u64, iterations: u32) -> Tally {
    let mut tally = Tally::default();
    let mut left = iterations;
    for episode in 0.. {
        if left == 0 {
            break;
        }
        let now = left.min(EPISODE);
        let mut world = World::new(seed + episode);
        for _ in 0..now {
            world.iterate(&mut tally);
        }
        left -= now;
    }
    tally
}

/// One run of the program.
#[derive(Clone, Debug)]
enum Run {
    /// Carries out the plan in the file.
    Apply {
        plan: String,
        networks: Vec<IpNet>,
    },
    Expire,
    Rollback(String),
    Pardon(IpNet),
}

struct World {
    fake: FakeAws,
    files: Files,
    dice: ChaCha8Rng,
    seed: u64,
    /// Simulated time.
    now_ms: i64,
    /// Entries of others.
    foreign: BTreeSet<IpNet>,
    /// Entries of ours that others took out.
    taken: BTreeSet<IpNet>,
    operations: Vec<String>,
    /// Addresses used so far.
    used: u32,
    is_on_s3: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let options = fake_aws::Options { page_size: 50, ..fake_aws::Options::default() };
        let fake = FakeAws::start(options);
        fake.create_ip_set(REGION, "REGIONAL", V4, "IPV4");
        fake.create_ip_set(REGION, "REGIONAL", V6, "IPV6");
        fake.create_bucket("ledgers");
        let files = Files::new();
        files.write("never-block.txt", "198.51.100.0/24 head office\n");
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let is_on_s3 = dice.random_range(0..3) > 0;
        let ledger = if is_on_s3 { "s3://ledgers/prod" } else { "ledger" };
        files.write(
            "portcullis.toml",
            format!(
                "never-block = [\"never-block.txt\"]\n[[target]]\nname = \"prod\"\naccount = \
                 \"{ACCOUNT}\"\nregion = \"{REGION}\"\nledger = \"{ledger}\"\nmode = \"enforce\"\n\
                 endpoint-url = \"{}\"\nupdate-interval-ms = 0\n",
                fake.url()
            ),
        );
        Self {
            fake,
            files,
            dice,
            seed,
            now_ms: BEGIN_MS,
            foreign: BTreeSet::new(),
            taken: BTreeSet::new(),
            operations: Vec::new(),
            used: 0,
            is_on_s3,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    /// Others edit, a run is killed, the next one recovers, and all is held against what
    /// should be.
    fn iterate(&mut self, tally: &mut Tally) {
        self.others_edit();
        let run = self.choose();
        self.now_ms += STEP_MS;
        let late = self.kill(&run, tally);
        self.now_ms += STEP_MS;
        // A write of the dead may arrive while others are at it.
        let delay = Duration::from_millis(self.dice.random_range(0..60));
        let straggler = std::thread::spawn(move || {
            std::thread::sleep(delay);
            drop(late);
        });
        let begun = Instant::now();
        let (code, stderr) = self.complete(&run);
        tally.recoveries.push(begun.elapsed());
        straggler.join().expect("it only sleeps");
        let expected = match &run {
            Run::Apply { networks, .. } if networks.len() > 50 => 4,
            _ => 0,
        };
        assert_eq!(code, expected, "{run:?} with seed {}: {stderr}", self.seed);
        self.check(&run);
        if self.chance(20) && matches!(run, Run::Apply { .. }) && code == 0 {
            self.applies_once(&run);
        }
        if self.chance(20) {
            self.expires();
        }
    }

    fn others_edit(&mut self) {
        if self.chance(30) {
            let address = format!("192.0.2.{}/32", self.dice.random_range(1..250));
            self.fake.edit(REGION, "REGIONAL", V4, &[&address], &[]);
            self.foreign.insert(network(&address));
        }
        if self.chance(10)
            && let Some(gone) = self.foreign.pop_first()
        {
            self.fake.edit(REGION, "REGIONAL", V4, &[], &[&gone.to_string()]);
        }
        if self.chance(10)
            && let Some(ledger) = self.ledger()
            && let Some((ours, entry)) = ledger.entries().first_key_value()
        {
            self.fake.edit(REGION, "REGIONAL", &entry.set, &[], &[&ours.to_string()]);
            self.taken.insert(*ours);
        }
    }

    fn choose(&mut self) -> Run {
        match self.dice.random_range(0..100) {
            0..60 => {
                let count = self.dice.random_range(1..=4);
                self.plan(count)
            }
            // More than the brake for one run lets through.
            60..63 => self.plan(51),
            63..83 => Run::Expire,
            83..93 if !self.operations.is_empty() => {
                let chosen = self.dice.random_range(0..self.operations.len());
                Run::Rollback(self.operations[chosen].clone())
            }
            _ => {
                let number = self.dice.random_range(0..=self.used);
                Run::Pardon(address(number, number % 3 == 0))
            }
        }
    }

    /// A plan that adds so many networks, some of them not to be added.
    fn plan(&mut self, count: u32) -> Run {
        let mut networks = Vec::new();
        for _ in 0..count {
            self.used += 1;
            let is_v6 = count <= 4 && self.chance(30);
            networks.push(address(self.used, is_v6));
        }
        if count <= 4 && self.chance(15) {
            networks.push(network("198.51.100.7/32"));
        }
        if count <= 4
            && self.chance(15)
            && let Some(others) = self.foreign.first()
        {
            networks.push(*others);
        }
        let operation = format!("plan-{}-{}", self.seed, self.used);
        self.operations.push(operation.clone());
        let now = timestamp(self.now_ms);
        let changes = networks.iter().map(|network| Change::Add {
            set: if network.addr().is_ipv6() { V6 } else { V4 }.to_owned(),
            network: *network,
            term_ms: [1_000, 20 * 60_000, 120 * 60_000][self.dice.random_range(0..3)],
            strikes: 1,
            cause: Cause {
                score: 320,
                rules: vec!["probe/dotfiles".to_owned()],
                reason: "probe/dotfiles (31 requests)".to_owned(),
                evidence: Vec::new(),
                last: Some(now),
            },
        });
        let changes = Changes {
            operation,
            kind: Kind::Plan,
            target: Target::new(ACCOUNT, REGION, Scope::Regional),
            created_at: now,
            not_after: timestamp(self.now_ms + 3_600_000),
            ledger: None,
            base: Vec::new(),
            changes: changes.collect(),
            figures: Figures::default(),
            digests: Digests::default(),
        };
        let plan = self.files.write(&format!("plan-{}.json", self.used), changes.to_json());
        Run::Apply { plan, networks }
    }

    fn command(&self, run: &Run) -> Command {
        let mut command = with_nobody_listening(&self.files.path("portcullis.toml"), &[]);
        match run {
            Run::Apply { plan, .. } => command.args(["apply", plan]),
            Run::Expire => command.arg("expire"),
            Run::Rollback(operation) => command.args(["rollback", operation]),
            Run::Pardon(network) => command.args(["pardon", &network.to_string()]),
        };
        command.args(["--at", &timestamp(self.now_ms).to_string()]);
        command
    }

    /// Starts a run and kills it; gives what keeps its last call from being carried out.
    fn kill(&mut self, run: &Run, tally: &mut Tally) -> Option<fake_aws::Held> {
        if self.chance(25) {
            let mut child = self.command(run).stderr(Stdio::null()).spawn().expect("it starts");
            std::thread::sleep(Duration::from_millis(self.dice.random_range(0..150)));
            let ended = child.try_wait().expect("it is ours").is_some();
            tally.came_to_their_end += u32::from(ended);
            tally.killed += u32::from(!ended);
            tally.at_random_times += u32::from(!ended);
            end(&mut child);
            return None;
        }
        let place = [Hold::Before, Hold::After, Hold::Late][self.dice.random_range(0..3)];
        let calls = CALLS[usize::from(!self.is_on_s3)];
        let number = self.dice.random_range(1..=calls);
        let held = self.fake.hold(number, place);
        let mut child = self.command(run).stderr(Stdio::null()).spawn().expect("it starts");
        let begun = Instant::now();
        let call = loop {
            if let Some(call) = held.wait(Duration::from_millis(2)) {
                break Some(call);
            }
            if child.try_wait().expect("it is ours").is_some() {
                break None;
            }
            assert!(begun.elapsed() < PATIENCE, "{run:?} hangs with seed {}", self.seed);
        };
        end(&mut child);
        if let Some(call) = call {
            tally.killed += 1;
            // Lines of the account differ in their number only.
            let call = call.split_once("/audit/").map_or(call.as_str(), |(put, _)| put);
            let (method, path) = call.split_once(' ').unwrap_or((call, ""));
            let file = path.rsplit('/').next().unwrap_or_default();
            *tally.calls.entry(format!("{method} {file}").trim().to_owned()).or_default() += 1;
            Some(held)
        } else {
            tally.came_to_their_end += 1;
            self.fake.forget_hold();
            None
        }
    }

    fn complete(&self, run: &Run) -> (i32, String) {
        let output = self.command(run).stderr(Stdio::piped()).output().expect("it starts");
        let code = output.status.code().expect("nobody kills it");
        (code, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn ledger(&self) -> Option<Ledger> {
        let text = if self.is_on_s3 {
            String::from_utf8(self.fake.object("ledgers", "prod/ledger.json")?).expect("text")
        } else {
            fs::read_to_string(self.files.path("ledger/ledger.json")).ok()?
        };
        Some(Ledger::from_json(&text).expect("what is stored is a ledger"))
    }

    fn account(&self, ledger: &Ledger) -> String {
        let mut text = if self.is_on_s3 {
            let keys = self.fake.keys("ledgers");
            let lines = keys.iter().filter(|key| key.starts_with("prod/audit/"));
            lines
                .map(|key| self.fake.object("ledgers", key).expect("it is listed"))
                .map(|line| String::from_utf8(line).expect("text"))
                .collect()
        } else {
            fs::read_to_string(self.files.path("ledger/audit.jsonl")).unwrap_or_default()
        };
        let stored = text.lines().count() as u64;
        for line in ledger.unsent().iter().filter(|line| line.sequence > stored) {
            text.push_str(&line.to_json());
            text.push('\n');
        }
        text
    }

    fn held(&self) -> BTreeSet<IpNet> {
        let sets = [V4, V6].map(|set| self.fake.ip_set(REGION, "REGIONAL", set));
        let records = sets.into_iter().flatten().flat_map(|record| record.addresses);
        records.map(|address| network(&address)).collect()
    }

    /// I1 to I5, and that nothing is left to settle.
    #[track_caller]
    fn check(&self, run: &Run) {
        let told = format!("{run:?} with seed {}", self.seed);
        let held = self.held();
        let ledger = self.ledger().expect("a run that came to its end saved a ledger");
        let owned: BTreeSet<IpNet> = ledger.entries().keys().copied().collect();
        let unowned: Vec<_> =
            held.difference(&self.foreign).filter(|n| !owned.contains(n)).collect();
        assert!(unowned.is_empty(), "I1: {unowned:?} are nobody's after {told}");
        assert!(self.foreign.is_subset(&held), "I2: others lost entries after {told}");
        assert!(owned.is_disjoint(&self.foreign), "I2: others' entries were taken over: {told}");
        let missing: Vec<_> = owned.difference(&held).filter(|n| !self.taken.contains(n)).collect();
        assert!(missing.is_empty(), "{missing:?} are not in their sets after {told}");
        let protected = network("198.51.100.0/24");
        assert!(!held.iter().any(|entry| protected.contains(entry)), "I3: after {told}");
        if let Run::Apply { networks, .. } = run
            && networks.len() > 50
        {
            assert!(networks.iter().all(|network| !held.contains(network)), "I4: after {told}");
        }
        let account = self.account(&ledger);
        let lines = verify_audit(&account, ledger.audit_head());
        let lines = lines.unwrap_or_else(|error| panic!("I5: {error} after {told}"));
        let mut accounted = BTreeSet::new();
        for line in &lines {
            let Some(network) = line.network else { continue };
            let fits = match line.event {
                Event::Add => accounted.insert(network),
                Event::Expire | Event::Remove | Event::Override => accounted.remove(&network),
                Event::Renew => accounted.contains(&network),
                // Strikes are forgiven whether or not the network is blocked.
                Event::Pardon => {
                    accounted.remove(&network);
                    true
                }
                Event::Release => true,
            };
            assert!(fits, "I5: line {} is one too many after {told}", line.sequence);
        }
        assert_eq!(accounted, owned, "I5: after {told}");
        assert!(ledger.intent().is_none() && ledger.lease().is_none(), "unsettled after {told}");
    }

    /// I7.
    fn applies_once(&self, run: &Run) {
        let tokens = || {
            [V4, V6].map(|set| {
                let record = self.fake.ip_set(REGION, "REGIONAL", set).expect("it is there");
                (record.lock_token, record.updates)
            })
        };
        let before = tokens();
        let (code, stderr) = self.complete(run);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(tokens(), before, "I7: {run:?} with seed {}", self.seed);
        self.check(run);
    }

    /// I6.
    fn expires(&mut self) {
        self.now_ms += STEP_MS;
        let (code, stderr) = self.complete(&Run::Expire);
        assert_eq!(code, 0, "{stderr}");
        self.check(&Run::Expire);
        let ledger = self.ledger().expect("it is saved");
        let now = timestamp(self.now_ms);
        let over: Vec<_> =
            ledger.entries().iter().filter(|(_, entry)| entry.expires <= now).collect();
        assert!(over.is_empty(), "I6: {over:?} with seed {}", self.seed);
    }
}

fn end(child: &mut Child) {
    // SIGKILL; whoever has ended already cannot be killed.
    let _ = child.kill();
    child.wait().expect("it is ours");
}

fn address(number: u32, is_v6: bool) -> IpNet {
    let text = if is_v6 {
        format!("2001:db8:{:x}:{:x}::/64", number / 65_536, number % 65_536)
    } else {
        format!("198.18.{}.{}/32", number / 256 % 256, number % 256)
    };
    network(&text)
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn timestamp(epoch_ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(epoch_ms).expect("a time of this century")
}
