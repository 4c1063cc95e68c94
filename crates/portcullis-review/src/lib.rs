//! [`Findings`](portcullis_detection::Findings) and a
//! [`Plan`](portcullis_remediation::Plan) → what people and other tools review.
//!
//! Decides how a scan reads: [`report`] is one page that opens anywhere and runs nothing,
//! [`Review`] gives the pages on which a person decides, [`ocsf`] and [`ecs`] are for other
//! tools, [`gaps`] says what could not be seen. Text from logs is hostile and ends up in
//! browsers, so every page is a compiled template that escapes each value, and what a
//! client wrote passes through [`shown`] first, which hides secrets and leaves nothing
//! that acts.
//!
//! Nothing here opens a file or a socket, reads a clock or the environment.

mod activity;
mod chart;
mod event;
mod gaps;
mod page;
mod report;
#[cfg(test)]
mod testing;
mod words;

pub use activity::http_activity;
pub use event::{ecs, ocsf};
pub use gaps::gaps;
pub use page::{
    Form, FormError, MARK, Planner, Query, Review, SCRIPT, STYLES, Subject, Told, entrance, message,
};
pub use report::{Report, report};
pub use words::{byte_size, count, counted, rate_in_words, shown, source};
