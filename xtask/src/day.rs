//! Simulates a day of the API with Portcullis under `enforce`, and shows what it did.
//!
//! The firehose simulation is one-way: attackers never notice that they are blocked.
//! Here the sets of a fake AWS stand in front of the API. Every five simulated minutes
//! the real program plans from what was delivered and carries its plan out; whoever is in
//! a set from then on gets AWS WAF's answer, which is logged, and tries on. Attackers also
//! keep trying after their tool has ended, until the attack stops, so that a block that
//! renews itself would show as a set that never drains.
//!
//! What matters: how many attackers end up blocked and how soon, how many requests of
//! honest clients are refused, and whether the sets are empty once the attack is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use fake_aws::{ACCOUNT, FakeAws};
use ipnet::IpNet;

use crate::firehose::actor::Actor;
use crate::firehose::calendar::{self, HOUR, MINUTE, Millis, SECOND};
use crate::firehose::call::{Call, Outcome};
use crate::firehose::delivery::{Compression, Delivery, Stream};
use crate::firehose::dice::Dice;
use crate::firehose::format::Format;
use crate::firehose::population::{self, Member, Plan, ROLES};
use crate::process::cargo;
use crate::workspace;

/// Time between two runs of the program.
const PERIOD: Millis = 5 * MINUTE;

/// Time between two tries of an attacker whose tool has ended.
const RETRY: Millis = 20 * SECOND;

/// Hours of logs that a run looks at.
const WINDOW: Millis = 2 * HOUR;

const REGION: &str = "eu-west-1";
const SETS: [(&str, &str); 2] = [("portcullis-v4", "IPV4"), ("portcullis-v6", "IPV6")];

/// `cargo xtask simulate-day`.
#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Hours to simulate
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Hours after which all attackers give up; with more than four, the third offence of
    /// some is due, and their blocks outlast the day
    #[arg(long, default_value_t = 4)]
    attack_hours: u32,
    /// Same seed, same day
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Multiplies the honest clients, in thousandths
    #[arg(long, default_value_t = 1_000)]
    permille: u64,
    /// Run this program instead of building the workspace's in release mode
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
}

impl Command {
    /// Few hours with few honest clients, for the tests; blocks of an hour still end.
    pub(crate) fn short(binary: PathBuf) -> Self {
        Self { hours: 3, attack_hours: 1, seed: 1, permille: 300, binary: Some(binary) }
    }
}

/// Runs `cargo xtask simulate-day`.
pub(crate) fn run(command: &Command) -> Result<(), String> {
    let binary = if let Some(binary) = &command.binary {
        binary.clone()
    } else {
        cargo(&["build", "--release", "--package", "portcullis"], &[])?;
        workspace::target().join("release/portcullis")
    };
    let directory = std::env::temp_dir().join(format!("portcullis-day-{}", std::process::id()));
    let done = simulate(command, &binary, &directory);
    // What the day left behind is of no use to anybody.
    let _ = fs::remove_dir_all(&directory);
    let day = done?;
    day.print();
    day.verdict()
}

/// What one role did and suffered.
#[derive(Default)]
struct Figures {
    requests: u64,
    refused: u64,
    /// First request of each source.
    first: BTreeMap<IpNet, Millis>,
    /// When each source was in a set for the first time.
    blocked: BTreeMap<IpNet, Millis>,
}

struct Day {
    roles: Vec<Figures>,
    start: Millis,
    attack_ends: Millis,
    /// Entries in the sets at every full hour.
    hourly: Vec<usize>,
    /// When the sets were empty for good.
    drained: Option<Millis>,
    runs: u32,
    /// Runs that brakes stopped, by what stopped them.
    braked: BTreeMap<String, u32>,
}

