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

    /// `2xx or 404`, or `4xx but 401, 403`.
    fn in_words(&self) -> String {
        let mut parts = Vec::new();
        for hundred in 1..=5_u16 {
            let codes = hundred * 100..hundred * 100 + 100;
            let (with, without): (Vec<u16>, Vec<u16>) =
                codes.partition(|code| self.contains(*code));
            let listed =
                |codes: Vec<u16>| codes.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            match (with.len(), without.len()) {
                (0, _) => {}
                (_, 0) => parts.push(format!("{hundred}xx")),
                (with, without_few) if without_few < with => {
                    parts.push(format!("{hundred}xx but {}", listed(without)));
                }
                _ => parts.push(listed(with)),
            }
        }
        parts.join(" or ")
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

    /// Which requests they leave, for a person: `answered 4xx but 401, 403`. Empty where all
    /// are left.
    pub fn in_words(&self) -> String {
        let others = [
            listed("error type ", &self.error_types),
            listed("error type not ", &self.not_error_types),
            listed("no session in ", &self.session_parameters),
        ];
        let few = Some(self.in_few_words()).filter(|words| !words.is_empty());
        few.into_iter().chain(others.into_iter().flatten()).collect::<Vec<_>>().join("; ")
    }

    /// The same without what is about a gateway's error types and about sessions.
    pub(crate) fn in_few_words(&self) -> String {
        let statuses = self.statuses.map(|statuses| format!("answered {}", statuses.in_words()));
        let parts = [statuses, listed("method ", &self.methods)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
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

fn listed(before: &str, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("{before}{}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_which_requests_are_left() {
        assert_eq!(Conditions::default().in_words(), "");
        let mut statuses = StatusSet::EMPTY;
        statuses.set(400..=499, true);
        statuses.set(401..=401, false);
        statuses.set(403..=403, false);
        statuses.set(503..=503, true);
        let conditions = Conditions {
            statuses: Some(statuses),
            methods: vec!["POST".to_owned(), "PUT".to_owned()],
            not_error_types: vec!["EXPIRED_TOKEN".to_owned()],
            ..Conditions::default()
        };
        assert_eq!(
            conditions.in_words(),
            "answered 4xx but 401, 403 or 503; method POST, PUT; error type not EXPIRED_TOKEN"
        );
        let conditions =
            Conditions { statuses: Some(StatusSet::errors()), ..Conditions::default() };
        assert_eq!(conditions.in_words(), "answered 4xx or 5xx");
    }
}
