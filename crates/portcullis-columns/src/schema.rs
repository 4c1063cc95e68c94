//! The tables: names, types and units of their columns.
//!
//! Columns may be added under one version of the schema; none is taken away, renamed or
//! given another meaning. Every column may be empty: a log tells what its format has.

use std::fmt::Write as _;

/// Version of the tables' shape.
pub const SCHEMA_VERSION: u32 = 1;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A point in time, in milliseconds since 1970 in UTC.
    Time,
    /// A whole number of 64 bits.
    Integer,
    /// Yes or no.
    Boolean,
}

impl Kind {
    /// The name in the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "time",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name, the same in every output.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// The unit of a number; empty where it counts or names something.
    pub unit: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// A table's name and columns, in the order of every output.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// The name of the table.
    pub table: &'static str,
    /// The columns.
    pub columns: &'static [Column],
}

impl Schema {
    /// The columns as a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| column | type | unit | says |\n|---|---|---|---|\n");
        for column in self.columns {
            let Column { name, kind, unit, about } = column;
            let kind = kind.name();
            writeln!(text, "| `{name}` | {kind} | {unit} | {about} |")
                .expect("writing to a string does not fail");
        }
        text
    }
}

const fn text(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Text, unit: "", about }
}

const fn time(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Time, unit: "ms, UTC", about }
}

const fn integer(name: &'static str, unit: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Integer, unit, about }
}

const fn boolean(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Boolean, unit: "", about }
}

/// One row for each request, as the log tells it and as the signatures judge it.
pub const REQUESTS: Schema = Schema {
    table: "requests",
    columns: &[
        text("id", "extended request id where logged, else the request id"),
        time("time", "when the request came"),
        text("source", "whom findings name: the IPv4 address, or the /64 of an IPv6 address"),
        text("client", "address of the client"),
        text("method", "HTTP method"),
        text("path", "path as logged, percent-encoding kept"),
        text("query", "query string without `?`"),
        text("route", "route template or route key"),
        integer("status", "", "status code of the response"),
        text("user_agent", "`User-Agent` header"),
        text("host", "`Host` header or the API's domain name"),
        text("referer", "`Referer` header"),
        text("protocol", "such as `HTTP/1.1`"),
        integer("response_bytes", "bytes", "length of the response's body"),
        integer("latency_ms", "ms", "time until the response"),
        text("api_id", "API identifier"),
        text("stage", "deployment stage"),
        text("api_key_id", "id of the API key, never the key"),
        text("principal", "the caller as the authorizer, IAM or Cognito names it"),
        text("error_type", "gateway response type"),
        text("waf_action", "what AWS WAF decided: ALLOW, BLOCK, CAPTCHA, CHALLENGE"),
        text("waf_rule", "the AWS WAF rule that decided"),
        text("waf_labels", "labels of AWS WAF, separated by commas"),
        text("ja3", "JA3 fingerprint of the TLS client"),
        text("ja4", "JA4 fingerprint of the TLS client"),
        text("country", "two-letter country that AWS logged"),
        text("forwarded_for", "`X-Forwarded-For` header: all but its last part may be a lie"),
        text("outcome", "answered, failed, attempt, blocked or unknown"),
        integer("score", "points", "sum of the signatures that fired on it"),
        boolean("flagged", "whether the score reaches the block level"),
        text("rules", "the rules that fired on it, separated by blanks"),
        text("object", "key or path of the log object"),
        integer("offset", "bytes", "where the record begins in the object's unpacked text"),
    ],
};

/// One row for each rule that fired on a source.
pub const DETECTIONS: Schema = Schema {
    table: "detections",
    columns: &[
        text("source", "on whom: the IPv4 address, or the /64 of an IPv6 address"),
        text("standing", "what is thought of the source: offender or watched"),
        text("rule", "the rule's id"),
        text("title", "the rule's title"),
        text("category", "the rule's category"),
        text("severity", "if true, how bad: low, medium, high, critical"),
        text("confidence", "how likely true: low, medium, high"),
        integer("points", "points", "what it adds to the source's score"),
        integer("requests", "requests", "requests it fired on; of a rate, those in bursts"),
        integer("answered", "requests", "of those, answered 2xx; empty for a rate"),
        integer("failed", "requests", "of those, answered 5xx; empty for a rate"),
        integer("blocked", "requests", "of those, stopped by AWS WAF; empty for a rate"),
        time("first", "time of the first request; of a rate, to the second"),
        time("last", "time of the last request; of a rate, to the second"),
        text("measure", "what a rate measures; empty for a signature"),
        integer("peak", "the measure's", "highest value of a rate in one window"),
        integer("threshold", "the measure's", "the least value that fires"),
        integer("window_seconds", "s", "length of a rate's window"),
        text("suggests_only", "why it makes no offender by itself; empty when it counts in full"),
        text("evidence_object", "key or path of the object with that request"),
        integer("evidence_offset", "bytes", "where that record begins in the unpacked text"),
        time("evidence_time", "time of that request"),
        text("evidence_id", "id of that request; empty for a rate"),
        text("evidence_outcome", "what became of that request; empty for a rate"),
        text("evidence_field", "the text that the rule fired on; empty for a rate"),
        text("evidence_text", "that text, at most 256 bytes around the match"),
    ],
};

/// One row for each source that stands out.
pub const OFFENDERS: Schema = Schema {
    table: "offenders",
    columns: &[
        text("source", "the IPv4 address, or the /64 of an IPv6 address"),
        text("standing", "what is thought of it: offender or watched"),
        integer("score", "points", "sum over its detections and correlations"),
        text("severity", "the highest of its detections"),
        text("confidence", "the highest of its detections"),
        text("categories", "of its detections, separated by blanks"),
        text("rules", "that fired, weightiest first, separated by blanks"),
        integer("requests", "requests", "all of its requests"),
        integer("flagged_requests", "requests", "of those, at or over the block level"),
        integer("flagged_answered", "requests", "of those, answered 2xx"),
        integer("good_requests", "requests", "answered 2xx or 3xx and not flagged"),
        integer("principals", "", "different principals or API keys; 1,000 means at least"),
        time("first", "time of its first request"),
        time("last", "time of its last request"),
        text("grounds", "why it stands so, separated by blanks"),
        text("example_field", "which text the weightiest signature fired on"),
        text("example", "that text, at most 256 bytes around the match"),
        text("country", "two letters, as a database that was given knows it"),
        integer("as_number", "", "number of the autonomous system that it is in"),
        text("as_name", "whose that system is"),
        text("listed", "reputation lists that name it, separated by blanks"),
        text("asset", "its name where it is the operator's own"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_every_table_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/columns.md");
        let text = std::fs::read_to_string(path).expect("docs/columns.md");
        for schema in [&REQUESTS, &DETECTIONS, &OFFENDERS] {
            let table = schema.markdown();
            assert!(text.contains(&table), "docs/columns.md lacks this table:\n{table}");
        }
    }
}
