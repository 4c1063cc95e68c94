//! Decides who takes part in a simulation, with which addresses, from when on.
//!
//! The parts and their numbers are one table each, so that a new kind of client
//! is a row here and an actor elsewhere. The scale multiplies the honest clients;
//! attackers keep their numbers, because one scanner is one scanner however busy
//! the API is.

use super::actor::{self, Actor};
use super::attackers::{Enumerator, Rotator, Scanner, SlowProber, SqlTool, Stuffer};
use super::calendar::{MINUTE, Millis};
use super::dice::Dice;
use super::machines::{BROKEN_FOR, BrokenApp, BuildServer, Crawler, Monitor, Partner};
use super::network::Network;
use super::truth::Role;
use super::visitors::{Habit, Visitor};
use super::words;

/// An actor with its part and the time of its first request.
pub(crate) struct Member {
    /// Index into [`ROLES`].
    pub(crate) role: usize,
    pub(crate) first: Millis,
    pub(crate) actor: Box<dyn Actor>,
}

const BY_ERRORS: &[&str] = &["status", "client", "time"];

/// Every part that can be played.
pub(crate) const ROLES: &[Role] = &[
    Role { name: "mobile-users", kind: "people with the app", visible_through: &[] },
    Role { name: "web-users", kind: "people in a browser", visible_through: &[] },
    Role { name: "office-nat", kind: "500 people behind one address", visible_through: &[] },
    Role {
        name: "odd-text-users",
        kind: "people with unusual names and searches",
        visible_through: &[],
    },
    Role { name: "search-crawlers", kind: "search engines", visible_through: &[] },
    Role { name: "seo-bots", kind: "search-optimisation bots", visible_through: &[] },
    Role { name: "uptime-monitors", kind: "health checks every 30 s", visible_through: &[] },
    Role { name: "build-server", kind: "bursts of PUT, PATCH and DELETE", visible_through: &[] },
    Role { name: "partner-batch", kind: "fast batches of stock updates", visible_through: &[] },
    Role {
        name: "broken-app",
        kind: "an app repeating an expired token for hours",
        visible_through: &[],
    },
    Role {
        name: "scanner-nikto",
        kind: "vulnerability-scanner",
        visible_through: &[&["path"], &["user_agent"], BY_ERRORS],
    },
    Role {
        name: "scanner-nuclei",
        kind: "vulnerability-scanner",
        visible_through: &[&["path"], &["user_agent"], BY_ERRORS],
    },
    Role {
        name: "sql-tool",
        kind: "sql-injection",
        visible_through: &[&["path"], &["query"], &["user_agent"], BY_ERRORS],
    },
    Role { name: "credential-stuffer", kind: "credential-stuffing", visible_through: &[BY_ERRORS] },
    Role { name: "slow-prober", kind: "slow-probing", visible_through: &[&["path"]] },
    Role {
        name: "id-enumerator",
        kind: "id-enumeration",
        visible_through: &[BY_ERRORS, &["path", "client", "time"]],
    },
    Role { name: "ipv6-rotator", kind: "rotating-ipv6", visible_through: &[&["path"], BY_ERRORS] },
];

/// Size and place of a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) start: Millis,
    pub(crate) end: Millis,
    /// Honest clients relative to the basic number, in thousandths.
    pub(crate) scale_permille: u64,
    /// Which block of addresses; `None` is the whole range.
    pub(crate) block: Option<u32>,
    pub(crate) with_attackers: bool,
    /// Counts repetitions of the cast: the same clients, other behaviour.
    pub(crate) shift: u64,
}

/// The people behind the shared address, whatever the scale.
const OFFICE_USERS: u64 = 500;

/// Everybody who takes part.
pub(crate) fn cast(plan: &Plan) -> Vec<Member> {
    let mut casting = Casting { plan, network: Network::new(plan.block), members: Vec::new() };
    casting.people();
    casting.machines();
    if plan.with_attackers {
        casting.attackers();
    }
    casting.members
}

struct Casting<'p> {
    plan: &'p Plan,
    network: Network,
    members: Vec<Member>,
}

