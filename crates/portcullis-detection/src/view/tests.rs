use super::decoding::{decode_round, remove_nul};
use super::*;
use proptest::prelude::*;

fn decoded(text: &[u8], plus: Plus) -> Vec<u8> {
    let (mut out, mut spare) = (Vec::new(), Vec::new());
    decode(text, plus, &mut out, &mut spare);
    out
}

fn folded(text: &[u8]) -> Vec<u8> {
    let (mut out, mut spare) = (Vec::new(), Vec::new());
    fold(text, &mut out, &mut spare);
    out
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    let (text, expected) = (text.as_ref(), expected.as_ref());
    let out = decoded(text, Plus::Space);
    assert_eq!(
        String::from_utf8_lossy(&out),
        String::from_utf8_lossy(expected),
        "{}",
        String::from_utf8_lossy(text)
    );
    let changes = !text.eq_ignore_ascii_case(expected);
    assert_eq!(needs_decoding(text, Plus::Space), changes, "{}", String::from_utf8_lossy(text));
}

#[track_caller]
fn check_folded(text: &str, expected: &str) {
    assert_eq!(String::from_utf8_lossy(&folded(text.as_bytes())), expected, "{text}");
}

#[test]
fn percent_encodings_are_undone_to_the_end() {
    check("%2e%2E/", "../");
    check("%252e%25252e", "..");
    check("%%32%65", ".");
    check("%u002e%u002E", "..");
    check("a%00b", "ab");
    check("%%0041", "a");
    check("%25%00%32e", ".");
}

#[test]
fn what_is_no_encoding_stays() {
    check("100% of %zz %4", "100% of %zz %4");
    check("a&lt=1&amp=2&copy=3", "a&lt=1&amp=2&copy=3");
    check("c:\\temp\\name", "c:\\temp\\name");
    check("naïve 日本 ça", "naïve 日本 ça");
    check("%ud83d", "%ud83d");
}

#[test]
fn plus_is_a_space_once_and_only_in_queries() {
    check("a+b", "a b");
    check("a%2bb", "a+b");
    assert_eq!(decoded(b"a+b", Plus::Literal), b"a+b");
}

#[test]
fn wide_and_overlong_forms_become_ascii() {
    check(b"%c0%af%c1%9c%c1%1c%c0%2e", "/\\\\.");
    check("%e0%80%af%f0%80%80%af%f8%80%80%80%af%fc%80%80%80%80%af", "////");
    check("＜ＳＣＲＩＰＴ＞", "<script>");
    check("%uff1c%u2215%u02bc", "</'");
}

#[test]
fn character_references_are_undone() {
    check("&lt;a&gt;", "<a>");
    check("&#60;&#x3C;&#0000060", "<<<");
    check("&lt script&gt", "< script>");
    check("java&Tab;script&colon;", "java\tscript:");
    check("&amp;lt;", "<");
    check("&#8217;", "\u{2019}");
}

#[test]
fn escapes_of_script_strings_are_undone() {
    check("\\x3cscript\\u003e\\u{3e}", "<script>>");
    check("\\u{}\\u{110000}\\x4", "\\u{}\\u{110000}\\x4");
}

