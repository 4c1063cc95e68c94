//! One target, ready to be read and changed: its sets, its ledger, and a clock.
//!
//! What a target is comes from the command line, the environment and the configuration,
//! in this order. Nothing is guessed that decides whose sets are changed: account and
//! ledger must be given, and a target among several must be named.

use std::future::Future;
use std::time::{Duration, Instant};

use portcullis_aws::{Connection, LedgerPlace, Options, Pace, SetArn, SystemClock, WafIpSets};
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    ApplyError, Clock, Ledger, LedgerStore as _, ReadError, Scope, Sets, StoreError, Target,
};
use portcullis_setup::Mode;

use crate::args::{Access, TargetOptions};
use crate::config::{Configuration, TargetSettings};
use crate::exit::Exit;
use crate::failure::Failure;

/// Sets of a target that names none.
const USUAL_SETS: [&str; 2] = ["portcullis-v4", "portcullis-v6"];

/// The lineage of a ledger that has never been saved.
const NOT_SAVED: &str = "";

/// A target with its connection.
pub struct Remote {
    runtime: tokio::runtime::Runtime,
    /// Its name in the configuration.
    pub name: String,
    /// Account, region and scope.
    pub target: Target,
    /// How far it is trusted.
    pub mode: Mode,
    /// The sets that plans are made for in this mode.
    pub set_names: Vec<String>,
    /// Sets that a blocking rule uses.
    pub blocking: Vec<String>,
    /// Sets that a counting rule uses.
    pub canary: Vec<String>,
    /// The stage that is protected, `API/STAGE`, if the configuration names it.
    pub stage: Option<String>,
    /// How AWS is reached.
    pub connection: Connection,
    /// Where the ledger is: `s3://BUCKET/PREFIX`, or a directory.
    pub ledger_location: String,
    /// The IP sets.
    pub sets: WafIpSets,
    /// The ledger.
    pub store: LedgerPlace,
    is_on_this_machine: bool,
}

