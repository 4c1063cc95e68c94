//! Says what no plan of ours exceeds, so that a plan that does is not carried out.
//!
//! A plan file is text, and its hash shows that it is the one that was reviewed, not that
//! a program wrote it: whoever edits a plan can take its hash anew. The brakes hold for
//! such a plan as for every other. Beyond them a plan could only promise what the
//! program never does: a block without an end, a plan that is good for years.

use crate::changes::{Change, Changes, PlanFileError, VALID_MS};
use crate::ipset::Family;
use crate::ruling::DURATION_SECONDS;
use crate::term::LONGEST_MS;

/// Most characters of an operation's name.
pub(crate) const LONGEST_NAME: usize = 200;

/// Most offences of one network: with one every five minutes, the shortest term, those of
/// nine years.
pub(crate) const MOST_STRIKES: u32 = 1_000_000;

/// The longest step, bent by a tenth, or what a reviewer may say, whichever is longer.
fn longest_ms() -> i64 {
    (LONGEST_MS + LONGEST_MS / 10).max(DURATION_SECONDS.end() * 1_000)
}

/// Refuses changes that no program of ours makes.
pub(crate) fn within(changes: &Changes) -> Result<(), PlanFileError> {
    let Changes { operation, created_at, not_after, base, .. } = changes;
    let is_name = operation.chars().all(|c| c.is_ascii_graphic());
    if !is_name || operation.is_empty() || operation.len() > LONGEST_NAME {
        return Err(PlanFileError::Operation(operation.clone()));
    }
    if !(0..=VALID_MS).contains(&(not_after.epoch_ms() - created_at.epoch_ms())) {
        let (created_at, not_after) = (*created_at, *not_after);
        return Err(PlanFileError::Validity { created_at, not_after });
    }
    for change in &changes.changes {
        let (Change::Add { set, network, term_ms, strikes, .. }
        | Change::Renew { set, network, term_ms, strikes, .. }) = change
        else {
            continue;
        };
        let (network, term_ms, longest_ms) = (*network, *term_ms, longest_ms());
        if !(1..=longest_ms).contains(&term_ms) {
            return Err(PlanFileError::Term { network, term_ms, longest_ms });
        }
        if !(1..=MOST_STRIKES).contains(strikes) {
            return Err(PlanFileError::Strikes { network, strikes: *strikes });
        }
        let family = base.iter().find(|base| base.set == *set).map(|base| base.family);
        if let Some(family) = family.filter(|family| *family != Family::of(network)) {
            return Err(PlanFileError::Family { network, set: set.clone(), family });
        }
    }
    Ok(())
}
