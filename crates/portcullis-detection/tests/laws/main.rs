//! Laws of detection, and what they come to for requests that people send.

mod properties;
mod sent;
mod sources;
mod verdicts;
