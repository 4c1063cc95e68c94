//! Honest programs: crawlers, monitors, a build server, a partner's batch job,
//! and an app that is broken but means no harm.
//!
//! Each looks like an attack in one respect: crawlers ask for things that are
//! gone, monitors never sleep, the build server deletes, the partner is fast, and
//! the broken app is refused for hours.

use std::net::IpAddr;

use super::actor::Actor;
use super::calendar::{HOUR, MINUTE, Millis, SECOND};
use super::call::{Call, Outcome};
use super::dice::Dice;
use super::words;

/// A search engine's or a search-optimisation bot.
pub(crate) struct Crawler {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: &'static str,
    /// Shortest pause between two requests.
    pub(crate) pause: Millis,
    pub(crate) visited: u64,
}

impl Actor for Crawler {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(self.agent);
        match self.visited % 120 {
            // No API serves these two; every crawler asks for them all the same.
            0 => call.ask_unrouted("GET", "/robots.txt", ""),
            1 => call.ask_unrouted("GET", "/sitemap.xml", ""),
            _ if self.dice.chance(250) => {
                let category = self.dice.pick(words::CATEGORIES);
                call.ask("GET", "/categories/{slug}", &[&category]);
                call.query = format!("page={}", self.dice.between(1, 9));
            }
            _ => {
                call.ask("GET", "/products/{productId}", &[&self.dice.below(980)]);
                if self.dice.chance(60) {
                    call.outcome = Outcome::NotFound;
                }
            }
        }
        self.visited += 1;
        Some(now + self.dice.between(self.pause, 3 * self.pause))
    }
}

/// An uptime monitor.
pub(crate) struct Monitor {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) agent: &'static str,
}

impl Actor for Monitor {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(self.agent);
        call.ask("GET", "/health", &[]);
        if self.dice.chance(3) {
            call.outcome = Outcome::BackendTimedOut;
        }
        Some(now + 30 * SECOND + self.dice.between(-200, 200))
    }
}

/// A build server that sets up, changes and deletes fixtures in bursts.
pub(crate) struct BuildServer {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) done: u64,
}

impl Actor for BuildServer {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        const BURST: u64 = 36;
        call.client = self.client;
        call.user_agent.push_str("tidebook-ci/2.3 (python-requests/2.32.3)");
        call.api_key_id.push_str("ci0build77");
        call.principal.push_str("service-ci");
        let fixture = format!("run-{}-{}", self.done / BURST, self.done % 12);
        match self.done % BURST / 12 {
            0 => call.ask("PUT", "/fixtures/{name}", &[&fixture]),
            1 => call.ask("PATCH", "/fixtures/{name}", &[&fixture]),
            _ => {
                call.ask("DELETE", "/fixtures/{name}", &[&fixture]);
                call.outcome = Outcome::NoContent;
            }
        }
        match self.dice.below(20) {
            0 => call.outcome = Outcome::NotFound,
            1 => call.outcome = Outcome::Conflict,
            _ => {}
        }
        self.done += 1;
        let pause = if self.done.is_multiple_of(BURST) { 40 * MINUTE } else { 0 };
        Some(now + pause + self.dice.between(250, 900))
    }
}

/// A partner who synchronises stock in fast batches, nearly always with success.
pub(crate) struct Partner {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) batch: u64,
    pub(crate) done: u64,
}

impl Actor for Partner {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str("Java-http-client/17.0.10");
        call.api_key_id.push_str("prtn5y2m8c");
        call.principal.push_str("partner-harbour-rentals");
        if self.done.is_multiple_of(10) {
            call.ask("GET", "/partners/stock", &[]);
            call.query = format!("page={}&size=100", self.done / 10);
        } else {
            let sku = format!("HR-{:05}", self.done * 13 % 4_000);
            call.ask("PUT", "/partners/stock/{sku}", &[&sku]);
        }
        if self.dice.chance(4) {
            call.outcome = Outcome::Throttled;
        }
        self.done += 1;
        let pause = if self.done.is_multiple_of(self.batch) { 40 * MINUTE } else { 0 };
        // Three to four requests a second.
        Some(now + pause + self.dice.between(240, 360))
    }
}

/// An old app that repeats one request with an expired token until somebody updates it.
pub(crate) struct BrokenApp {
    pub(crate) dice: Dice,
    pub(crate) client: IpAddr,
    pub(crate) user: u64,
    pub(crate) until: Millis,
}

impl Actor for BrokenApp {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str("TideBook/4.1.0 (Android 9; SM-J530F) okhttp/3.12.1");
        call.api_key_id.push_str("andr4w8t3z");
        call.ask("GET", "/users/{userId}/bookings", &[&self.user]);
        call.outcome = Outcome::ExpiredToken;
        let next = now + self.dice.between(30 * SECOND, 50 * SECOND);
        (next < self.until).then_some(next)
    }
}

/// How long a broken app keeps on, at most.
pub(crate) const BROKEN_FOR: Millis = 6 * HOUR;
