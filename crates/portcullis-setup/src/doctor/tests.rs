use portcullis_ingest::{Field, FieldSet, LogFormat, Timestamp};

use super::*;
use crate::answers::Mode;

const V4: &str = "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v4/a";
const V6: &str = "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v6/b";

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(1_762_247_520_000).expect("a time of this century")
}

fn minutes_ago(minutes: i64) -> Option<Timestamp> {
    Timestamp::from_epoch_ms(now().epoch_ms() - minutes * 60_000)
}

fn set(arn: &str) -> Statement {
    Statement::Set { arn: arn.to_owned(), forwarded: None }
}

fn rule(name: &str, priority: i32, action: Action, statement: Statement) -> Rule {
    Rule { name: name.to_owned(), priority, action: Some(action), statement }
}

fn blocking_rules() -> Vec<Rule> {
    vec![
        rule("block-v6", 2, Action::Block, set(V6)),
        rule("block-v4", 1, Action::Block, set(V4)),
        rule("allow-partners", 3, Action::Allow, Statement::Other),
    ]
}

fn recommended() -> FieldSet {
    LogFormat::preset("recommended").expect("it is known").fields()
}

/// A pipeline in which nothing is amiss.
fn healthy() -> Facts {
    let v4 = ("portcullis-v4", V4, false, 7);
    let v6 = ("portcullis-v6", V6, true, 1);
    let sets = [v4, v6].map(|(name, arn, is_v6, entries)| SetFacts {
        name: name.to_owned(),
        arn: arn.to_owned(),
        is_v6,
        entries,
    });
    Facts {
        expected: Expected {
            account: "111122223333".to_owned(),
            mode: Mode::Enforce,
            sets: sets.iter().map(|set| set.name.clone()).collect(),
            canary_sets: Vec::new(),
            location: Some("s3://shop-logs/access/".to_owned()),
            trusted_proxies: Vec::new(),
            never_block: Ok(3),
        },
        caller: Answer::Known(Caller {
            account: "111122223333".to_owned(),
            arn: "arn:aws:sts::111122223333:assumed-role/portcullis-prod-doctor/portcullis"
                .to_owned(),
        }),
        stage: Answer::Known(Stage {
            api_id: "a1b2c3d4e5".to_owned(),
            name: "prod".to_owned(),
            log_destination: Some(
                "arn:aws:firehose:eu-west-1:111122223333:deliverystream/amazon-apigateway-shop"
                    .to_owned(),
            ),
            log_format: Some("a template".to_owned()),
        }),
        grade: Answer::Known(Grade {
            gives: recommended(),
            curable: Vec::new(),
            seeing: 133,
            rules: 148,
            problems: Vec::new(),
        }),
        stream: Answer::Known(Stream {
            name: "amazon-apigateway-shop".to_owned(),
            status: "ACTIVE".to_owned(),
            bucket: Some(StreamBucket {
                arn: "arn:aws:s3:::shop-logs".to_owned(),
                compression: "GZIP".to_owned(),
                interval_seconds: 60,
                size_mib: 5,
                appends_delimiter: false,
            }),
        }),
        web_acl: Answer::Known(Some(WebAcl { name: "shop".to_owned(), rules: blocking_rules() })),
        sets: Answer::Known(sets.into()),
        clock_skew_ms: Answer::Known(420),
        ledger: Answer::Known(LedgerFacts { entries: 8, ..LedgerFacts::default() }),
        runs: Answer::Known(Runs { last_good: minutes_ago(4), last_expire: minutes_ago(5) }),
        now: now(),
    }
}

/// What is not good, as `name verdict: finding`; and every such check has a remedy.
#[track_caller]
fn check(change: impl FnOnce(&mut Facts), expected: &[&str]) {
    let mut facts = healthy();
    change(&mut facts);
    let checks = examine(&facts);
    let is_sure = |check: &Check| matches!(check.verdict, Verdict::Good | Verdict::Unchecked);
    let amiss = checks.iter().filter(|check| !is_sure(check));
    let amiss: Vec<_> = amiss
        .inspect(|check| assert!(check.fix.is_some(), "{check:?} has no remedy"))
        .map(|check| format!("{} {}: {}", check.name, check.verdict.name(), check.finding))
        .collect();
    assert_eq!(amiss, expected);
}

