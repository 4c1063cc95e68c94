//! Remediation held against the promises that it makes, from outside.

mod incumbents;
mod invariants;
mod world;
