//! What a form of the pages asks for.

use portcullis_remediation::{Ruled, Ruling, RulingError, Undecided, parse_source};

use super::{Query, Review, source_path};

/// The fields of a form, as a browser sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Why a form is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A field that a form of ours has is not there, or is not one of its values.
    #[error("the form has no usable `{0}`")]
    Field(&'static str),
    /// A source that was not found in these logs.
    #[error("no source `{0}` is under review")]
    Unknown(String),
    /// A decision that cannot be made.
    #[error(transparent)]
    Ruling(#[from] RulingError),
}

impl Form {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Where the page is that the form was on. Made from its parts, so that no form leads
    /// anywhere else.
    pub fn way_back(&self) -> String {
        let query = Query::parse(self.get("query").unwrap_or(""));
        match (self.get("from"), self.get("source").map(parse_source)) {
            (Some("plan"), _) => query.address("/plan"),
            (Some("source"), Some(Ok(source))) => query.address(&source_path(source)),
            _ => query.address("/sources"),
        }
    }
}

impl Review {
    /// Decides what the form says: its field `act` is a decision and a source, such as
    /// `approve 203.0.113.9`; `clear` takes one back, and `note` leaves it as it is. Note
    /// and length stay as they were where the form has none.
    pub fn decide(&mut self, form: &Form) -> Result<(), FormError> {
        let act = form.get("act").and_then(|act| act.split_once(' '));
        let (act, source) = act.ok_or(FormError::Field("act"))?;
        let unknown = || FormError::Unknown(source.chars().take(60).collect());
        let source = parse_source(source).map_err(|_| unknown())?;
        if !self.places.contains_key(&source) {
            return Err(unknown());
        }
        let before = self.rulings.of(source).cloned().unwrap_or_else(|| Ruling::new(None));
        let ruled = match act {
            "note" => before.ruled,
            "clear" => None,
            name => Some(Ruled::of_name(name).ok_or(FormError::Field("act"))?),
        };
        let seconds = match form.get("duration") {
            Some("") => None,
            Some(text) => Some(text.parse().map_err(|_| FormError::Field("duration"))?),
            None => before.duration_seconds(),
        };
        // Only a block has a length; what was chosen for one is dropped with it.
        let seconds = seconds.filter(|_| ruled == Some(Ruled::Approve));
        let note = form.get("note").unwrap_or(before.note());
        let ruling = Ruling::new(ruled).lasting(seconds)?.with_words(note, &self.subject.by)?;
        self.rulings.rule(source, ruling)?;
        self.replan();
        Ok(())
    }

    /// Says what happens to sources that nobody decided about: the field `undecided`.
    pub fn decide_others(&mut self, form: &Form) -> Result<(), FormError> {
        self.rulings.undecided = match form.get("undecided") {
            Some("as-planned") => Undecided::AsPlanned,
            Some("left-alone") => Undecided::LeftAlone,
            _ => return Err(FormError::Field("undecided")),
        };
        self.replan();
        Ok(())
    }
}
