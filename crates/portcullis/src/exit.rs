//! Exit codes: the program's promise to scripts.

use std::process::ExitCode;

/// How a run ended. The numbers never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed.
    Failed,
    /// The question asked with `--exit-code`, `--detailed-exitcode` or a checking
    /// command was answered with "yes, there is something".
    Found,
    /// A valid result, but some input was not covered: rejects, incomplete objects.
    Partial,
    /// A brake, the kill switch or the target's mode refused.
    Braked,
    /// The plan is stale, altered, or for somewhere else.
    Stale,
    /// Another run holds the lease.
    Locked,
    /// Wrong usage. clap's own 2 would collide with [`Exit::Found`].
    Usage,
}

/// The table of every command's help.
pub const HELP: &str = "\
Exit codes:
  0    done; findings alone do not change it
  1    failed, or a location could not be read
  2    only when asked: findings (scan --exit-code), changes (plan --detailed-exitcode),
       harm or loss (backtest --fail-on-harm, --fail-on-loss), or a check that found
       something (rules test, rules lint, formats check, doctor, audit verify)
  3    partial: the result is valid, but some input was not covered (rejected records,
       incomplete objects)
  4    refused by a brake, the kill switch or the target's mode
  5    the plan is stale, altered, another one than was reviewed, or for another target
  6    another run holds the lease
  64   wrong usage                        130  interrupted
One run can have several reasons; failing wins over partial, partial over found.";

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Found => 2,
            Self::Partial => 3,
            Self::Braked => 4,
            Self::Stale => 5,
            Self::Locked => 6,
            Self::Usage => 64,
        }
    }

    /// The one that matters more when a run has two reasons: a script that sees 2 must
    /// be able to trust that everything was looked at, so what was missed wins.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let weight = |exit: Self| match exit {
            Self::Done => 0,
            Self::Found => 1,
            Self::Partial => 2,
            Self::Braked | Self::Stale | Self::Locked => 3,
            Self::Failed => 4,
            Self::Usage => 5,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_outweighs_what_was_found() {
        assert_eq!(Exit::Found.or_worse(Exit::Partial), Exit::Partial);
        assert_eq!(Exit::Partial.or_worse(Exit::Found), Exit::Partial);
        assert_eq!(Exit::Partial.or_worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Done.or_worse(Exit::Found), Exit::Found);
    }
}