#[test]
fn sql_comments_up_to_the_end_of_a_line_are_a_space_if_they_hold_a_word_at_most() {
    let check = |text: &str, expected: &str| {
        let mut out = Vec::new();
        let changed = without_line_comments(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        assert_eq!(changed, text != expected, "{text}");
    };
    check("1#\nunion#\nselect", "1 union select");
    check("1--abc_1\r\nor-- \n1=1", "1 or 1=1");
    check("1 --\nunion -- x\nselect 1", "1  union  select 1");
    check("# ' or 1=1\nfoo-bar\nx", "# ' or 1=1\nfoo-bar\nx");
    check("a#b--c", "a#b--c");
}

#[test]
fn sql_comments_and_white_space_fold_to_a_space() {
    check_folded("union/**/all/*x*/select", "union all select");
    check_folded("1/*!50000union*/select", "1 union select");
    check_folded("a\t\n\r  b\u{a0}c", "a b c");
    check_folded("open /* without end", "open /* without end");
    check_folded("text/html", "text/html");
}

#[test]
fn shell_quoting_inside_words_is_undone() {
    check_folded("c''at${ifs}/etc/pa\"\"sswd", "cat /etc/passwd");
    check_folded("c\\at$ifs$9/e^tc", "cat /etc");
    check_folded("wh``oami$@", "whoami$@");
    check_folded("who$@ami", "whoami");
    check_folded("cat$ifs/etc", "cat /etc");
    check_folded("$ifsx 'a' '' b", "$ifsx 'a' '' b");
}

#[test]
fn paths_get_one_kind_of_slash_and_no_empty_segments() {
    let check = |text: &str, expected: &str| {
        let mut out = Vec::new();
        path(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    };
    check("/a//b\\..\\c", "/a/b/../c");
    check("/./././a/./b", "/a/b");
    check("/.\\/./x", "/x");
    check("/.git/./config", "/.git/config");
}

/// One layer of percent-encoding: of all bytes, or of what a browser would encode.
fn percent_encoded(text: &[u8], all: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        }
    }
    out
}

fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"%25".to_vec()),
        Just(b"%00".to_vec()),
        Just(b"%".to_vec()),
        Just(b"25".to_vec()),
        Just(b"&amp;".to_vec()),
        Just(b"&#x26;".to_vec()),
        Just(b"\\x5c".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"x5c".to_vec()),
        Just(b"%c0%af".to_vec()),
        Just(b"/*".to_vec()),
        Just(b"*/".to_vec()),
        Just(b"''".to_vec()),
        Just(b"\"\"a".to_vec()),
        Just(b"$ifs".to_vec()),
        Just(b"/./".to_vec()),
        Just(b"\xa0".to_vec()),
        Just(b" ".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn decoding_never_grows_and_says_when_it_is_needed(text in tricky()) {
        for plus in [Plus::Literal, Plus::Space] {
            let out = decoded(&text, plus);
            prop_assert!(out.len() <= text.len());
            if !needs_decoding(&text, plus) {
                prop_assert_eq!(out, text.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn a_decoded_text_at_its_fixpoint_decodes_to_itself_from_under_any_layers(
        text in tricky(),
        layers in 1..MOST_ROUNDS,
        all in any::<bool>(),
    ) {
        // Twice the rounds bring nearly every text to its fixpoint.
        let plain = decoded(&decoded(&text, Plus::Space), Plus::Literal);
        prop_assume!(!needs_decoding(&plain, Plus::Literal));
        prop_assert_eq!(&decoded(&plain, Plus::Literal), &plain);
        let mut wrapped = plain.clone();
        for _ in 0..layers {
            wrapped = percent_encoded(&wrapped, all);
        }
        prop_assert_eq!(decoded(&wrapped, Plus::Literal), plain);
    }

    #[test]
    fn decoding_stops_at_a_fixpoint_or_after_all_rounds(text in tricky()) {
        let out = decoded(&text, Plus::Literal);
        let mut rounds = Vec::new();
        let mut last = text.clone();
        while needs_decoding(&last, Plus::Literal) && rounds.len() < MOST_ROUNDS {
            let mut next = Vec::new();
            decode_round(&last, Plus::Literal, &mut next);
            remove_nul(&mut next);
            rounds.push(next.len());
            last = next;
        }
        prop_assert_eq!(out, last.to_ascii_lowercase());
    }

    #[test]
    fn folding_hardly_grows_and_says_when_it_is_needed(text in tricky()) {
        let text = text.to_ascii_lowercase();
        let out = folded(&text);
        prop_assert!(out.len() <= text.len() + 1);
        if !needs_folding(&text) {
            prop_assert_eq!(out, text);
        }
    }

    #[test]
    fn the_path_view_is_idempotent(text in tricky()) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        path(&text, &mut once);
        path(&once, &mut twice);
        prop_assert_eq!(&once, &twice);
        prop_assert!(once.len() <= text.len());
        if !needs_path(&text) {
            prop_assert_eq!(once, text);
        }
    }
}
