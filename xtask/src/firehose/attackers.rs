//! The hostile clients, one type for each way to attack.
//!
//! Each does what its real counterparts do, at their pace, because pace is what
//! a detector has when the format shows neither path nor agent.

use std::net::IpAddr;

use super::actor::Actor;
use super::calendar::{MINUTE, Millis};
use super::call::{Call, Outcome};
use super::dice::Dice;
use super::network::Subnet;
use super::words;

/// A vulnerability scanner that does not hide: hundreds of probes in minutes.
pub(crate) struct Scanner {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: &'static str,
    pub(crate) sent: u64,
    pub(crate) probes: u64,
}

impl Actor for Scanner {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(self.agent);
        match self.sent % 5 {
            3 => {
                let payload = self.dice.pick(words::PATH_PAYLOADS);
                call.ask("GET", "/files/{name}", &[&payload]);
                call.outcome = self.dice.pick(&[Outcome::BadRequest, Outcome::NotFound]);
            }
            4 => {
                call.ask_unrouted("GET", "/index.php", self.dice.pick(words::QUERY_PAYLOADS));
            }
            _ => {
                let (file, folder) = (
                    words::SENSITIVE_PATHS[self.sent as usize % words::SENSITIVE_PATHS.len()],
                    words::FOLDERS
                        [self.sent as usize / words::SENSITIVE_PATHS.len() % words::FOLDERS.len()],
                );
                let method = if self.dice.chance(100) { "POST" } else { "GET" };
                call.ask_unrouted(method, &format!("{folder}{file}"), "");
            }
        }
        // The web ACL of a REST API catches a few of the crudest probes.
        if self.dice.chance(80) {
            call.outcome = Outcome::BlockedByWaf;
        }
        self.sent += 1;
        (self.sent < self.probes).then(|| now + self.dice.between(60, 420))
    }
}

/// A SQL-injection tool working on two parameters: one in the path, one in the query.
pub(crate) struct SqlTool {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) sent: u64,
    pub(crate) probes: u64,
}

impl Actor for SqlTool {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(words::SQLMAP);
        let number = self.dice.between(1_000, 9_999).to_string();
        let blank = self.dice.pick(&["%20", "/**/", "%09", "+"]);
        let payload = self.dice.pick(words::SQL_PAYLOADS).replace('#', &number);
        if self.sent.is_multiple_of(2) {
            // `+` is a blank only in a query.
            let blank = if blank == "+" { "%20" } else { blank };
            let segment = payload.replace('~', blank);
            call.ask("GET", "/products/{productId}", &[&segment]);
        } else {
            call.ask("GET", "/products", &[]);
            call.query = format!("category={}&page=1", payload.replace('~', blank));
        }
        call.outcome = match self.dice.below(10) {
            0..6 => Outcome::BadRequest,
            6..8 => Outcome::BackendFailed,
            _ => Outcome::Done,
        };
        self.sent += 1;
        (self.sent < self.probes).then(|| now + self.dice.between(80, 240))
    }
}

/// One address of a credential stuffer: stolen passwords and guessed API keys.
pub(crate) struct Stuffer {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: String,
    pub(crate) sent: u64,
    pub(crate) attempts: u64,
}

impl Actor for Stuffer {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(&self.agent);
        call.referer.push_str("https://www.tidebook.example/login");
        if self.dice.chance(120) {
            call.ask("GET", "/partners/stock", &[]);
            call.outcome = Outcome::InvalidApiKey;
        } else {
            call.ask("POST", "/auth/login", &[]);
            // A few stolen passwords still work.
            call.outcome = if self.dice.chance(4) { Outcome::Done } else { Outcome::WrongPassword };
        }
        self.sent += 1;
        (self.sent < self.attempts).then(|| now + self.dice.between(250, 650))
    }
}

/// A patient prober with a browser's agent: one sensitive path every few minutes.
pub(crate) struct SlowProber {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: String,
    pub(crate) sent: u64,
    pub(crate) until: Millis,
}

impl Actor for SlowProber {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(&self.agent);
        let path = words::SENSITIVE_PATHS[self.sent as usize % words::SENSITIVE_PATHS.len()];
        call.ask_unrouted("GET", path, "");
        self.sent += 1;
        let next = now + self.dice.between(2 * MINUTE, 5 * MINUTE);
        (next < self.until).then_some(next)
    }
}

/// A logged-in client that walks through other people's orders by number.
pub(crate) struct Enumerator {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: String,
    pub(crate) sent: u64,
    pub(crate) ids: u64,
}

impl Actor for Enumerator {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(&self.agent);
        call.principal.push_str("user-90210");
        call.ask("GET", "/orders/{orderId}", &[&(100_000 + self.sent)]);
        call.outcome = match self.dice.below(100) {
            0..50 => Outcome::Forbidden,
            50..96 => Outcome::NotFound,
            _ => Outcome::Done,
        };
        self.sent += 1;
        (self.sent < self.ids).then(|| now + self.dice.between(40, 160))
    }
}

/// A client with a whole IPv6 /64 that takes a new address every few requests.
pub(crate) struct Rotator {
    pub(crate) dice: Dice,
    pub(crate) subnet: Subnet,
    pub(crate) client: IpAddr,
    pub(crate) agent: String,
    pub(crate) sent: u64,
    pub(crate) requests: u64,
}

impl Actor for Rotator {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        if self.sent == 0 || self.dice.chance(700) {
            self.client = self.subnet | self.dice.bits();
        }
        call.client = self.client;
        call.user_agent.push_str(&self.agent);
        if self.dice.chance(500) {
            call.ask("POST", "/auth/login", &[]);
            call.outcome = Outcome::WrongPassword;
        } else {
            call.ask_unrouted("GET", self.dice.pick(words::SENSITIVE_PATHS), "");
        }
        self.sent += 1;
        (self.sent < self.requests).then(|| now + self.dice.between(150, 450))
    }
}
