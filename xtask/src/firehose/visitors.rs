//! People: users of the app, of the web site, behind one office address, and
//! those with unusual names.
//!
//! A person comes in sessions. A session follows a script with small mishaps: a
//! wrong password, a token that has just expired, a product that is gone. Such
//! mishaps are what a detector must not mistake for an attack.

use std::net::IpAddr;

use super::actor::{self, Actor};
use super::calendar::{MINUTE, Millis, SECOND};
use super::call::{Call, Outcome};
use super::dice::Dice;
use super::words;

/// How a person uses the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// The app: tokens, API key of the app, many short calls.
    App,
    /// The web site: referers and searches.
    Web,
    /// One of many behind a shared address: own key, short sessions, a rush in the morning.
    Office,
    /// Odd text in searches, names and queries.
    Odd,
}

/// One person.
pub(crate) struct Visitor {
    habit: Habit,
    dice: Dice,
    client: IpAddr,
    agent: String,
    user: u64,
    key: String,
    /// Position in the session's script; 0 begins one.
    step: u32,
    session_length: u32,
    wrong_passwords_left: u32,
}

impl Visitor {
    pub(crate) fn new(habit: Habit, client: IpAddr, user: u64, mut dice: Dice) -> Self {
        let agent = match habit {
            Habit::App => {
                let version = dice.between(2, 14).to_string();
                dice.pick(words::APPS).replace("{}", &version)
            }
            Habit::Odd => dice.pick(words::ODD_AGENTS).to_owned(),
            Habit::Web | Habit::Office => actor::browser(&mut dice),
        };
        let key = match habit {
            Habit::App => dice.pick(&["ios7k2p9q1", "andr4w8t3z"]).to_owned(),
            Habit::Office => format!("office{:04}", user % 60),
            Habit::Web | Habit::Odd => String::new(),
        };
        Self {
            habit,
            dice,
            client,
            agent,
            user,
            key,
            step: 0,
            session_length: 0,
            wrong_passwords_left: 0,
        }
    }

    /// When the first session begins.
    pub(crate) fn first(&mut self, start: Millis) -> Millis {
        let rush = self.habit == Habit::Office && self.dice.chance(600);
        start + self.dice.between(0, if rush { 25 } else { 130 } * MINUTE)
    }

    fn begin_session(&mut self) {
        self.session_length = match self.habit {
            Habit::App => self.dice.between(5, 13) as u32,
            Habit::Web => self.dice.between(4, 14) as u32,
            Habit::Office => self.dice.between(1, 2) as u32,
            Habit::Odd => self.dice.between(4, 9) as u32,
        };
        let forgetful = match self.habit {
            Habit::Office => 40,
            Habit::Web => 30,
            Habit::App | Habit::Odd => 10,
        };
        self.wrong_passwords_left =
            if self.dice.chance(forgetful) { self.dice.between(1, 3) as u32 } else { 0 };
    }

    /// The first request of a session proves who asks.
    fn prove_identity(&mut self, call: &mut Call) {
        if self.wrong_passwords_left > 0 {
            self.wrong_passwords_left -= 1;
            call.ask("POST", "/auth/login", &[]);
            call.outcome = Outcome::WrongPassword;
        } else if self.habit == Habit::App {
            call.ask("POST", "/auth/token/refresh", &[]);
            self.step += 1;
        } else {
            call.ask("POST", "/auth/login", &[]);
            self.step += 1;
        }
    }

    fn browse(&mut self, call: &mut Call) {
        self.step += 1;
        call.principal.push_str("user-");
        call.principal.push_str(&self.user.to_string());
        let product = self.dice.below(900);
        match self.dice.below(100) {
            0..25 => call.ask("GET", "/products/{productId}", &[&product]),
            25..38 => {
                let category = self.dice.pick(words::CATEGORIES);
                call.ask("GET", "/categories/{slug}", &[&category]);
                call.query = format!("page={}&sort=price", self.dice.between(1, 6));
            }
            38..50 => {
                let day = self.dice.between(1, 28);
                call.ask("GET", "/availability/{date}", &[&format_args!("2026-04-{day:02}")]);
                call.query = format!("guests={}", self.dice.between(1, 6));
            }
            50..60 => call.ask("GET", "/users/{userId}/bookings", &[&self.user]),
            60..68 => {
                let booking = self.user * 7 + self.dice.below(4);
                call.ask("GET", "/bookings/{bookingId}", &[&booking]);
            }
            68..74 => {
                call.ask("POST", "/bookings", &[]);
                call.outcome = Outcome::Created;
            }
            74..84 => {
                let term = self.dice.pick(words::SEARCHES);
                call.ask("GET", "/products/search/{term}", &[&term]);
                call.query = format!("q={term}&limit=20");
            }
            84..96 => {
                call.ask("POST", "/events", &[]);
                call.outcome = Outcome::NoContent;
            }
            96..98 => {
                let file = self.dice.pick(words::FILES);
                call.ask("GET", "/files/{name}", &[&file]);
            }
            _ => call.ask("PATCH", "/users/{userId}", &[&self.user]),
        }
        self.mishap(call);
    }

    fn browse_oddly(&mut self, call: &mut Call) {
        self.step += 1;
        let term = self.dice.pick(words::ODD_SEARCHES);
        match self.dice.below(3) {
            0 => call.ask("GET", "/customers/by-name/{name}", &[&term]),
            _ => call.ask("GET", "/products/search/{term}", &[&term]),
        }
        if self.dice.chance(500) {
            call.query.push_str(self.dice.pick(words::ODD_QUERIES));
        } else {
            call.query.push_str("q=");
            call.query.push_str(term);
        }
        self.mishap(call);
    }

    fn mishap(&mut self, call: &mut Call) {
        call.outcome = match self.dice.below(1_000) {
            0..10 => Outcome::NotFound,
            10..15 => Outcome::ExpiredToken,
            15..19 => Outcome::Throttled,
            19..22 => Outcome::BackendFailed,
            22 => Outcome::BackendTimedOut,
            23..25 => Outcome::BadRequest,
            _ => call.outcome,
        };
    }
}

impl Actor for Visitor {
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis> {
        call.client = self.client;
        call.user_agent.push_str(&self.agent);
        call.api_key_id.push_str(&self.key);
        if matches!(self.habit, Habit::Web | Habit::Odd) {
            call.referer.push_str("https://www.tidebook.example/");
            call.referer.push_str(self.dice.pick(words::CATEGORIES));
        }
        if self.session_length == 0 {
            self.begin_session();
        }
        match (self.step, self.habit) {
            // The web site can be browsed without logging in.
            (0, Habit::Web | Habit::Odd) if self.dice.chance(600) => self.browse(call),
            (0, _) => self.prove_identity(call),
            (_, Habit::Odd) => self.browse_oddly(call),
            _ => self.browse(call),
        }
        if self.step <= self.session_length {
            return Some(now + self.dice.between(SECOND, 14 * SECOND));
        }
        self.step = 0;
        self.session_length = 0;
        let office = if self.habit == Habit::Office { 2 } else { 1 };
        Some(now + office * self.dice.between(50 * MINUTE, 220 * MINUTE))
    }
}
