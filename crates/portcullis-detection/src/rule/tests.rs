use super::*;

/// A rule that loads, with one part replaced.
fn rule(replaced: &str, by: &str) -> String {
    let text = r#"id = "test/one"
title = "One"
category = "other"
severity = "low"
confidence = "low"
misses = "Much."

[signature]
fields = ["path"]
contains = ["x"]

[[example]]
name = "a"
request = { path = "/x" }
fires = true
[[example]]
name = "b"
request = { path = "/X" }
fires = true
[[example]]
name = "c"
request = { path = "/" }
fires = false
[[example]]
name = "d"
request = { path = "/y" }
fires = false
"#;
    assert!(text.contains(replaced), "{replaced}");
    text.replacen(replaced, by, 1)
}

fn errors(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    match RuleSet::load(files) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

/// Checks the first error that a change to the rule gives.
#[track_caller]
fn check(replaced: &str, by: &str, expected: &str) {
    let files = [("test/one.toml".to_owned(), rule(replaced, by))];
    let errors = RuleSet::load(files).err().map(|errors| errors.errors().to_vec());
    let first = errors.unwrap_or_default().first().map(ToString::to_string);
    assert_eq!(first.as_deref(), Some(expected));
}

#[test]
fn a_good_rule_loads_and_its_examples_hold() {
    let files = [("rules/test/one.toml".to_owned(), rule("low", "low"))];
    let rules = RuleSet::load(files).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(rules.test(), []);
    assert_eq!(rules.rule("test/one").map(Rule::points), Some(8));
    assert_eq!(rules.rule("test/two").map(Rule::id), None);
}

#[test]
fn errors_show_the_line_the_place_and_the_way_out() {
    let text = rule("[\"path\"]", "[\"uri\"]");
    let expected = "failed to load rules
  test/one.toml:9:11: unknown field `uri`
    9 | fields = [\"uri\"]
      |           ^^^^^ expected one of `path`, `query`, `values`, `names`, `user_agent`, `referer`, `host`, `headers`, `method`
  hint: API Gateway logs the request path as `path`";
    assert_eq!(errors(&[("test/one.toml", &text)]), expected);
}

#[test]
fn every_mistake_has_its_message() {
    check("title", "titel", "test/one.toml:1:1: missing key `title` in a rule");
    check("\"other\"", "\"misc\"", "test/one.toml:3:12: unknown category `misc`");
    check("\"One\"", "1", "test/one.toml:2:9: `title` is a whole number, expected a text");
    check("\"Much.\"", "\" \"", "test/one.toml:6:10: `misses` is empty");
    check("[\"x\"]", "[]", "test/one.toml:10:12: `contains` is empty");
    check("[\"x\"]", "\"x\"", "test/one.toml:10:12: `contains` is a text, expected a list");
    check(
        "[\"x\"]",
        "[\"X\"]",
        "test/one.toml:10:13: literal `X` has upper-case letters, and its views are lower case",
    );
    check("contains", "segment", "test/one.toml:8:2: no literal makes a candidate");
    check("contains = [\"x\"]", "regex = ['x']", "test/one.toml:8:2: no literal makes a candidate");
    check(
        "[\"x\"]",
        "[\"x\"]\nregex = ['a(']",
        "test/one.toml:11:10: bad regular expression: unclosed group",
    );
    check(
        "\"path\"]\ncontains",
        "\"query\"]\nsegments",
        "test/one.toml:10:1: `segments` looks at paths only",
    );
    check("[\"x\"]", "[\"x\"]\nstatuses = [\"6xx\"]", "test/one.toml:11:13: bad status `6xx`");
    check(
        "[signature]",
        "[signatures]",
        "test/one.toml:1:1: a rule has either a [signature] or a [rate]",
    );
    check(
        "fires = true",
        "fires = false",
        "test/one.toml:1:1: 1 examples that fire and 3 that do not, at least 2 of each are needed",
    );
    check(
        "\"test/one\"",
        "\"test/two\"",
        "test/one.toml:1:6: id `test/two` is not the path of `test/one.toml`",
    );
    check(
        "\"One\"",
        "One",
        "test/one.toml:2:9: not valid TOML: string values must be quoted, expected literal string",
    );
}

#[test]
fn rates_have_their_own_mistakes() {
    let rate = |body: &str| {
        let text = rule("[signature]\nfields = [\"path\"]\ncontains = [\"x\"]\n", body);
        text.replace("request = {", "requests = [{ request = {")
            .replace(" }\nfires", " } }]\nfires")
    };
    let line = |body: &str| {
        let error = errors(&[("test/one.toml", &rate(body))]);
        error.lines().nth(1).unwrap_or_default().trim().to_owned()
    };
    let good = "[rate]\nby = \"client\"\nmeasure = \"count\"\nthreshold = 5\nwindow = \"60s\"\n";
    assert_eq!(line(good), "");
    assert_eq!(
        line(&good.replace("\"60s\"", "\"60\"")),
        "test/one.toml:12:10: bad duration `60` for `window`"
    );
    assert_eq!(
        line(&good.replace("\"60s\"", "\"1500ms\"")),
        "test/one.toml:12:10: bad duration `1500ms` for `window`"
    );
    assert_eq!(
        line(&good.replace("= 5", "= 0")),
        "test/one.toml:11:13: `threshold` is 0, outside 1 to 1000000000"
    );
    assert_eq!(
        line(&good.replace("\"count\"", "\"error-share\"")),
        "test/one.toml:8:2: missing key `minimum` in [rate]"
    );
    assert_eq!(
        line(&good.replace("\"client\"", "\"session\"")),
        "test/one.toml:9:6: unknown key `session`"
    );
    assert_eq!(
        line(&good.replace("\"count\"", "\"paths\"")),
        "test/one.toml:10:11: unknown measure `paths`"
    );
    let by_path = good.replace("\"client\"", "\"path\"");
    assert_eq!(line(&by_path), "");
    assert_eq!(
        line(&by_path.replace("\"count\"", "\"distinct-paths\"")),
        "test/one.toml:10:11: `distinct-paths` is never more than 1 by `path`"
    );
    assert_eq!(line(&good.replace("\"60s\"", "\"31d\"\nquiet = \"1d\"")), "");
    assert_eq!(
        line(&good.replace("\"60s\"", "\"32d\"")),
        "test/one.toml:12:10: bad duration `32d` for `window`"
    );
    assert_eq!(
        line(&format!("{good}quiet = \"0s\"\n")),
        "test/one.toml:13:9: bad duration `0s` for `quiet`"
    );
    assert_eq!(
        line(&format!("{good}minimum = 3\n")),
        "test/one.toml:13:1: unknown key `minimum` in a [rate] that is no error-share"
    );
    let bytes = good.replace("\"count\"", "\"bytes\"").replace("= 5", "= 5000000000");
    assert_eq!(line(&bytes), "");
}

#[test]
fn a_client_of_an_example_is_an_address() {
    let text = rule("path = \"/X\"", "path = \"/X\", client = \"192.0.2.300\"");
    let errors = errors(&[("test/one.toml", &text)]);
    assert!(errors.contains("`192.0.2.300` is no address"), "{errors}");
    assert!(errors.contains("hint: write an address such as 192.0.2.1"), "{errors}");
}

#[test]
fn all_errors_of_all_files_are_told_at_once() {
    let first = rule("\"low\"\nconfidence = \"low\"", "\"mild\"\nconfidence = \"sure\"");
    let second = rule("\"test/one\"", "\"test/two\"").replace("title", "name");
    let text = errors(&[("test/two.toml", &second), ("test/one.toml", &first)]);
    let places: Vec<&str> =
        text.lines().filter(|line| line.starts_with("  test/")).map(str::trim).collect();
    assert_eq!(
        places,
        [
            "test/one.toml:4:12: unknown severity `mild`",
            "test/one.toml:5:14: unknown confidence `sure`",
            "test/two.toml:1:1: missing key `title` in a rule",
            "test/two.toml:2:1: unknown key `name` in a rule",
        ]
    );
}

#[test]
fn two_files_cannot_have_one_id() {
    let text = rule("low", "low");
    let text = errors(&[("a/test/one.toml", &text), ("b/test/one.toml", &text)]);
    assert!(
        text.contains("b/test/one.toml:1:6: id `test/one` is already that of a/test/one.toml"),
        "{text}"
    );
}

#[test]
fn a_name_that_comes_twice_is_told_where_it_stands() {
    let told = "test/one.toml:25:8: another example of this rule is called `c`";
    check(r#"name = "d""#, r#"name = "c""#, told);
}

#[test]
fn a_rule_is_blind_without_any_of_its_texts_or_without_a_condition() {
    let text = rule("[\"path\"]", "[\"path\", \"values\"]\nstatuses = [200]");
    let rules = RuleSet::load([("test/one.toml".to_owned(), text)]).expect("a good rule");
    let missing = |given: &[Field]| -> Vec<&str> {
        let given = given.iter().copied().collect();
        rules.rules()[0].missing_fields(given).iter().map(Field::name).collect()
    };
    assert_eq!(missing(&[Field::Path, Field::Status]), [""; 0]);
    assert_eq!(missing(&[Field::Query, Field::Status]), [""; 0]);
    assert_eq!(missing(&[Field::Path]), ["status"]);
    assert_eq!(missing(&[Field::Status]), ["path", "query"]);
}

#[test]
fn a_rate_is_blind_without_its_key_its_measure_or_the_time() {
    let missing = |by: &str, measure: &str, given: &[Field]| -> Vec<&str> {
        let body = format!(
            "[rate]\nby = \"{by}\"\nmeasure = \"{measure}\"\nthreshold = 2\nwindow = \"1h\"\n"
        );
        let text = rule("[signature]\nfields = [\"path\"]\ncontains = [\"x\"]\n", &body)
            .replace("request = {", "requests = [{ request = {")
            .replace(" }\nfires", " } }]\nfires");
        let rules = RuleSet::load([("test/one.toml".to_owned(), text)]).expect("a good rule");
        let given = given.iter().copied().collect();
        rules.rules()[0].missing_fields(given).iter().map(Field::name).collect()
    };
    let given = [Field::Client, Field::Time];
    assert_eq!(missing("client", "count", &given), [""; 0]);
    assert_eq!(missing("network", "count", &[Field::Time]), ["client"]);
    assert_eq!(missing("api-key", "count", &given), ["api_key_id"]);
    assert_eq!(missing("principal", "bytes", &given), ["response_bytes", "principal"]);
    assert_eq!(missing("client", "distinct-objects", &given), ["path"]);
    assert_eq!(missing("status-class", "distinct-agents", &given), ["status", "user_agent"]);
}

#[test]
fn the_rules_compiled_in_have_no_error_and_their_expressions_compile() {
    let checked = RuleSet::load(RuleSet::builtin_files()).expect("rules without an error");
    assert_eq!(checked.digest(), RuleSet::builtin().digest());
}

#[test]
fn a_rate_with_one_mistake_has_one_error() {
    let text = include_str!("../../../../rules/rate/error-share.toml");
    let wrong = text.replacen("by = \"client\"", "by = \"klient\"", 1);
    assert_ne!(wrong, text);
    let files = [("rate/error-share.toml".to_owned(), wrong)];
    let errors = RuleSet::load(files).expect_err("there is no such key").errors().to_vec();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("klient"), "{}", errors[0]);
}