fn known<Fact>(answer: &mut Answer<Fact>) -> &mut Fact {
    match answer {
        Answer::Known(fact) => fact,
        _ => panic!("the healthy facts are all known"),
    }
}

fn with_rules(rules: Vec<Rule>) -> impl FnOnce(&mut Facts) {
    move |facts| {
        known(&mut facts.web_acl).as_mut().expect("there is one").rules = rules;
    }
}

#[test]
fn every_check_of_a_healthy_pipeline_is_good_and_is_there_once_for_each_part() {
    check(|_| {}, &[]);
    let names: Vec<_> = examine(&healthy()).iter().map(|check| check.name).collect();
    let expected = [
        "stage",
        "access-log",
        "log-format",
        "stream",
        "stream-destination",
        "source",
        "compression",
        "buffering",
        "web-acl",
        "set-used",
        "set-used",
        "capacity",
        "capacity",
        "caller",
        "permissions",
        "never-block",
        "mode",
        "clock",
        "ledger",
        "expiry",
        "last-run",
        "last-expire",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_log_that_goes_nowhere_or_elsewhere_is_bad() {
    check(
        |facts| known(&mut facts.stage).log_destination = None,
        &["access-log bad: the stage writes no access log"],
    );
    let group = "arn:aws:logs:eu-west-1:111122223333:log-group:shop";
    check(
        |facts| known(&mut facts.stage).log_destination = Some(group.to_owned()),
        &[&format!("access-log bad: the access log goes to {group}, which is no delivery stream")],
    );
    check(
        |facts| facts.stage = Answer::Missing("NotFoundException: Invalid stage".to_owned()),
        &["stage bad: NotFoundException: Invalid stage"],
    );
}

#[test]
fn a_format_is_graded_by_what_it_does_not_show() {
    let without = |fields: &[Field]| recommended().iter().filter(|f| !fields.contains(f)).collect();
    check(
        |facts| {
            let grade = known(&mut facts.grade);
            grade.gives = without(&[Field::Path, Field::UserAgent]);
            grade.curable = vec![("path".to_owned(), 90), ("user_agent".to_owned(), 9)];
            grade.seeing = 34;
        },
        &[
            "log-format bad: it lacks path: what a request asks for is not seen",
            "log-format warning: 34 of 148 rules can look; for want of path (90), user_agent (9), \
             others are blind",
            "log-fields warning: it lacks user_agent: scanners that say what they are go unseen",
        ],
    );
    check(
        |facts| known(&mut facts.grade).gives = without(&[Field::WafAction, Field::ErrorType]),
        &["log-fields warning: it lacks waf_action: a block is never prolonged, because vain \
           tries cannot be told from news"],
    );
    check(|facts| known(&mut facts.grade).gives = without(&[Field::WafAction]), &[]);
    check(
        |facts| known(&mut facts.grade).gives = without(&[Field::Client, Field::Time]),
        &[
            "log-format bad: it lacks client: nothing can be held against anyone",
            "log-format bad: it lacks time: no rate can be measured",
        ],
    );
    check(
        |facts| known(&mut facts.grade).problems.push("no line break at the end".to_owned()),
        &["log-format warning: no line break at the end"],
    );
    check(
        |facts| facts.grade = Answer::Failed("the format cannot be read".to_owned()),
        &["log-format bad: the format cannot be read"],
    );
}

#[test]
fn a_stream_must_be_alive_of_the_right_name_and_deliver_to_a_bucket() {
    check(
        |facts| {
            let stream = known(&mut facts.stream);
            (stream.name, stream.status) = ("shop".to_owned(), "CREATING_FAILED".to_owned());
            stream.bucket = None;
        },
        &[
            "stream bad: shop is CREATING_FAILED",
            "stream-name bad: shop does not begin with amazon-apigateway-",
            "stream-destination bad: the stream does not deliver to a bucket",
        ],
    );
    check(
        |facts| {
            known(&mut facts.stream).bucket.as_mut().expect("it has one").arn += "-2";
        },
        &["source bad: s3://shop-logs/access/ is read, and the stream delivers to shop-logs-2"],
    );
    check(
        |facts| {
            let bucket = known(&mut facts.stream).bucket.as_mut().expect("it has one");
            (bucket.compression, bucket.interval_seconds) = ("UNCOMPRESSED".to_owned(), 300);
        },
        &[
            "compression warning: UNCOMPRESSED: logs are some ten times as large as they need be",
            "buffering warning: records wait up to 300 s or 5 MiB",
        ],
    );
}

#[test]
fn a_set_protects_only_by_a_rule_of_its_own_that_blocks() {
    check(
        |facts| facts.web_acl = Answer::Known(None),
        &["web-acl bad: no web ACL stands before the stage: blocks do nothing"],
    );
    let v6 = || rule("block-v6", 2, Action::Block, set(V6));
    check(
        with_rules(vec![v6()]),
        &["set-used bad: no rule of shop uses portcullis-v4: what is in it does nothing"],
    );
    check(
        with_rules(vec![v6(), rule("count", 1, Action::Count, set(V4))]),
        &["set-used bad: portcullis-v4 is used by count, which counts"],
    );
    let with_more = Statement::All(vec![set(V4), Statement::Other]);
    check(
        with_rules(vec![v6(), rule("both", 1, Action::Block, with_more)]),
        &[
            "set-used bad: portcullis-v4 is used by both, which matches only if something else does \
           too",
        ],
    );
    let either = Statement::Any(vec![Statement::Other, set(V4), set(V6)]);
    check(with_rules(vec![rule("either", 1, Action::Block, either)]), &[]);
}

#[test]
fn a_rule_that_allows_broadly_must_not_come_first() {
    let before = |statement| {
        let mut rules = blocking_rules();
        rules.push(rule("allow-first", 0, Action::Allow, statement));
        with_rules(rules)
    };
    check(
        before(Statement::Other),
        &["rule-order bad: allow-first lets requests in before our rules are asked"],
    );
    // Certain addresses are somebody's decision.
    check(before(set("arn:of:others")), &[]);
    check(before(Statement::All(vec![Statement::Other, set("arn:of:others")])), &[]);
    check(
        before(Statement::Any(vec![Statement::Other, set("arn:of:others")])),
        &["rule-order bad: allow-first lets requests in before our rules are asked"],
    );
}

#[test]
fn a_group_does_what_its_reference_lets_it_do() {
    let group = |counts: bool, overrides: Vec<(String, Action)>, rules: Answer<Vec<Rule>>| {
        let rules = Box::new(rules);
        let statement =
            Statement::Group { arn: "arn:of:group".to_owned(), rules, counts, overrides };
        with_rules(vec![Rule { name: "ours".to_owned(), priority: 1, action: None, statement }])
    };
    let rules = || Answer::Known(blocking_rules());
    check(group(false, Vec::new(), rules()), &[]);
    check(
        group(true, Vec::new(), rules()),
        &[
            "set-used bad: portcullis-v4 is used by ours/block-v4, which counts",
            "set-used bad: portcullis-v6 is used by ours/block-v6, which counts",
        ],
    );
    check(
        group(false, vec![("block-v6".to_owned(), Action::Count)], rules()),
        &["set-used bad: portcullis-v6 is used by ours/block-v6, which counts"],
    );
    let permission =
        Permission { action: "wafv2:GetRuleGroup", resource: "arn:of:group".to_owned() };
    check(
        group(false, Vec::new(), Answer::Denied { permission, detail: "no".to_owned() }),
        &["rule-group unknown: not allowed to ask: no"],
    );
}

#[test]
fn canaries_are_counted_by_a_rule_that_counts() {
    let canary = |action| {
        move |facts: &mut Facts| {
            facts.expected.mode = Mode::Canary;
            facts.expected.canary_sets = facts.expected.sets.split_off(0);
            let rules = &mut known(&mut facts.web_acl).as_mut().expect("there is one").rules;
            for rule in rules.iter_mut().filter(|rule| rule.name.starts_with("block")) {
                rule.action = Some(action);
            }
        }
    };
    check(canary(Action::Count), &[]);
    check(
        canary(Action::Block),
        &[
            "set-used bad: portcullis-v4 is used by block-v4, which blocks",
            "set-used bad: portcullis-v6 is used by block-v6, which blocks",
        ],
    );
}

#[test]
fn a_rule_must_compare_the_address_that_the_program_blocks() {
    let forwarded = |header: &str, position, matches_without| {
        let forwarded = Forwarded { header: header.to_owned(), position, matches_without };
        let statement = Statement::Set { arn: V4.to_owned(), forwarded: Some(forwarded) };
        with_rules(vec![
            rule("v4", 1, Action::Block, statement),
            rule("v6", 2, Action::Block, set(V6)),
        ])
    };
    check(
        forwarded("X-Forwarded-For", Position::Any, false),
        &["forwarded-ip bad: v4 compares X-Forwarded-For, and the program blocks the peer of the \
           connection"],
    );
    let proxied = |change: &dyn Fn(&mut Facts), expected: &[&str]| {
        check(
            |facts| {
                facts.expected.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")];
                let gives = &mut known(&mut facts.grade).gives;
                gives.insert(Field::ForwardedFor);
                change(facts);
            },
            expected,
        );
    };
    let both = |position, matches_without, header: &'static str| {
        move |facts: &mut Facts| {
            let rules = &mut known(&mut facts.web_acl).as_mut().expect("there is one").rules;
            for rule in rules {
                if let Statement::Set { forwarded, .. } = &mut rule.statement {
                    let header = header.to_owned();
                    *forwarded = Some(Forwarded { header, position, matches_without });
                }
            }
        }
    };
    proxied(&both(Position::Any, false, "x-forwarded-for"), &[]);
    let peers = ["block-v4", "block-v6"].map(|rule| {
        format!(
            "forwarded-ip bad: {rule} compares the peer of the connection, and clients behind \
             trusted proxies are blocked by X-Forwarded-For: no block matches"
        )
    });
    proxied(&|_| {}, &[&peers[0], &peers[1]]);
    let told = |what: &str| {
        ["block-v4", "block-v6"].map(|rule| format!("forwarded-ip {}", what.replace("RULE", rule)))
    };
    let leftmost =
        told("warning: RULE compares the leftmost address of X-Forwarded-For, which clients write");
    proxied(&both(Position::First, false, "X-Forwarded-For"), &[&leftmost[0], &leftmost[1]]);
    let without = told("bad: RULE matches every request without X-Forwarded-For");
    proxied(&both(Position::Any, true, "X-Forwarded-For"), &[&without[0], &without[1]]);
    let other = told("bad: RULE compares True-Client-IP, and the program reads X-Forwarded-For");
    proxied(&both(Position::Any, false, "True-Client-IP"), &[&other[0], &other[1]]);
    check(
        |facts| {
            facts.expected.trusted_proxies = vec!["192.0.2.0/24".parse().expect("a network")];
            both(Position::Any, false, "X-Forwarded-For")(facts);
        },
        &[
            "log-fields bad: trusted proxies are configured, and the format has no X-Forwarded-For: \
           the client is the proxy",
        ],
    );
}

#[test]
fn sets_have_room_and_both_families() {
    let full = |entries| move |facts: &mut Facts| known(&mut facts.sets)[0].entries = entries;
    check(full(7_999), &[]);
    check(full(8_000), &["capacity warning: portcullis-v4 holds 8000 of 10000 entries"]);
    check(full(10_000), &["capacity bad: portcullis-v4 holds 10000 of 10000 entries"]);
    check(
        |facts| {
            known(&mut facts.sets).pop();
            facts.expected.sets.pop();
        },
        &["families warning: no set takes IPv6: such clients are never blocked"],
    );
}

#[test]
fn who_asks_and_what_the_program_is_told_are_checked_too() {
    check(
        |facts| known(&mut facts.caller).arn = "arn:aws:iam::111122223333:root".to_owned(),
        &[
            "permissions bad: arn:aws:iam::111122223333:root is the root of the account, and may do \
           everything",
        ],
    );
    check(
        |facts| known(&mut facts.caller).arn = "arn:aws:iam::111122223333:user/Admin".to_owned(),
        &["permissions warning: arn:aws:iam::111122223333:user/Admin is an administrator by its \
           name: it may do more than it needs"],
    );
    // What nobody here can look at is not called good.
    let checks = examine(&healthy());
    let unchecked = checks.iter().filter(|check| check.verdict == Verdict::Unchecked);
    assert_eq!(unchecked.map(|check| check.name).collect::<Vec<_>>(), ["permissions"]);
    check(
        |facts| known(&mut facts.caller).account = "999999999999".to_owned(),
        &[
            "caller bad: arn:aws:sts::111122223333:assumed-role/portcullis-prod-doctor/portcullis is \
           of account 999999999999, and the target is of 111122223333",
        ],
    );
    check(
        |facts| facts.expected.never_block = Ok(0),
        &["never-block bad: there is no list: nobody is blocked without one"],
    );
    check(
        |facts| facts.expected.mode = Mode::Observe,
        &["mode warning: observe: nothing is put into a set"],
    );
}

#[test]
fn five_minutes_of_skew_are_too_many_in_either_direction() {
    let skew = |ms| move |facts: &mut Facts| facts.clock_skew_ms = Answer::Known(ms);
    check(skew(300_000), &[]);
    check(skew(301_000), &["clock bad: 301 s ahead of S3"]);
    check(skew(-301_000), &["clock bad: 301 s behind S3"]);
}

#[test]
fn what_should_have_happened_and_did_not_is_bad() {
    let overdue = |minutes| {
        move |facts: &mut Facts| {
            let ledger = known(&mut facts.ledger);
            (ledger.overdue, ledger.overdue_since) = (2, minutes_ago(minutes));
        }
    };
    check(overdue(15), &[]);
    check(overdue(16), &["expiry bad: 2 entries are past their end, the first by 16 min"]);
    check(
        |facts| known(&mut facts.ledger).halted = Some("shop is down".to_owned()),
        &["halt bad: the kill switch is pulled: shop is down"],
    );
    check(
        |facts| known(&mut facts.ledger).failed_runs = 2,
        &["ledger warning: the last 2 runs that changed sets failed"],
    );
    check(
        |facts| {
            let last_good = minutes_ago(61);
            facts.runs = Answer::Known(Runs { last_good, last_expire: None });
        },
        &[
            "last-run bad: the last good run was 61 min ago",
            "last-expire bad: there was no expiry yet",
        ],
    );
    check(
        |facts| facts.runs = Answer::NotAsked("no schedule".to_owned()),
        &["last-run warning: not asked"],
    );
}

#[test]
fn what_may_not_be_asked_is_unknown_and_says_what_to_allow() {
    let permission = Permission {
        action: "firehose:DescribeDeliveryStream",
        resource: "arn:aws:firehose:eu-west-1:111122223333:deliverystream/amazon-apigateway-shop"
            .to_owned(),
    };
    let mut facts = healthy();
    facts.stream = Answer::Denied { permission, detail: "AccessDeniedException: no".to_owned() };
    let checks = examine(&facts);
    let stream = checks.iter().find(|check| check.name == "stream").expect("it is checked");
    assert_eq!(stream.verdict, Verdict::Unknown);
    assert_eq!(
        stream.fix.as_deref(),
        Some(
            "allow it: {\"Effect\":\"Allow\",\"Action\":\"firehose:DescribeDeliveryStream\",\
             \"Resource\":\"arn:aws:firehose:eu-west-1:111122223333:deliverystream/\
             amazon-apigateway-shop\"}"
        )
    );
}