fn source(client: IpAddr) -> IpNet {
    match client {
        IpAddr::V4(_) => IpNet::from(client),
        IpAddr::V6(address) => {
            let subnet = u128::from(address) & !u128::from(u64::MAX);
            IpNet::new(Ipv6Addr::from(subnet).into(), 64).expect("64 is a prefix length")
        }
    }
}

fn is_hostile(role: usize) -> bool {
    !ROLES[role].visible_through.is_empty()
}

fn simulate(command: &Command, binary: &Path, directory: &Path) -> Result<Day, String> {
    let start = calendar::parse("2026-03-02T00:00:00Z")?;
    let end = start + Millis::from(command.hours) * HOUR;
    let attack_ends = start + Millis::from(command.attack_hours) * HOUR;
    let plan = Plan {
        seed: command.seed,
        start,
        end,
        scale_permille: command.permille,
        block: None,
        with_attackers: false,
        shift: 0,
    };
    // Attackers come in fixed parts of the time that their cast is given.
    let siege = Plan { end: attack_ends, with_attackers: true, ..plan };
    let mut members = population::cast(&plan);
    let hostile = population::cast(&siege).into_iter().filter(|member| is_hostile(member.role));
    members.extend(hostile.map(|member| Member {
        actor: Box::new(Stubborn { tool: Some(member.actor), client: None, until: attack_ends }),
        ..member
    }));

    let mut format = Format::new("recommended")?;
    let objects = directory.join("objects");
    let stream = Stream {
        name: "amazon-apigateway-tidebook".to_owned(),
        prefix: String::new(),
        separator: b"\n",
        buffer_bytes: 5 << 20,
        buffer_age: MINUTE,
        compression: Compression::Gzip,
        duplicates_per_million: 500,
        late_per_million: 300,
    };
    let mut delivery = Delivery::new(&objects, stream, command.seed);
    let mut guard = Guard::start(binary, directory, &objects)?;
    let mut day = Day {
        roles: ROLES.iter().map(|_| Figures::default()).collect(),
        start,
        attack_ends,
        hourly: Vec::new(),
        drained: None,
        runs: 0,
        braked: BTreeMap::new(),
    };
    let mut queue: BinaryHeap<Reverse<(Millis, usize)>> =
        members.iter().enumerate().map(|(index, member)| Reverse((member.first, index))).collect();
    let mut gateway = Dice::new(command.seed, "gateway", 0);
    let mut call = Call::new();
    let mut record = Vec::new();
    let mut next_run = start + PERIOD;
    while let Some(Reverse((now, index))) = queue.pop() {
        while next_run <= now.min(end) {
            delivery.advance(next_run)?;
            guard.run(next_run, &mut day)?;
            next_run += PERIOD;
        }
        if now >= end {
            break;
        }
        let member = &mut members[index];
        call.begin(now);
        let next = member.actor.act(now, &mut call);
        let (role, source) = (member.role, source(call.client));
        let is_refused = guard.blocked.contains(&source);
        if is_refused {
            call.outcome = Outcome::BlockedByWaf;
        }
        let figures = &mut day.roles[role];
        figures.requests += 1;
        figures.refused += u64::from(is_refused);
        figures.first.entry(source).or_insert(now);
        call.settle(format.api(), &mut gateway);
        record.clear();
        format.render(&call, &mut record);
        delivery.send(now + Millis::from(call.latency_ms), &record);
        queue.extend(next.map(|next| Reverse((next, index))));
    }
    Ok(day)
}

/// An attacker who keeps trying after the tool has ended, blocked or not.
struct Stubborn {
    tool: Option<Box<dyn Actor>>,
    client: Option<IpAddr>,
    until: Millis,
}

impl Actor for Stubborn {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        let next = match (&mut self.tool, self.client) {
            (Some(tool), _) => {
                let next = tool.act(now, call);
                self.client = Some(call.client);
                if next.is_none() {
                    self.tool = None;
                }
                next
            }
            (None, client) => {
                call.client = client.expect("the tool sent a request before it ended");
                call.user_agent.push_str("curl/8.5.0");
                call.ask_unrouted("GET", "/.env", "");
                None
            }
        };
        Some(next.unwrap_or(now + RETRY)).filter(|next| *next < self.until)
    }
}

