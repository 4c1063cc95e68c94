//! End to end: the real program, on real files, judged by what comes out.

#![allow(unreachable_pub, reason = "a test has no users: `pub` means the other modules")]

mod authors;
mod bad_input;
mod buckets;
mod crawlers;
mod datasets;
mod decisions;
mod decode;
mod determinism;
mod distribution;
mod doctor;
mod enrichment;
mod exit_codes;
mod explain;
mod export;
mod faults;
mod findings_file;
mod formats;
#[cfg(feature = "lambda")]
mod functions;
mod keeping;
mod kill_loop;
#[cfg(feature = "lambda")]
mod lambda;
mod ledger;
mod lint;
mod mmdb;
mod moto;
mod oracle;
mod pipeline;
mod plan;
mod promote;
mod query;
mod refusals;
mod remediation;
mod report;
mod review;
mod rules;
mod run;
mod scan;
mod setup;
mod shared_data;
mod sources;
mod support;
mod target;
mod telling;
mod terminal;
mod tutorial;
mod watch;
#[cfg(unix)]
mod written;
