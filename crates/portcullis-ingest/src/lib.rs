//! Bytes of a delivered log object → [`Request`]s.
//!
//! Decides what a delivered object says: which compression it has, where one
//! record ends and the next begins, and what each record means. What cannot be
//! read becomes a [`Reject`] with its place; nothing stops the object.
//!
//! Nothing here opens a file or a socket, reads a clock or the environment.

mod address;
mod ahead;
mod batch;
mod combined;
mod compression;
mod cut;
mod detect;
mod direct;
mod draft;
mod field;
mod format;
mod forwarded;
mod frame;
mod glued;
mod join;
mod json;
mod keyed;
mod minute;
mod object;
mod object_time;
#[cfg(feature = "parquet")]
mod parquet;
mod parts;
mod redact;
mod reject;
mod request;
mod smuggled;
mod source;
mod tally;
mod template;
mod timestamp;
mod untrusted;
mod value;
mod variable;
mod window;
mod xml;

pub use address::{parse_address, source_network};
pub use field::{Field, FieldSet};
pub use format::{LogFormat, PRESETS, Preset};
pub use join::{Join, Joined};
pub use object::{Incomplete, ObjectReport, ReadOptions, Sink, read_object, read_object_ahead};
#[cfg(feature = "parquet")]
pub use parquet::parquet_rows;
pub use parts::{Part, read_object_in_parts};
pub use redact::redacted;
pub use reject::{Reject, RejectReason};
pub use request::{Origin, Request, WafAction};
pub use template::TemplateError;
pub use timestamp::Timestamp;
pub use untrusted::{Escaped, Untrusted, UntrustedBuf, is_unsafe_to_print};
