use portcullis_detection::Severity;
use portcullis_remediation::{BlockPolicy, BrakeLimits, Terms};

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let failure = Configuration::parse("portcullis.toml", text).expect_err("a wrong file");
    assert_eq!(failure.message(), expected);
}

#[test]
fn an_unknown_key_is_shown_with_what_was_meant() {
    check(
        "[[target]]\nname = \"prod\"\nregoin = \"eu-west-1\"\n",
        "failed to read the configuration\n  \
         portcullis.toml:3:1: unknown key `regoin`\n    \
         3 | regoin = \"eu-west-1\"\n      \
         | ^^^^^^ expected one of `name`, `account`, `region`, `scope`, `sets`, `canary-sets`, \
         `ledger`, `mode`, `stage`, `profile`, `assume-role`, `endpoint-url`, `update-interval-ms`\n\
         hint: did you mean `region`?",
    );
}

#[test]
fn a_name_off_the_list_is_shown_with_the_list() {
    check(
        "[[target]]\nname = \"prod\"\nmode = \"enforced\"\n",
        "failed to read the configuration\n  \
         portcullis.toml:3:8: unknown name `enforced`\n    \
         3 | mode = \"enforced\"\n      \
         |        ^^^^^^^^^^ expected one of `observe`, `suggest`, `canary`, `enforce`\n\
         hint: did you mean `enforce`?",
    );
}

#[test]
fn a_wrong_value_and_a_second_target_of_one_name_are_shown_in_their_place() {
    check(
        "[brakes]\nchange-percent = 120.0\n",
        "failed to read the configuration\n  \
         portcullis.toml:2:18: 120 is no share; expected a percentage, 0 to 100\n    \
         2 | change-percent = 120.0\n      \
         |                  ^^^^^",
    );
    check(
        "[policy]\nttl = [\"1h\", \"30d\"]\n",
        "failed to read the configuration\n  \
         portcullis.toml:2:7: step 2 is longer than 7 days; only a person blocks for longer\n    \
         2 | ttl = [\"1h\", \"30d\"]\n      \
         |       ^^^^^^^^^^^^^",
    );
    let failure = Configuration::parse(
        "portcullis.toml",
        "[[target]]\nname = \"prod\"\n[[target]]\nname = \"prod\"\n",
    );
    let message = failure.expect_err("two of a name").message();
    assert!(message.contains("portcullis.toml:3:1: there are two targets `prod`"), "{message}");
}

#[test]
fn what_is_given_replaces_the_default_and_nothing_else() {
    let text = "[brakes]\nadds-per-run = 7\nchange-percent = 2.5\nevidence-age-hours = 1\n\
                [policy]\nmin-severity = \"high\"\nttl = [\"2h\", \"1d\"]\n";
    let configuration = Configuration::parse("portcullis.toml", text).expect("a good file");
    let expected = BrakeLimits {
        adds_per_run: 7,
        change_share: 25,
        evidence_age_ms: 3_600_000,
        ..BrakeLimits::default()
    };
    assert_eq!(configuration.brakes(), expected);
    let expected = BlockPolicy {
        min_severity: Severity::High,
        terms: Terms::new(&[2 * 3_600_000, 24 * 3_600_000]).expect("good terms"),
        ..BlockPolicy::default()
    };
    assert_eq!(configuration.policy(), expected);
}
