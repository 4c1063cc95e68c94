//! Remediation held against the promises that it makes, from outside.

mod incumbents;
mod invariants;
mod never_block;
mod world;