/// The program in front of the API.
struct Guard {
    fake: FakeAws,
    binary: PathBuf,
    directory: PathBuf,
    objects: PathBuf,
    /// Sources in the sets.
    blocked: BTreeSet<IpNet>,
}

impl Guard {
    fn start(binary: &Path, directory: &Path, objects: &Path) -> Result<Self, String> {
        let fake = FakeAws::start(fake_aws::Options::default());
        for (name, version) in SETS {
            fake.create_ip_set(REGION, "REGIONAL", name, version);
        }
        let guard = Self {
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            objects: objects.to_owned(),
            blocked: BTreeSet::new(),
            fake,
        };
        let failed = |error: std::io::Error| format!("failed to write the configuration: {error}");
        fs::create_dir_all(directory).map_err(failed)?;
        fs::write(directory.join("never-block.txt"), "192.0.2.0/24 operators\n").map_err(failed)?;
        let configuration = format!(
            "never-block = [\"never-block.txt\"]\n\n[[target]]\nname = \"day\"\naccount = \
             \"{ACCOUNT}\"\nregion = \"{REGION}\"\nledger = \"ledger\"\nmode = \"enforce\"\n\
             endpoint-url = \"{}\"\nupdate-interval-ms = 0\n",
            guard.fake.url()
        );
        fs::write(directory.join("portcullis.toml"), configuration).map_err(failed)?;
        Ok(guard)
    }

    /// What a schedule runs every five minutes.
    fn run(&mut self, now: Millis, day: &mut Day) -> Result<(), String> {
        let time = calendar::rfc3339(now);
        // By itself, so that what is over leaves even when a brake stops the plan.
        let expiring = self.program("expire", &time);
        self.execute(expiring, &[])?;
        let hours = (0..=WINDOW / HOUR)
            .map(|back| self.objects.join(calendar::hour_folder(now - back * HOUR)));
        let logs: Vec<PathBuf> = hours.filter(|folder| folder.is_dir()).collect();
        day.runs += 1;
        if logs.is_empty() {
            return Ok(());
        }
        let plan = self.directory.join("plan.json");
        let mut planning = self.program("plan", &time);
        planning.args(["--target", "day", "--output", "json", "--out"]).arg(&plan).args(&logs);
        self.execute(planning, &[])?;
        let mut applying = self.program("apply", &time);
        applying.arg(&plan);
        if let Some(refusal) = self.execute(applying, &[4])? {
            *day.braked.entry(refusal).or_default() += 1;
        }
        self.blocked = SETS
            .iter()
            .filter_map(|(name, _)| self.fake.ip_set(REGION, "REGIONAL", name))
            .flat_map(|set| set.addresses)
            .map(|address| address.parse().expect("a set holds networks"))
            .collect();
        day.note(now, &self.blocked);
        Ok(())
    }

    fn program(&self, command: &str, time: &str) -> Process {
        let mut process = Process::new(&self.binary);
        process
            .args([command, "--at", time])
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/nonexistent/config")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
            .env("PORTCULLIS_CONFIG", self.directory.join("portcullis.toml"));
        process
    }

    /// Gives what the program said if it did not do what it was to do, with a code that
    /// was expected.
    fn execute(&self, mut process: Process, expected: &[i32]) -> Result<Option<String>, String> {
        let output = process
            .output()
            .map_err(|error| format!("failed to start {}: {error}", self.binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => Ok(None),
            Some(code) if expected.contains(&code) => {
                Ok(Some(said.lines().next().unwrap_or_default().to_owned()))
            }
            _ => Err(format!("{process:?} failed: {said}")),
        }
    }
}

impl Day {
    /// Notes who is in the sets after a run.
    fn note(&mut self, now: Millis, blocked: &BTreeSet<IpNet>) {
        for figures in &mut self.roles {
            for source in blocked.iter().filter(|source| figures.first.contains_key(source)) {
                figures.blocked.entry(*source).or_insert(now);
            }
        }
        if (now - self.start) % HOUR == 0 {
            self.hourly.push(blocked.len());
        }
        self.drained = match (blocked.is_empty(), self.drained) {
            (true, None) if now > self.attack_ends => Some(now),
            (true, drained) => drained,
            (false, _) => None,
        };
    }

