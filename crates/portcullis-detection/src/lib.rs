//! [`Request`](portcullis_ingest::Request)s → detections → [`Offender`]s.
//!
//! Decides what a request looks like ([`RuleSet::classify`]) and what a source's requests
//! amount to ([`Scan`]). Rules are data: TOML files with their own proof, see [`Rule`].
//! The result of a scan does not depend on the order of requests or on how the work was
//! split; see [`Scan`] for the law.
//!
//! Nothing here opens a file or a socket, reads a clock or the environment. What to do
//! about an offender is left to remediation.

mod account;
mod audit;
mod background;
mod calibrate;
mod compare;
mod correlation;
mod coverage;
mod crawler;
pub mod document;
mod forgery;
mod held;
mod identity;
mod journal;
mod level;
pub mod lint;
mod memory;
mod offender;
mod outcome;
mod overview;
mod rate;
mod rule;
mod scan;
mod signature;
mod source;
mod standing;
mod state;
mod suspect;
mod tally;
mod task;
mod timeline;
mod tokens;
mod traffic;
mod view;

pub use account::{Account, Answer, AskedRequest, MOST_SAME_ID, Question, RateCount, SameId};
pub use audit::{Audit, AuditedObject, Disagreement, Names};
pub use background::{Background, Backgrounds, Network};
pub use calibrate::{Budget, Calibration, Measured};
pub use compare::{Comparison, Difference, RuleChange, RuleDifference, SourceDifference, Totals};
pub use correlation::Correlation;
pub use coverage::{BlindRule, Coverage, ObjectSeen};
pub use crawler::{CrawlerError, Crawlers, HostNames};
pub use forgery::{ForgedRecord, Forgery};
pub use held::Held;
pub use identity::{Identities, LeftOut, Once, identity};
pub use level::{
    BLOCK_LEVEL, Category, Confidence, Severity, points, repetition, request_score, source_points,
};
pub use memory::Forgotten;
pub use offender::{
    Detection, Evidence, Findings, Offender, RateFigure, SuggestsOnly, window_in_words,
};
pub use outcome::{Outcome, Outcomes};
pub use overview::{Overview, Story, TextCount, Texts};
pub use rate::{HashKey, Key};
pub use rule::{
    Conditions, Example, ExampleFailure, ExampleRequest, ExampleStep, Literal, Measure, Place,
    Rate, Rule, RuleError, RuleErrorKind, RuleErrors, RuleKind, RuleSet, Signature, StatusSet,
    Subject, did_you_mean,
};
pub use scan::Scan;
pub use signature::{Census, Classifier, Hit, MAX_TEXT_BYTES, Verdict, Work};
pub use standing::{Change, Ground, Standing};
pub use state::{RuleDigest, StateError, StateKey};
pub use suspect::{Contributor, Suspect};
pub use task::{MapTask, Reading, ReduceTask, Row, Twins, identities};
pub use timeline::{Axis, Counts, Timeline};
pub use tokens::{Tokens, Whole};
pub use traffic::{SourceTraffic, Traffic};
pub use view::View;
