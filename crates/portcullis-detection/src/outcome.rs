//! What became of a request that a rule fired on.
//!
//! A log shows what was asked, and of the answer hardly more than its status. So an
//! outcome is no verdict on the attack: a catch-all page answers every probe with 200, and
//! an injection may work behind a 500. It says where to look first: of four hundred probes
//! the three that were answered.

use portcullis_ingest::{Request, WafAction};

use crate::level::named;
use crate::rate::is_blocked;
use crate::state::{Reader, StateError, Writer};

named! {
    /// What became of one request.
    Outcome {
        /// Answered 2xx: the API gave what was asked for, or a page that it gives everybody.
        Answered = "answered",
        /// Answered 5xx: something behind the API broke, perhaps by what was sent.
        Failed = "failed",
        /// Answered with any other status: turned away, sent elsewhere, or nothing there.
        Attempt = "attempt",
        /// Stopped by AWS WAF, or answered by it with a challenge: never reached the API.
        Blocked = "blocked",
        /// The log has no status.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// The outcome of a request.
    pub fn of(request: &Request<'_>) -> Self {
        let challenged =
            matches!(request.waf_action, Some(WafAction::Captcha | WafAction::Challenge));
        match request.status {
            _ if challenged || is_blocked(request) => Self::Blocked,
            Some(200..=299) => Self::Answered,
            Some(500..=599) => Self::Failed,
            Some(_) => Self::Attempt,
            None => Self::Unknown,
        }
    }
}

/// Requests by their outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes([u64; Outcome::ALL.len()]);

impl Outcomes {
    /// How many requests had that outcome.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Every outcome and its requests.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.iter().map(|outcome| (*outcome, self.of(*outcome)))
    }

    /// All requests.
    pub const fn requests(&self) -> u64 {
        let [answered, failed, attempt, blocked, unknown] = self.0;
        answered + failed + attempt + blocked + unknown
    }

    pub(crate) fn set(&mut self, outcome: Outcome, requests: u64) {
        self.0[outcome as usize] = requests;
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        for requests in self.0 {
            writer.number(requests);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut outcomes = Self::default();
        for requests in &mut outcomes.0 {
            *requests = reader.count()?;
        }
        Ok(outcomes)
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_ingest::Untrusted;

    #[test]
    fn an_outcome_follows_from_the_status_unless_aws_waf_answered() {
        let outcome = |status, waf_action, error_type: Option<&'static [u8]>| {
            let error_type = error_type.map(Untrusted::new);
            Outcome::of(&Request { status, waf_action, error_type, ..Request::default() })
        };
        for (status, expected) in [
            (Some(101), Outcome::Attempt),
            (Some(200), Outcome::Answered),
            (Some(204), Outcome::Answered),
            (Some(302), Outcome::Attempt),
            (Some(404), Outcome::Attempt),
            (Some(502), Outcome::Failed),
            (None, Outcome::Unknown),
        ] {
            assert_eq!(outcome(status, None, None), expected, "{status:?}");
            assert_eq!(outcome(status, Some(WafAction::Allow), None), expected, "{status:?}");
            assert_eq!(outcome(status, Some(WafAction::Block), None), Outcome::Blocked);
        }
        assert_eq!(outcome(Some(403), None, Some(b"WAF_FILTERED")), Outcome::Blocked);
        assert_eq!(outcome(Some(202), Some(WafAction::Challenge), None), Outcome::Blocked);
    }

    #[test]
    fn counts_add_up() {
        let mut outcomes = Outcomes::default();
        for outcome in [Outcome::Answered, Outcome::Answered, Outcome::Unknown] {
            outcomes.add(outcome);
        }
        let mut other = outcomes;
        other.merge(outcomes);
        assert_eq!(other.of(Outcome::Answered), 4);
        assert_eq!(other.of(Outcome::Failed), 0);
        assert_eq!(other.requests(), 6);
    }
}