impl Remote {
    /// Opens the target that was named, or the only one there is.
    pub fn open(
        options: &TargetOptions,
        access: &Access,
        configuration: &Configuration,
    ) -> Result<Self, Failure> {
        let settings = merged(options, access, configuration)?;
        let name = settings.name.clone();
        let account = settings.account.clone().ok_or_else(|| lacking(&name, "account"))?;
        let ledger = settings.ledger.clone().ok_or_else(|| lacking(&name, "ledger"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new("start waiting for AWS", &error))?;
        let endpoint_url = settings.endpoint_url.clone();
        let is_on_this_machine = endpoint_url.as_deref().is_some_and(is_loopback);
        let connection = runtime.block_on(Connection::open(&Options {
            profile: settings.profile.clone(),
            assume_role: settings.assume_role.clone(),
            region: settings.region.clone(),
            // Other servers than AWS have no names for their buckets.
            path_style: endpoint_url.is_some(),
            endpoint_url,
            ..Options::default()
        }));
        let scope = settings.scope.unwrap_or(Scope::Regional);
        let region = match (connection.region(), scope) {
            (Some(region), _) => region,
            (None, Scope::CloudFront) => "",
            (None, Scope::Regional) => return Err(lacking(&name, "region")),
        };
        let target = Target::new(&account, region, scope);
        let pace = settings.update_interval().map_or_else(Pace::default, Pace::of);
        let sets = WafIpSets::new(&connection, &target, pace);
        let halt = options.halt.clone().or_else(|| configuration.halt.clone());
        let store = LedgerPlace::open(&ledger, &connection, halt);
        let mode = settings.mode.unwrap_or_default();
        let usual = || USUAL_SETS.map(str::to_owned).to_vec();
        let named = |given: Vec<String>| -> Result<Vec<String>, Failure> {
            given.into_iter().map(|set| known_by_name(set, &sets, &target)).collect()
        };
        let blocking = named(settings.sets.clone().unwrap_or_else(usual))?;
        let canary = named(settings.canary_sets.clone().unwrap_or_default())?;
        let set_names = if mode == Mode::Canary { canary.clone() } else { blocking.clone() };
        if set_names.is_empty() {
            return Err(lacking(&name, if mode == Mode::Canary { "canary-sets" } else { "sets" }));
        }
        Ok(Self {
            runtime,
            name,
            target,
            mode,
            set_names,
            blocking,
            canary,
            stage: settings.stage,
            connection,
            ledger_location: ledger,
            sets,
            store,
            is_on_this_machine,
        })
    }

    /// Waits for what AWS answers.
    pub fn wait<Answer>(&self, answer: impl Future<Output = Answer>) -> Answer {
        self.runtime.block_on(answer)
    }

    /// The ledger as it is stored, or the one of a target that owns nothing yet. A lost one
    /// is refused: without it everything of ours would look like somebody else's.
    pub fn ledger(&self) -> Result<Ledger, Failure> {
        let ledger = self.stored_ledger()?;
        if ledger.stamp().lineage == NOT_SAVED {
            let is_lost = self.wait(self.store.is_lost());
            if is_lost.map_err(|error| self.unreadable(error))? {
                let action = format!("use the ledger of `{}`", self.name);
                let failure = Failure::because(action, ApplyError::LedgerLost.to_string());
                return Err(failure.hint(how_to_rebuild(&self.name)));
            }
        }
        Ok(ledger)
    }

    fn unreadable(&self, StoreError(error): StoreError) -> Failure {
        Failure::because(format!("read the ledger of `{}`", self.name), error).hint(format!(
            "if it is there and damaged, restore an older version of it, or move it aside and run \
             portcullis ledger rebuild --target {}; until then nothing is added and no block ends",
            self.name
        ))
    }

    /// The same, without asking whether one that is not there is lost.
    pub fn stored_ledger(&self) -> Result<Ledger, Failure> {
        let stored = self.wait(self.store.load()).map_err(|error| self.unreadable(error))?;
        let ledger = match stored {
            Some((ledger, _)) => ledger,
            None => Ledger::new(self.target.clone(), NOT_SAVED),
        };
        if ledger.target() == &self.target {
            return Ok(ledger);
        }
        let detail = format!("it is for {}, and the target is {}", ledger.target(), self.target);
        Err(Failure::because(format!("use the ledger of `{}`", self.name), detail)
            .hint("each target has a ledger of its own")
            .exit_with(Exit::Stale))
    }

    /// Why nothing may be changed, if the kill switch is pulled.
    pub fn halted(&self) -> Result<Option<String>, Failure> {
        self.wait(self.store.halted())
            .map_err(|error| Failure::new("look at the kill switch", &error))
    }

    /// The sets that plans are made for, as they are now.
    pub fn planned_sets(&self) -> Result<Sets, Failure> {
        self.read_sets(&self.set_names)
    }

    /// The canary sets, and those that block, as they are now.
    pub fn canary_and_blocking_sets(&self) -> Result<[Sets; 2], Failure> {
        for (sets, key) in [(&self.canary, "canary-sets"), (&self.blocking, "sets")] {
            if sets.is_empty() {
                return Err(lacking(&self.name, key));
            }
        }
        Ok([self.read_sets(&self.canary)?, self.read_sets(&self.blocking)?])
    }

    /// Every set that the configuration or the ledger names, as it is now.
    pub fn known_sets(&self, ledger: &Ledger) -> Result<Sets, Failure> {
        let owned = ledger.entries().values().map(|entry| entry.set.clone());
        let begun = ledger.intent().map(|intent| intent.set.clone());
        let configured = self.blocking.iter().chain(&self.canary).cloned();
        let mut names: Vec<_> = configured.chain(owned).chain(begun).collect();
        names.sort();
        names.dedup();
        self.read_sets(&names)
    }

    fn read_sets(&self, names: &[String]) -> Result<Sets, Failure> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.wait(self.sets.read_all(&names)).map_err(|error| {
            let failure = Failure::new(format!("read the IP sets of `{}`", self.name), &error);
            match error {
                ReadError::Missing(_) => failure.hint(
                    "make the set, empty, and a rule of your web ACL that uses it; portcullis \
                     makes neither",
                ),
                _ => failure,
            }
        })
    }

    /// The machine's clock, or the time that was given for a simulation.
    pub fn clock(&self, at: Option<Timestamp>) -> Result<Time, Failure> {
        match at {
            None => Ok(Time::Real),
            Some(at) if self.is_on_this_machine => Ok(Time::Given { at, since: Instant::now() }),
            Some(_) => Err(Failure::because(
                "act at another time",
                "blocks would end at the wrong time; --at is for simulations against a server on \
                 this machine, given by --endpoint-url",
            )
            .exit_with(Exit::Usage)),
        }
    }
}

