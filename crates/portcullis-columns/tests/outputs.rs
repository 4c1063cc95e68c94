//! Hostile text in every field of a log, through every output.

#[path = "outputs/inert.rs"]
mod inert;

use proptest::prelude::*;

/// What has worked elsewhere: against terminals, spreadsheets, browsers, chats and parsers.
const ATTACKS: &[&str] = &[
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]8;;https://evil.example\u{7}link\u{1b}]8;;\u{7}",
    "\u{9b}31m\u{90}q\u{9c}\r\u{8}\u{7f}\0",
    "\u{202e}gpj.exe\u{2066}\u{2069}\u{200b}\u{200d}\u{feff}\u{2028}\u{2029}\u{061c}",
    "\u{e0001}\u{e0041}\u{fe0f}\u{115f}\u{3164}",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "=cmd|' /C calc'!A0",
    "\t=1+1",
    "\u{3000}@SUM(1)",
    "\",\"=1+1\"\r\n=1+1",
    "<script>alert(1)</script>",
    "\" onmouseover=alert(1) x=\"",
    "' autofocus onfocus=alert(1) '",
    "</style><img src=x onerror=alert(1)>",
    "</title><svg/onload=alert(1)>",
    "--><iframe src=//evil.example>",
    "javascript:alert(1)",
    "{{7*7}}${7*7}<%= 7*7 %>{% include '/etc/passwd' %}",
    "<!channel> <@U123> <https://evil.example|login> @everyone",
    "[login](https://evil.example) ![](https://evil.example/x.png) **bold**\n# heading",
    "`rm -rf /` $(reboot) ; & |",
    "{\"a\":1}\n{\"offenders\":[]}",
    "portcullis_blocked{target=\"x\"} 1\n# HELP",
    "a\\\"b\\nc\\u0000",
];

#[test]
fn what_works_elsewhere_is_inert_in_every_output() {
    for attack in ATTACKS {
        inert::check(attack.as_bytes());
        inert::check_shown(attack.as_bytes());
    }
    let all = ATTACKS.concat();
    inert::check(all.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn whatever_was_logged_every_output_is_inert(text in prop::collection::vec(any::<u8>(), 0..60)) {
        inert::check(&text);
        inert::check_shown(&text);
    }

    #[test]
    fn attacks_in_pieces_are_inert_too(
        pieces in prop::collection::vec((prop::sample::select(ATTACKS), 0..12_usize, 0..40_usize), 1..6),
    ) {
        let piece = |(attack, from, length): (&'static str, usize, usize)| {
            attack.chars().skip(from).take(length).collect::<String>()
        };
        let text: String = pieces.into_iter().map(piece).collect();
        inert::check(text.as_bytes());
        inert::check_shown(text.as_bytes());
    }
}
