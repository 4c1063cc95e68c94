//! Conditions that delay the statement: `if(1=1, sleep(5), 0)`.

use std::ops::Range;

use super::MOST_AHEAD;
use super::lexer::{Kind, Token};

/// The latest two calls of `if`, by the number of their token, and where they stand. Noted
/// as tokens come, because looking ahead from each costs most where nothing else is.
#[derive(Default)]
pub(super) struct Ifs([Option<(usize, Range<usize>)>; 2]);

impl Ifs {
    /// Takes note of a token. When a call of it delays the statement, as a condition does
    /// that attackers ask about, the `if` of which it is an argument.
    pub(super) fn delayed_by(
        &mut self,
        number: usize,
        token: &Token<'_>,
        next: &Token<'_>,
    ) -> Option<Range<usize>> {
        if next.kind != Kind::Open {
            return None;
        }
        if token.is_one_of(&["if", "iif"]) {
            let [latest, _] = std::mem::take(&mut self.0);
            self.0 = [Some((number, token.start..token.end())), latest];
            return None;
        }
        if !token.is_one_of(&["sleep", "benchmark", "sysdate", "pg_sleep"]) {
            return None;
        }
        // Behind the name, its bracket and the condition.
        let near = 4..MOST_AHEAD + 4;
        let asks = |(named, _): &&(usize, _)| near.contains(&(number - named));
        self.0.iter().flatten().find(asks).map(|(_, place)| place.clone())
    }
}