impl Casting<'_> {
    fn dice(&self, who: &str, number: u64) -> Dice {
        Dice::new(self.plan.seed, who, self.plan.shift << 32 | number)
    }

    fn scaled(&self, count: u64) -> u64 {
        (count * self.plan.scale_permille / 1_000).max(1)
    }

    fn add(&mut self, role: &str, first: Millis, actor: impl Actor + 'static) {
        let role = ROLES
            .iter()
            .position(|known| known.name == role)
            .expect("every actor plays a part of ROLES");
        self.members.push(Member { role, first, actor: Box::new(actor) });
    }

    fn people(&mut self) {
        for (role, habit, count) in [
            ("mobile-users", Habit::App, self.scaled(300)),
            ("web-users", Habit::Web, self.scaled(120)),
            ("odd-text-users", Habit::Odd, self.scaled(40)),
        ] {
            for number in 0..count {
                let dice = self.dice(role, number);
                // Phones are where IPv6 is common.
                let client = if habit == Habit::App && number % 5 < 2 {
                    self.network.honest_v6(0x1a2b_0000_0000_0001 + number)
                } else {
                    self.network.honest_v4()
                };
                let mut visitor = Visitor::new(habit, client, 1_000 + number, dice);
                let first = visitor.first(self.plan.start);
                self.add(role, first, visitor);
            }
        }
        let office = self.network.honest_v4();
        for number in 0..OFFICE_USERS {
            let dice = self.dice("office-nat", number);
            let mut visitor = Visitor::new(Habit::Office, office, 700_000 + number, dice);
            let first = visitor.first(self.plan.start);
            self.add("office-nat", first, visitor);
        }
    }

    fn machines(&mut self) {
        let start = self.plan.start;
        for (role, agents, pause) in [
            ("search-crawlers", &words::SEARCH_BOTS[..2], 25_000),
            ("seo-bots", words::SEO_BOTS, 50_000),
        ] {
            for (number, &agent) in agents.iter().enumerate() {
                let mut dice = self.dice(role, number as u64);
                let first = start + dice.between(0, 2 * MINUTE);
                let client = self.network.honest_v4();
                self.add(role, first, Crawler { dice, client, agent, pause, visited: 0 });
            }
        }
        for (number, &agent) in words::MONITORS[..2].iter().enumerate() {
            let mut dice = self.dice("uptime-monitors", number as u64);
            let first = start + dice.between(500, 30_000);
            let client = self.network.honest_v4();
            self.add("uptime-monitors", first, Monitor { dice, client, agent });
        }
        let (dice, client) = (self.dice("build-server", 0), self.network.honest_v4());
        self.add("build-server", start + 7 * MINUTE, BuildServer { dice, client, done: 0 });
        let (dice, client) = (self.dice("partner-batch", 0), self.network.honest_v4());
        let batch = self.scaled(400).min(5_000);
        self.add("partner-batch", start + 12 * MINUTE, Partner { dice, client, batch, done: 0 });
        let (dice, client) = (self.dice("broken-app", 0), self.network.honest_v4());
        let until = start + BROKEN_FOR;
        self.add("broken-app", start + 3 * MINUTE, BrokenApp { dice, client, user: 4_711, until });
    }

    fn attackers(&mut self) {
        let Plan { start, end, .. } = *self.plan;
        // Attacks begin at fixed shares of the simulated time, given in percent.
        let at = |percent: Millis| start + (end - start) / 100 * percent;
        for (role, agent, percent) in
            [("scanner-nikto", words::NIKTO, 15), ("scanner-nuclei", words::NUCLEI, 40)]
        {
            let (dice, client) = (self.dice(role, 0), self.network.hostile_v4());
            self.add(role, at(percent), Scanner { dice, client, agent, sent: 0, probes: 420 });
        }
        let (dice, client) = (self.dice("sql-tool", 0), self.network.hostile_v4());
        self.add("sql-tool", at(25), SqlTool { dice, client, sent: 0, probes: 360 });
        for number in 0..4 {
            let mut dice = self.dice("credential-stuffer", number);
            let client = self.network.hostile_v4();
            let agent = actor::browser(&mut dice);
            let first = at(55) + dice.between(0, 3 * MINUTE);
            let stuffer = Stuffer { dice, client, agent, sent: 0, attempts: 360 };
            self.add("credential-stuffer", first, stuffer);
        }
        let (mut dice, client) = (self.dice("slow-prober", 0), self.network.hostile_v4());
        let agent = actor::browser(&mut dice);
        self.add("slow-prober", at(2), SlowProber { dice, client, agent, sent: 0, until: end });
        let (mut dice, client) = (self.dice("id-enumerator", 0), self.network.hostile_v4());
        let agent = actor::browser(&mut dice);
        self.add("id-enumerator", at(70), Enumerator { dice, client, agent, sent: 0, ids: 2_000 });
        let (mut dice, subnet) = (self.dice("ipv6-rotator", 0), self.network.hostile_v6());
        let agent = actor::browser(&mut dice);
        let rotator = Rotator { dice, subnet, client: subnet | 1, agent, sent: 0, requests: 1_250 };
        self.add("ipv6-rotator", at(83), rotator);
    }
}
