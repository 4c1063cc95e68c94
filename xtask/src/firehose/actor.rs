//! What every simulated client has in common.

use super::calendar::Millis;
use super::call::Call;
use super::dice::Dice;
use super::words;

/// Somebody who sends requests.
pub(crate) trait Actor {
    /// Writes the request made at `now` into `call`; says when the next one comes, if ever.
    fn act(&mut self, now: Millis, call: &mut Call) -> Option<Millis>;
}

/// A browser's agent with a believable version.
pub(crate) fn browser(dice: &mut Dice) -> String {
    let version = dice.between(118, 134).to_string();
    dice.pick(words::BROWSERS).replace("{}", &version)
}
