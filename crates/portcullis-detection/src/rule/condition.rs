//! Conditions on a request that are not about text: status, method, error type.

use std::fmt;

use portcullis_ingest::{Field, FieldSet, Request};

/// Codes a status may have, in words of 64 bits: 0 to 1023.
const STATUS_WORDS: usize = 16;

/// A set of status codes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; STATUS_WORDS]);

impl StatusSet {
    /// No status.
    pub const EMPTY: Self = Self([0; STATUS_WORDS]);

    /// Every status.
    pub const ALL: Self = Self([u64::MAX; STATUS_WORDS]);

    /// The statuses from 400 up.
    pub(crate) fn errors() -> Self {
        let mut set = Self::EMPTY;
        set.set(400..=599, true);
        set
    }

    pub(crate) fn set(&mut self, codes: std::ops::RangeInclusive<u16>, present: bool) {
        for code in codes {
            if let Some(word) = self.0.get_mut(usize::from(code / 64)) {
                let bit = 1 << (code % 64);
                *word = if present { *word | bit } else { *word & !bit };
            }
        }
    }

    /// Whether the code is in the set.
    pub fn contains(&self, code: u16) -> bool {
        self.0.get(usize::from(code / 64)).is_some_and(|word| word & (1 << (code % 64)) != 0)
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..1024).filter(|code| self.contains(*code))).finish()
    }
}

/// What must hold for a request. Absent conditions hold; a present one does not hold for a
/// request of which the field is unknown, except `not_error_types` and `session_parameters`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    pub(crate) statuses: Option<StatusSet>,
    pub(crate) methods: Vec<String>,
    pub(crate) error_types: Vec<String>,
    pub(crate) not_error_types: Vec<String>,
    /// Names of query parameters that only requests of somebody signed in have.
    pub(crate) session_parameters: Vec<String>,
}

impl Conditions {
    /// Whether the request meets them.
    pub fn hold(&self, request: &Request<'_>) -> bool {
        let named = |names: &[String], text: Option<portcullis_ingest::Untrusted<'_>>| {
            text.is_some_and(|text| {
                names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(text.bytes()))
            })
        };
        self.statuses.is_none_or(|set| request.status.is_some_and(|code| set.contains(code)))
            && (self.methods.is_empty() || named(&self.methods, request.method))
            && (self.error_types.is_empty() || named(&self.error_types, request.error_type))
            && !named(&self.not_error_types, request.error_type)
            && !self.is_of_a_session(request)
    }

    /// Whether the request has a parameter of a session, and was not refused.
    fn is_of_a_session(&self, request: &Request<'_>) -> bool {
        let has = |query: &[u8]| {
            let parameters = query.split(|byte| *byte == b'&');
            let mut names = parameters.filter_map(|one| one.split(|byte| *byte == b'=').next());
            let is_known =
                |name: &[u8]| self.session_parameters.iter().any(|known| known.as_bytes() == name);
            // Who sends a password is about to sign in.
            names.clone().any(is_known) && !names.any(|name| name.ends_with(b"password"))
        };
        !self.session_parameters.is_empty()
            && request.status.is_none_or(|code| code < 400)
            && request.query.is_some_and(|query| has(query.bytes()))
    }

    /// Whether they are about anything besides the status.
    pub(crate) fn ask_more_than_status(&self) -> bool {
        let Self { statuses: _, methods, error_types, not_error_types, session_parameters } = self;
        [methods, error_types, not_error_types, session_parameters]
            .iter()
            .any(|names| !names.is_empty())
    }

    /// The fields without which they never hold.
    pub(crate) fn needs(&self) -> FieldSet {
        let mut fields = FieldSet::EMPTY;
        if self.statuses.is_some() {
            fields.insert(Field::Status);
        }
        if !self.methods.is_empty() {
            fields.insert(Field::Method);
        }
        if !self.error_types.is_empty() {
            fields.insert(Field::ErrorType);
        }
        fields
    }
}
