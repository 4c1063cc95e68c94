//! Lines of web servers in which a client chose the virtual host or the user.

use portcullis_ingest::{LogFormat, ReadOptions, Reject, Request, Sink, read_object};

const REQUEST: &str = r#""GET /?a HTTP/1.1" 404 12 "-" "x""#;
const TIME: &str = "[25/Feb/2026:06:00:00 +0000]";

/// Who each line is held against, or why it was refused.
#[derive(Default)]
struct Blamed(Vec<String>);

impl Sink for Blamed {
    fn request(&mut self, request: &Request<'_>) {
        assert_eq!(request.principal, None, "a user that a client says is no principal");
        self.0.push(request.client.map_or("-".to_owned(), |client| client.to_string()));
    }

    fn reject(&mut self, reject: &Reject<'_>) {
        let suspected = if reject.reason.suggests_forgery() { ", suspected" } else { "" };
        self.0.push(format!("{}{suspected}", reject.reason.name()));
    }
}

fn blamed(text: &str, format: Option<&LogFormat>) -> Vec<String> {
    let mut sink = Blamed::default();
    read_object("o", text.as_bytes(), format, &ReadOptions::default(), &mut sink);
    sink.0
}

/// Checks what is read of `line` among others that begin with `around`, if the format is
/// given and if it is not.
#[track_caller]
fn check(line: &str, around: &str, expected: &str) {
    let given = LogFormat::preset("combined").expect("a preset");
    let others = if around.is_empty() { 0 } else { 3 };
    let other = format!("{around} - - {TIME} {REQUEST}\n");
    let text = format!("{}{line}\n{other}", other.repeat(others));
    let text = if others == 0 { format!("{line}\n") } else { text };
    for format in [None, Some(&given)] {
        if format.is_none() && others == 0 {
            // One line that cannot be read has no format.
            continue;
        }
        let blamed = blamed(&text, format);
        assert_eq!(blamed[others], expected, "{text}");
    }
}

#[test]
fn a_host_that_is_an_address_is_not_blamed() {
    for host in
        ["198.51.100.77", "198.51.100.77:80", "2001:db8::5", "[2001:db8::5]", "[2001:db8::5]:80"]
    {
        let line = format!("{host} 203.0.113.66 - - {TIME} {REQUEST}");
        check(&line, "", "ambiguous, suspected");
        check(&line, "www.example.com 192.0.2.9", "203.0.113.66");
        check(&line, "www.example.com:443 192.0.2.9", "203.0.113.66");
    }
}

#[test]
fn a_host_of_several_words_makes_nobody_the_client() {
    for host in ["198.51.100.77 -", "x 198.51.100.77 -", "198.51.100.77 198.51.100.78 -"] {
        let line = format!("{host} 203.0.113.66 - - {TIME} {REQUEST}");
        check(&line, "", "ambiguous, suspected");
        check(&line, "www.example.com 192.0.2.9", "ambiguous, suspected");
    }
}

#[test]
fn where_the_client_stands_first_no_later_word_hides_it() {
    for behind in ["198.51.100.77 - -", "- 198.51.100.77 - -", "www.example.com - -"] {
        let line = format!("203.0.113.66 {behind} {TIME} {REQUEST}");
        check(&line, "192.0.2.9", "203.0.113.66");
        check(&line, "192.0.2.9 www.example.com", "203.0.113.66");
    }
}

#[test]
fn lines_of_both_kinds_settle_nothing() {
    let given = LogFormat::preset("combined").expect("a preset");
    let line = |front: &str| format!("{front} - - {TIME} {REQUEST}\n");
    let text =
        [line("192.0.2.9"), line("www.example.com 192.0.2.10"), line("198.51.100.77 203.0.113.66")]
            .concat();
    for format in [None, Some(&given)] {
        assert_eq!(blamed(&text, format), ["192.0.2.9", "192.0.2.10", "ambiguous, suspected"]);
    }
}

#[test]
fn no_user_hides_a_request() {
    for user in [
        "a [b",
        "[x]",
        "[",
        "a [b]",
        "a [25/Feb/2026:06:00:00 +0000]",
        "[25/Feb/2026:06:00:00 +0000] [25/Feb/2026:06:00:00 +0000]",
        r"a [25/Feb/2026:06:00:00 +0000] \x22GET / HTTP/1.1\x22 200 5",
        r#"a [25/Feb/2026:06:00:00 +0000] \"GET / HTTP/1.1\" 200 5"#,
        "a b c",
        "",
    ] {
        let line = format!("203.0.113.66 - {user} {TIME} {REQUEST}");
        check(&line, "", "203.0.113.66");
        check(&line, "192.0.2.9", "203.0.113.66");
        check(&format!("www.example.com {line}"), "www.example.com 192.0.2.9", "203.0.113.66");
    }
}

#[test]
fn a_time_at_the_end_of_a_quoted_field_hides_no_request() {
    let end = format!("x {TIME} ");
    for fields in [
        format!(r#""GET / {end}" 404 12 "-" "x""#),
        format!(r#""GET / HTTP/1.1" 404 12 "{end}" "x""#),
        format!(r#""GET / HTTP/1.1" 404 12 "-" "{end}""#),
        format!(r#""GET / HTTP/1.1" 404 12 "-" "{end}" "{end}" 0.005 "{end}""#),
        format!(r#""GET / HTTP/1.1" 404 12 "-" "{end}" " 200 5 " " 200 5 " "x""#),
        format!(r#""GET / HTTP/1.1" 404 12 "{end}" " 200 5 " " 200 5" 1 "x""#),
    ] {
        check(&format!("203.0.113.66 - - {TIME} {fields}"), "", "203.0.113.66");
    }
}

#[test]
fn a_whole_record_in_a_user_is_a_suspected_forgery() {
    let forged =
        format!(r#"203.0.113.66 - bob {TIME} "GET / HTTP/1.1" 200 5 "-" "x" {TIME} {REQUEST}"#);
    check(&forged, "", "ambiguous, suspected");
    check(&forged, "192.0.2.9", "ambiguous, suspected");
    let many = format!(r#" {TIME} "GET / HTTP/1.1" 200 5 "-" "x""#).repeat(40);
    check(&format!("203.0.113.66 - bob{many}"), "", "ambiguous, suspected");
}
