//! Numbers, names and logged text as people read them.

use portcullis_detection::{Category, Detection, RateFigure};
use portcullis_ingest::{Timestamp, Untrusted, redacted};

/// A count: `1,234,567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 rule`, `1,204 rules`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size: `812 B`, `7.16 MiB`.
pub fn byte_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.2} {unit}") }
}

/// A share in percent: `0 %`, `under 0.1 %`, `4.2 %`, `49 %`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        0.0..0.1 => "under 0.1 %".to_owned(),
        0.1..9.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

pub use portcullis_detection::document::source_name as source;

/// A rate's figures: `412 requests in 60 s, limit 100`.
pub fn rate_in_words(rate: &RateFigure) -> String {
    rate.in_words(count)
}

/// How often a rule fired: in requests, or for a rate by its figures.
pub(crate) fn times(detection: &Detection) -> String {
    match &detection.rate {
        Some(rate) => rate_in_words(rate),
        None => counted(detection.requests, "request", "requests"),
    }
}

/// What a client wrote, fit to be shown: secrets hidden, nothing left that acts on a
/// terminal or reorders a line, cut to `most` characters. Markup is none of its
/// business: whoever puts the text into HTML or CSV escapes it for that.
pub fn shown(text: Untrusted<'_>, most: usize) -> String {
    let text = redacted(text.bytes());
    let text = Untrusted::new(&text).escaped().to_string();
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A time to the minute: `2026-03-02 09:15`.
pub(crate) fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => text,
    }
}

/// From when to when: `2026-03-02 09:15 – 11:02 UTC`.
pub(crate) fn period(first: Timestamp, last: Timestamp) -> String {
    let (first, last) = (minute(first), minute(last));
    match last.strip_prefix(&first[..11]) {
        _ if first == last => format!("{first} UTC"),
        Some(time) => format!("{first} – {time} UTC"),
        None => format!("{first} – {last} UTC"),
    }
}

/// A length of time: `1 minute`, `2 hours`, `3 days`.
pub(crate) fn length(seconds: u64) -> String {
    match seconds {
        0..7_200 => counted(seconds / 60, "minute", "minutes"),
        7_200..172_800 => counted(seconds / 3_600, "hour", "hours"),
        _ => counted(seconds / 86_400, "day", "days"),
    }
}

/// What a category is about, for those who do not know the name in rules.
pub(crate) const fn category(category: Category) -> &'static str {
    match category {
        Category::Sqli => "SQL injection",
        Category::Xss => "Cross-site scripting",
        Category::Rce => "Command and code execution",
        Category::Lfi => "File inclusion",
        Category::Traversal => "Path traversal",
        Category::Ssrf => "Server-side request forgery",
        Category::Log4shell => "JNDI lookups (Log4Shell)",
        Category::ScannerUa => "Attack tools by their user agent",
        Category::SensitiveFile => "Files that should not be public",
        Category::Webshell => "Web shells",
        Category::Protocol => "Abuse of HTTP itself",
        Category::Other => "Admin consoles and known exploits",
        Category::Rate => "Behaviour over time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_and_shares_read_well() {
        assert_eq!(
            [0, 7, 999, 1_000, 1_234_567].map(count),
            ["0", "7", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 812, 1_024, 7_507_804].map(byte_size),
            ["0 B", "812 B", "1.00 KiB", "7.16 MiB"]
        );
        assert_eq!(
            [(0, 0), (1, 5_000), (42, 1_000), (1, 2)].map(|(part, whole)| share(part, whole)),
            ["0 %", "under 0.1 %", "4.2 %", "50 %"]
        );
    }

    #[test]
    fn a_period_names_its_day_once() {
        let time = |text: &str| Timestamp::parse_rfc3339(text.as_bytes()).expect("a time");
        let first = time("2026-03-02T09:15:30Z");
        assert_eq!(period(first, time("2026-03-02T11:02:00Z")), "2026-03-02 09:15 – 11:02 UTC");
        assert_eq!(
            period(first, time("2026-03-03T00:00:00Z")),
            "2026-03-02 09:15 – 2026-03-03 00:00 UTC"
        );
        assert_eq!(period(first, first), "2026-03-02 09:15 UTC");
    }

    #[test]
    fn shown_text_hides_secrets_and_never_acts() {
        let check = |text: &str, most: usize, expected: &str| {
            assert_eq!(shown(Untrusted::new(text.as_bytes()), most), expected);
        };
        check("/a?token=abcdefghij", 80, "/a?token=[redacted]");
        check("\u{1b}[2J\u{202e}x", 80, "\\u{1b}[2J\\u{202e}x");
        check("日本語日本語", 3, "日本語…");
    }
}
