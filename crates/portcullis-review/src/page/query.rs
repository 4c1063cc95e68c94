//! Which sources a page lists, and in which order: as the reviewer asked in its address.
//!
//! An address can be typed, kept and sent by anybody, so every value that is not known is
//! as if it were not there. What is written again is in one order and without defaults, so
//! that the same question is the same address.

use std::fmt;

use portcullis_detection::{Category, Severity};

/// Most characters of the text that is searched for.
const MOST_TEXT: usize = 200;

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Text in the address, the rules, the user agents, the probed paths or the note.
    pub(super) text: String,
    pub(super) category: Option<Category>,
    pub(super) severity: Option<Severity>,
    /// Two letters; empty for any.
    pub(super) country: String,
    pub(super) show: Show,
    pub(super) sort: Sort,
    /// Whether the order is the other way round than usual.
    pub(super) reversed: bool,
    /// Counted from 0.
    pub(super) page: usize,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal, $title:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(super) enum $name { $($(#[$of])* $variant),* }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            fn from_name(name: &str) -> Self {
                Self::ALL.iter().copied().find(|one| one.name() == name).unwrap_or_default()
            }
        }
    };
}

named! {
    /// Which sources, by what was decided about them.
    Show {
        #[default] All = "all", "All";
        Undecided = "undecided", "Undecided";
        Approved = "approved", "Approved";
        Rejected = "rejected", "Rejected";
        Pardoned = "pardoned", "Pardoned";
        Noted = "noted", "With a note";
        Block = "block", "To be blocked";
        LeftAlone = "left-alone", "Left alone";
        Watched = "watched", "Watched";
        Worked = "worked", "May have worked";
    }
}

named! {
    /// By which column.
    Sort {
        Source = "source", "Source";
        #[default] Score = "score", "Score";
        Requests = "requests", "Requests";
        Attacks = "attacks", "Attacks";
        Good = "good", "Good";
        Last = "last", "Last seen";
        Decision = "decision", "Plan";
    }
}

impl Sort {
    /// Whether people want the greatest first.
    pub(super) const fn is_descending(self) -> bool {
        !matches!(self, Self::Source | Self::Decision)
    }
}

impl Query {
    /// Reads the part of an address behind the question mark.
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "q" => query.text = value.trim().chars().take(MOST_TEXT).collect(),
                "category" => query.category = Category::from_name(&value),
                "severity" => query.severity = Severity::from_name(&value),
                "country" if is_country(&value) => query.country = value.into_owned(),
                "show" => query.show = Show::from_name(&value),
                "sort" => query.sort = Sort::from_name(&value),
                "order" => query.reversed = value == "reversed",
                // People count pages from 1.
                "page" => query.page = value.parse::<usize>().unwrap_or(1).saturating_sub(1),
                _ => {}
            }
        }
        query
    }

    /// The same by another column; by its own column, the other way round.
    pub(super) fn sorted_by(&self, sort: Sort) -> Self {
        let reversed = self.sort == sort && !self.reversed;
        Self { sort, reversed, page: 0, ..self.clone() }
    }

    pub(super) fn on_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// Whether some sources are not asked for.
    pub(super) fn is_filtered(&self) -> bool {
        !self.text.is_empty()
            || self.category.is_some()
            || self.severity.is_some()
            || !self.country.is_empty()
            || self.show != Show::All
    }

    /// The address of the list, or of what `path` names.
    pub fn address(&self, path: &str) -> String {
        match self.to_string() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// As it stands in an address, without the question mark.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        if !self.text.is_empty() {
            pairs.append_pair("q", &self.text);
        }
        if let Some(category) = self.category {
            pairs.append_pair("category", category.name());
        }
        if let Some(severity) = self.severity {
            pairs.append_pair("severity", severity.name());
        }
        if !self.country.is_empty() {
            pairs.append_pair("country", &self.country);
        }
        if self.show != Show::default() {
            pairs.append_pair("show", self.show.name());
        }
        if self.sort != Sort::default() {
            pairs.append_pair("sort", self.sort.name());
        }
        if self.reversed {
            pairs.append_pair("order", "reversed");
        }
        if self.page > 0 {
            pairs.append_pair("page", &(self.page + 1).to_string());
        }
        f.write_str(&pairs.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_and_what_is_unknown_is_not_there() {
        for text in [
            "",
            "q=curl+%2Fa%26b&category=sqli&severity=high&show=undecided&sort=last&order=reversed&page=3",
            "country=NL&show=left-alone",
            "show=left-alone",
            "sort=source",
        ] {
            assert_eq!(Query::parse(text).to_string(), text);
        }
        for text in [
            "page=0",
            "page=x",
            "show=everything",
            "severity=<script>",
            "country=nl",
            "country=<b>",
            "x=y",
            "%ff=%ff",
        ] {
            assert_eq!(Query::parse(text), Query::default(), "{text}");
        }
    }

    #[test]
    fn the_column_of_the_order_turns_it_round() {
        let query = Query::default().sorted_by(Sort::Last);
        assert_eq!(query.to_string(), "sort=last");
        assert_eq!(query.sorted_by(Sort::Last).to_string(), "sort=last&order=reversed");
        assert_eq!(query.sorted_by(Sort::Score).to_string(), "");
    }
}
