//! `run` against an oracle: whatever happens to a bucket and to those who read it, every
//! request counts once.
//!
//! Objects come in any order, many in one second, late and below keys that sort before
//! others; they are replaced and deleted; records come in two objects; runs are killed at
//! their calls, and two run at once. After each step a run must count exactly the requests
//! that there are, and after it another one must leave the state as it is, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use fake_aws::{FakeAws, Hold, Options};
use serde_json::Value;

use crate::support::{Files, Record, START_EPOCH_MS, gzip};
use crate::target::with_nobody_listening;

/// Scenarios, unless the variable says otherwise: some seconds of work.
const SEEDS: u64 = 4;
const STEPS: u64 = 8;

#[test]
fn whatever_happens_every_request_counts_once() {
    let seeds = std::env::var("PORTCULLIS_ORACLE_SEEDS").ok();
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        Scenario::new(seed).play();
    }
}

/// Pseudo-random numbers (splitmix64), the same for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

struct Scenario {
    seed: u64,
    dice: Dice,
    fake: FakeAws,
    files: Files,
    /// Requests by object.
    objects: BTreeMap<String, Vec<u64>>,
    /// Requests of objects that were read and then deleted, which still count.
    gone: BTreeSet<u64>,
    next: u64,
}

impl Scenario {
    fn new(seed: u64) -> Self {
        let fake = FakeAws::start(Options { page_size: 3, ..Options::default() });
        fake.create_bucket("logs");
        fake.create_bucket("state");
        let files = Files::new();
        let state = if seed.is_multiple_of(2) { "history" } else { "s3://state/history" };
        files.write(
            "portcullis.toml",
            format!(
                "[source]\nlocation = \"s3://logs/api/\"\nstate = \"{state}\"\n\
                 region = \"eu-west-1\"\nendpoint-url = \"{}\"\n",
                fake.url()
            ),
        );
        let (objects, gone) = (BTreeMap::new(), BTreeSet::new());
        Self { seed, dice: Dice(seed), fake, files, objects, gone, next: 0 }
    }

    /// Deleted objects keep counting, and those of a replaced one do not: which of the two
    /// a scenario is about.
    fn deletes(&self) -> bool {
        self.seed / 2 % 2 == 1
    }

    fn play(mut self) {
        for step in 0..STEPS {
            for _ in 0..=self.dice.below(3) {
                self.change();
            }
            match self.dice.below(3) {
                0 => self.killed_run(),
                1 => self.two_runs(),
                _ => {}
            }
            let place = format!("seed {}, step {step}", self.seed);
            let present = self.objects.values().flatten().copied();
            let expected = present.chain(self.gone.iter().copied()).collect::<BTreeSet<_>>().len();
            let (code, analysis) = self.run();
            assert_eq!(code, Some(0), "{place}: {analysis}");
            assert_eq!(analysis["requests"], expected, "{place}: {analysis}");
            let state = self.state();
            let (code, again) = self.run();
            assert_eq!((code, &again["objects_read"]), (Some(0), &0.into()), "{place}: {again}");
            assert!(self.state() == state, "{place}: the same data gave another state");
        }
    }

    fn change(&mut self) {
        let present: Vec<String> = self.objects.keys().cloned().collect();
        let number = self.dice.below(6);
        if number == 0 && !present.is_empty() {
            let key = present[self.dice.below(present.len() as u64) as usize].clone();
            if self.deletes() {
                // What a killed run did not read may be lost with its object, so only what
                // a whole run has seen is deleted.
                self.run();
                self.fake.delete_object("logs", &key);
                self.gone.extend(self.objects.remove(&key).expect("it is there"));
            } else {
                self.put(key);
            }
        } else {
            // The hash of a number sorts before and after what is there.
            let key = format!("api/{:04x}-{}", self.dice.below(1 << 16), self.next);
            self.put(key);
        }
    }

    /// Puts an object of new records, and of some that are in others already.
    fn put(&mut self, key: String) {
        let mut ids: Vec<u64> = (self.next..self.next + 1 + self.dice.below(4)).collect();
        self.next += ids.len() as u64;
        let told: Vec<u64> = self.objects.values().flatten().copied().collect();
        for _ in 0..self.dice.below(4) {
            if !told.is_empty() {
                ids.push(told[self.dice.below(told.len() as u64) as usize]);
            }
        }
        let text: String = ids.iter().map(|id| record(*id)).collect();
        self.fake.put_object("logs", &key, &gzip(text.as_bytes()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let ago = self.dice.below(4) * 3_600;
        self.fake.date_object("logs", &key, now.as_secs() - ago);
        self.objects.insert(key, ids);
    }

    fn command(&self) -> Command {
        let arguments = ["run", "-o", "json", "--threads", "3"];
        let mut command = with_nobody_listening(&self.files.path("portcullis.toml"), &arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self) -> Child {
        self.command().spawn().expect("the program starts")
    }

    fn run(&self) -> (Option<i32>, Value) {
        let output = self.command().output().expect("the program runs");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.code() != Some(0) {
            return (output.status.code(), String::from_utf8_lossy(&output.stderr).into());
        }
        (Some(0), summary["analysis"].clone())
    }

    /// A run that dies at one of its calls, before or after that was carried out.
    fn killed_run(&mut self) {
        let place = if self.dice.below(2) == 0 { Hold::Before } else { Hold::After };
        let held = self.fake.hold(1 + self.dice.below(10), place);
        let mut run = self.start();
        let begun = SystemTime::now();
        while held.wait(Duration::from_millis(20)).is_none()
            && run.try_wait().expect("a process").is_none()
        {
            let waited = begun.elapsed().unwrap_or_default();
            assert!(waited < Duration::from_mins(1), "it neither calls nor ends");
        }
        run.kill().expect("it is killed, or over");
        run.wait().expect("it ended");
        drop(held);
        self.fake.forget_hold();
        // The lock of the dead run would be over in two minutes.
        self.fake.delete_object("state", "history.run");
    }

    fn two_runs(&self) {
        for mut run in [self.start(), self.start()] {
            let code = run.wait().expect("it ends").code();
            assert!(matches!(code, Some(0 | 6)), "{code:?}");
        }
    }

    fn state(&self) -> Vec<u8> {
        let file = || std::fs::read(self.files.path("history")).expect("it is kept");
        self.fake.object("state", "history").unwrap_or_else(file)
    }
}

/// A request; its record is the same wherever it is told.
fn record(id: u64) -> String {
    Record {
        id: format!("{id:015x}="),
        client: format!("198.51.100.{}", id % 200),
        epoch_ms: START_EPOCH_MS + i64::try_from(id).expect("small") * 977,
        path: format!("/prod/pets/{id}"),
        ..Record::default()
    }
    .line()
}