    /// Sources of attackers: all, and those that were blocked with the time it took.
    fn sieges(&self) -> (usize, Vec<Millis>) {
        let hostile = self.roles.iter().enumerate().filter(|(role, _)| is_hostile(*role));
        let (mut all, mut times) = (0, Vec::new());
        for (_, figures) in hostile {
            all += figures.first.len();
            times.extend(figures.times());
        }
        times.sort_unstable();
        (all, times)
    }

    /// Requests of honest clients that were refused.
    fn hurt(&self) -> u64 {
        let honest = self.roles.iter().enumerate().filter(|(role, _)| !is_hostile(*role));
        honest.map(|(_, figures)| figures.refused).sum()
    }

    fn print(&self) {
        println!(
            "{:<20} {:>8} {:>8} {:>9} {:>9}  TIME TO BLOCK",
            "ROLE", "SOURCES", "BLOCKED", "REQUESTS", "REFUSED"
        );
        for (role, figures) in self.roles.iter().enumerate() {
            if figures.requests == 0 {
                continue;
            }
            let times = figures.times();
            let range = match (times.iter().min(), times.iter().max()) {
                (Some(least), Some(most)) if least == most => minutes(*least),
                (Some(least), Some(most)) => format!("{} to {}", minutes(*least), minutes(*most)),
                _ if is_hostile(role) => "never".to_owned(),
                _ => "-".to_owned(),
            };
            println!(
                "{:<20} {:>8} {:>8} {:>9} {:>9}  {range}",
                ROLES[role].name,
                figures.first.len(),
                figures.blocked.len(),
                figures.requests,
                figures.refused
            );
        }
        let (all, times) = self.sieges();
        println!();
        println!("attackers blocked          {} of {all}", times.len());
        if let Some(median) = times.get(times.len() / 2) {
            println!("median time to block       {}", minutes(*median));
        }
        println!("honest requests refused    {}", self.hurt());
        let braked: u32 = self.braked.values().sum();
        println!("runs, stopped by a brake   {}, {braked}", self.runs);
        for (refusal, runs) in &self.braked {
            println!("    {runs} × {refusal}");
        }
        let hourly: Vec<String> = self.hourly.iter().map(ToString::to_string).collect();
        println!("entries at each full hour  {}", hourly.join(" "));
        match self.drained {
            Some(at) => {
                println!(
                    "sets empty                 {} after the attack",
                    minutes(at - self.attack_ends)
                );
            }
            None => println!("sets empty                 not within the simulated time"),
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let (all, times) = self.sieges();
        let mut failures = Vec::new();
        if self.hurt() > 0 {
            failures.push(format!("{} honest requests were refused", self.hurt()));
        }
        if times.len() * 10 < all * 8 {
            failures.push(format!(
                "{} of {all} attackers were blocked, and 8 in 10 must be",
                times.len()
            ));
        }
        if self.drained.is_none() {
            failures.push("the sets were not empty at the end".to_owned());
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }
}

impl Figures {
    /// From the first request of each blocked source to its block.
    fn times(&self) -> Vec<Millis> {
        self.blocked.iter().map(|(source, blocked)| blocked - self.first[source]).collect()
    }
}

fn minutes(time: Millis) -> String {
    format!("{}.{} min", time / MINUTE, time % MINUTE * 10 / MINUTE)
}