/// What to do when the ledger is lost, and what it means until then.
pub fn how_to_rebuild(name: &str) -> String {
    format!(
        "portcullis ledger rebuild --target {name} makes it anew from the account; until then \
         nothing is added and no block ends"
    )
}

/// The name of a set that is given by name or by ARN; the id in an ARN is remembered.
fn known_by_name(given: String, sets: &WafIpSets, target: &Target) -> Result<String, Failure> {
    if !given.starts_with("arn:") {
        return Ok(given);
    }
    let refused = |detail: String| {
        Failure::because(format!("use the set `{}`", given.escape_default()), detail)
            .exit_with(Exit::Usage)
    };
    let Some(arn) = SetArn::parse(&given) else {
        return Err(refused("it is no ARN of an IP set".to_owned()));
    };
    if arn.target != *target {
        return Err(refused(format!("it is of {}, and the target is {target}", arn.target)));
    }
    sets.know(&arn.name, &arn.id);
    Ok(arn.name)
}

/// The settings of the named target, or of the only one, under those of the command line.
fn merged(
    options: &TargetOptions,
    access: &Access,
    configuration: &Configuration,
) -> Result<TargetSettings, Failure> {
    let names: Vec<&str> = configuration.targets().map(|target| target.name.as_str()).collect();
    let list = || format!("the configuration has `{}`", names.join("`, `"));
    let refused = |detail: String| {
        Failure::because("choose the target", detail)
            .hint("name one with --target")
            .exit_with(Exit::Usage)
    };
    let found = match &options.target {
        Some(wanted) => configuration.targets().find(|target| target.name == *wanted),
        None if names.len() > 1 => return Err(refused(list())),
        None => configuration.targets().next(),
    };
    let mut settings = match (found, &options.target) {
        (Some(found), _) => found.clone(),
        (None, Some(wanted)) if !names.is_empty() => {
            return Err(refused(format!("there is no `{wanted}`; {}", list())));
        }
        // All of it is given on the command line.
        (None, wanted) => TargetSettings {
            name: wanted.clone().unwrap_or_else(|| "default".to_owned()),
            ..TargetSettings::default()
        },
    };
    let over = |given: &Option<String>, from: &mut Option<String>| {
        if given.is_some() {
            from.clone_from(given);
        }
    };
    over(&options.account, &mut settings.account);
    over(&access.region, &mut settings.region);
    over(&options.ledger, &mut settings.ledger);
    over(&access.profile, &mut settings.profile);
    over(&access.assume_role, &mut settings.assume_role);
    over(&access.endpoint_url, &mut settings.endpoint_url);
    settings.scope = options.scope.map(Into::into).or(settings.scope);
    settings.mode = options.mode.or(settings.mode);
    if !options.sets.is_empty() {
        settings.sets = Some(options.sets.clone());
    }
    if !options.canary_sets.is_empty() {
        settings.canary_sets = Some(options.canary_sets.clone());
    }
    Ok(settings)
}

fn lacking(name: &str, key: &str) -> Failure {
    let option = if key == "sets" { "set" } else { key.trim_end_matches('s') };
    Failure::because(format!("reach the target `{name}`"), format!("its {key} is not known"))
        .hint(format!("give `{key}` in its [[target]] of portcullis.toml, or --{option}"))
        .exit_with(Exit::Usage)
}

/// Whether a URL names this machine.
fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    // `http://127.0.0.1@example.com` is not here.
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The time by which changes are made.
#[derive(Debug, Clone, Copy)]
pub enum Time {
    /// The machine's.
    Real,
    /// A time that was given, and what has passed since.
    Given {
        /// The time.
        at: Timestamp,
        /// When it was given.
        since: Instant,
    },
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        match self {
            Self::Real => SystemClock.now(),
            Self::Given { at, since } => {
                let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                let now = at.epoch_ms().saturating_add(passed);
                Timestamp::from_epoch_ms(now).unwrap_or(Timestamp::MAX)
            }
        }
    }

    async fn wait(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_this_machine() {
        for url in ["http://127.0.0.1:5000", "http://localhost", "http://[::1]:4566/", "127.0.0.1"]
        {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://wafv2.eu-west-1.amazonaws.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "http://198.51.100.7:80",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
