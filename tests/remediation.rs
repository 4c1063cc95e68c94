//! `apply` and its kin on a fake AWS: what is written, what is refused, what is undone.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Files, Record, attacks, honest, portcullis};
use crate::target::{AT, REGION, V4, V6, World, networks, with_dummy_credentials};

/// A quarter after the block of an hour is over at its longest.
const LATER: &str = "2025-11-04T11:21:00Z";

fn two_attackers(files: &Files) -> String {
    let text = honest("198.51.100.7", 40)
        + &attacks("203.0.113.9", 20)
        + &attacks("2001:db8:1:2::17", 20)
        + &attacks("198.51.100.77", 20);
    files.write("a.log", text)
}

fn done<'a>(applied: &'a Value, network: &str) -> &'a str {
    let changes = applied["changes"].as_array().expect("a list");
    let change = changes.iter().find(|change| change["network"] == network);
    change.and_then(|change| change["done"].as_str()).unwrap_or_else(|| panic!("{applied}"))
}

#[test]
fn a_plan_is_carried_out_seen_expired_and_accounted_for() {
    let world = World::new("enforce");
    world.fake.edit(REGION, "REGIONAL", V4, &["192.0.2.0/24"], &[]);
    let log = two_attackers(&world.files);
    let applied = world.block(&log, AT);
    assert_eq!(done(&applied, "203.0.113.9/32"), "added");
    assert_eq!(done(&applied, "2001:db8:1:2::/64"), "added");
    assert_eq!(world.held(V4), ["192.0.2.0/24", "203.0.113.9/32"].map(str::to_owned).into());
    assert_eq!(world.held(V6), ["2001:db8:1:2::/64".to_owned()].into());
    let status = world.status(AT);
    assert_eq!(networks(&status["blocked"]), ["2001:db8:1:2::/64", "203.0.113.9/32"]);
    assert_eq!(status["sets"][0]["foreign"], json!(["192.0.2.0/24"]));

    // Before its time nothing leaves; after it, all that is ours and nothing else.
    world.act(&["expire"], AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 2);
    let expired = world.act(&["expire"], LATER).expect_code(0).json();
    assert_eq!(done(&expired, "203.0.113.9/32"), "removed");
    assert_eq!(world.held(V4), ["192.0.2.0/24".to_owned()].into());
    assert!(world.held(V6).is_empty());

    let verified = world.run(&["audit", "verify"]).run().expect_code(0).text();
    assert_eq!(verified, "whole: 4 lines, as many as the ledger knows\n");
    let lines = world.run(&["audit", "show", "-o", "json"]).run().expect_code(0).lines();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["add", "add", "expire", "expire"].map(Some));
    let one = ["audit", "show", "-o", "json", "--network", "203.0.113.9", "--last", "1"];
    let lines = world.run(&one).run().expect_code(0).lines();
    assert_eq!((lines.len(), &lines[0]["event"]), (1, &json!("expire")));

    let account = world.files.path("ledger/audit.jsonl");
    let text = fs::read_to_string(&account).expect("the account");
    fs::write(&account, text.replace("203.0.113.9/32", "203.0.113.8/32")).expect("altered");
    let verified = world.run(&["audit", "verify"]).run().expect_code(2).text();
    assert!(verified.starts_with("not whole: audit line "), "{verified}");
}

#[test]
fn carrying_a_plan_out_twice_is_carrying_it_out_once() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    let (plan, _) = world.plan(&log, AT);
    world.act(&["apply", &plan], AT).expect_code(0);
    let (v4, v6) = (world.held(V4), world.held(V6));
    let again = world.act(&["apply", &plan], AT).expect_code(0).json();
    assert_eq!(done(&again, "203.0.113.9/32"), "already-ours");
    assert_eq!((world.held(V4), world.held(V6)), (v4, v6));
    assert_eq!(world.run(&["audit", "show", "-o", "json"]).run().lines().len(), 2);
}

#[test]
fn the_same_plan_is_the_same_bytes_and_the_same_operation() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    let (plan, hash) = world.plan(&log, AT);
    let text = fs::read(&plan).expect("the plan");
    let (plan, again) = world.plan(&log, AT);
    assert_eq!((fs::read(&plan).expect("the plan"), again), (text, hash));
    let other = world.files.write("b.log", attacks("203.0.113.10", 20));
    let operation = |path: &str| {
        let plan: Value =
            serde_json::from_slice(&fs::read(path).expect("the plan")).expect("it is JSON");
        plan["changes"]["operation"].clone()
    };
    let first = operation(&plan);
    let (plan, _) = world.plan(&other, AT);
    assert_ne!(first, operation(&plan));
}

#[test]
fn a_plan_says_by_which_rules_it_was_made() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    let rules = |more: &[&str]| {
        let plan = ["plan", &log, "--target", "prod", "--at", AT, "-o", "json"];
        let plan = world.run(&[&plan[..], more].concat()).run().expect_code(0).json();
        plan["changes"]["digests"]["rules_sha256"].as_str().map(str::to_owned)
    };
    let builtin = rules(&[]).expect("the rules are known");
    assert_eq!((builtin.len(), rules(&[]).as_ref()), (64, Some(&builtin)));
    let some = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/traversal");
    let of_others = rules(&["--rules", some]).expect("these are known too");
    assert_ne!(of_others, builtin);
    // Findings may have been made by others.
    let scan = portcullis(["scan", &log, "--for-plan", "-o", "json"]).run().expect_code(0);
    let findings = world.files.write("findings.json", &scan.stdout);
    assert_eq!(
        world
            .run(&["plan", "--findings", &findings, "--target", "prod", "--at", AT, "-o", "json"])
            .run()
            .expect_code(0)
            .json()["changes"]["digests"]["rules_sha256"],
        Value::Null
    );
}

#[test]
fn rollback_undoes_one_operation_and_release_all_the_rest() {
    let world = World::new("enforce");
    let first = world.block(&two_attackers(&world.files), AT);
    let log = world.files.write("b.log", attacks("203.0.113.10", 20));
    world.block(&log, AT);
    let operation = first["operation"].as_str().expect("a name");
    // A try says nothing of the account, whose lines are all there.
    let tried = world.run(&["rollback", operation, "--dry-run", "--at", AT]).run().expect_code(0);
    assert!(!tried.stderr.contains("warning"), "{}", tried.stderr);
    let unknown = world.act(&["rollback", "plan-of-nobody"], AT).expect_code(1);
    assert!(unknown.stderr.contains("no such operation"), "{}", unknown.stderr);
    let undone = world.act(&["rollback", operation], AT).expect_code(0).json();
    assert_eq!(done(&undone, "203.0.113.9/32"), "removed");
    assert_eq!(world.held(V4), ["203.0.113.10/32".to_owned()].into());
    assert!(world.held(V6).is_empty());
    // What a person undid stays undone for a while.
    let again = world.plan(&world.files.path("a.log"), AT).0;
    let plan: Value = serde_json::from_slice(&fs::read(again).expect("read")).expect("JSON");
    assert_eq!(plan["counts"]["additions"], 0, "{plan}");
    world.act(&["release-all"], AT).expect_code(0);
    assert!(world.held(V4).is_empty());
}

#[test]
fn a_block_lasts_as_long_as_the_configuration_says() {
    let world = World::with("enforce", "[policy]\nttl = [\"2h\", \"1d\"]");
    world.block(&two_attackers(&world.files), AT);
    world.act(&["expire"], LATER).expect_code(0);
    assert_eq!(world.held(V4).len(), 1);
    world.act(&["expire"], "2025-11-04T12:13:00Z").expect_code(0);
    assert!(world.held(V4).is_empty());
}

#[test]
fn pardon_unblocks_and_keeps_out() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    world.block(&log, AT);
    let pardoned = world.act(&["pardon", "2001:db8:1:2::99"], AT).expect_code(0).json();
    assert_eq!(done(&pardoned, "2001:db8:1:2::/64"), "removed");
    assert!(world.held(V6).is_empty());
    let status = world.status(AT);
    assert_eq!(networks(&status["overrides"]), ["2001:db8:1:2::/64"]);
    let stranger = world.act(&["pardon", "198.51.100.77"], AT).expect_code(0).json();
    assert_eq!(done(&stranger, "198.51.100.77/32"), "forgiven");
    assert_eq!(world.status(AT)["overrides"].as_array().map(Vec::len), Some(2));
    let ran = world.run(&["pardon", "nobody"]).run().expect_code(64);
    assert!(ran.stderr.contains("nobody"), "{}", ran.stderr);
}

#[test]
fn the_mode_decides_who_may_block() {
    for (mode, with_hash, code) in
        [("observe", true, 4), ("suggest", false, 4), ("suggest", true, 0), ("enforce", false, 0)]
    {
        let world = World::new(mode);
        let (plan, hash) = world.plan(&two_attackers(&world.files), AT);
        let mut arguments = vec!["apply", &plan];
        if with_hash {
            arguments.extend(["--expect-hash", &hash]);
        }
        let ran = world.act(&arguments, AT).expect_code(code);
        assert_eq!(world.held(V4).is_empty(), code != 0, "{mode}: {}", ran.stderr);
    }
}

#[test]
fn canary_blocks_go_to_the_sets_of_the_counting_rule() {
    let world = World::new("canary");
    let log = two_attackers(&world.files);
    let ran = world.run(&["plan", &log, "--target", "prod", "--at", AT]).run().expect_code(64);
    assert!(ran.stderr.contains("canary-sets"), "{}", ran.stderr);
    world.fake.create_ip_set(REGION, "REGIONAL", "counted-v4", "IPV4");
    let out = world.files.path("plan.json");
    let arguments =
        ["plan", &log, "--target", "prod", "--canary-set", "counted-v4", "--at", AT, "--out", &out];
    world.run(&arguments).run().expect_code(0);
    world.act(&["apply", &out, "--canary-set", "counted-v4"], AT).expect_code(0);
    assert!(world.held(V4).is_empty());
    assert_eq!(world.held("counted-v4"), ["203.0.113.9/32".to_owned()].into());
}

#[test]
fn a_plan_for_the_sets_that_block_is_refused_where_canaries_are_counted() {
    for mode in ["suggest", "enforce"] {
        let world = World::new(mode);
        world.fake.create_ip_set(REGION, "REGIONAL", "counted-v4", "IPV4");
        world.fake.create_ip_set(REGION, "REGIONAL", "other-v4", "IPV4");
        let (plan, hash) = world.plan(&two_attackers(&world.files), AT);
        let canary = ["--mode", "canary", "--canary-set", "counted-v4"];
        for (more, sets) in [(&canary[..], "`counted-v4`"), (&["--set", "other-v4"], "`other-v4`")]
        {
            let arguments = [&["apply", &plan, "--expect-hash", &hash], more].concat();
            let ran = world.act(&arguments, AT).expect_code(5);
            let says = format!("the plan is for `{V4}`, `{V6}`, and the target's sets are {sets}");
            assert!(ran.stderr.contains(&says), "{}", ran.stderr);
            assert!(ran.stderr.contains("make a new plan"), "{}", ran.stderr);
        }
        for set in [V4, "counted-v4", "other-v4"] {
            assert!(world.held(set).is_empty(), "{set}");
        }
        world.act(&["apply", &plan, "--expect-hash", &hash], AT).expect_code(0);
    }
}

#[test]
fn nothing_is_blocked_by_a_clock_that_s3_says_is_wrong() {
    let world = World::new("enforce");
    let text = fs::read_to_string(&world.configuration).expect("it was written");
    let text = text.replace("ledger = \"ledger\"", "ledger = \"s3://ledgers/prod\"");
    fs::write(&world.configuration, text).expect("written");
    let (plan, _) = world.plan(&two_attackers(&world.files), AT);
    let apply = || world.run(&["apply", &plan]).run();
    world.fake.tell_date(Some("Sat, 01 Jan 2000 00:00:00 GMT"));
    let ran = apply().expect_code(4);
    assert!(ran.stderr.contains("min ahead of that of S3"), "{}", ran.stderr);
    assert!(ran.stderr.contains("NTP"), "{}", ran.stderr);
    world.fake.tell_date(Some("Fri, 31 Dec 2100 00:00:00 GMT"));
    let ran = apply().expect_code(4);
    assert!(ran.stderr.contains("min behind that of S3"), "{}", ran.stderr);
    // What leaves a set does so all the same, and with the right time the plan is only old.
    world.run(&["expire"]).run().expect_code(0);
    world.fake.tell_date(None);
    let ran = apply().expect_code(5);
    assert!(ran.stderr.contains("was good until"), "{}", ran.stderr);
}

#[test]
fn a_plan_that_is_not_the_reviewed_one_is_refused_with_5() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    let (plan, hash) = world.plan(&log, AT);
    let refused = |arguments: &[&str], at: &str, says: &str| {
        let ran = world.act(arguments, at).expect_code(5);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        assert!(world.held(V4).is_empty());
    };
    let text = fs::read_to_string(&plan).expect("the plan");
    let altered = world.files.write("altered.json", text.replace("203.0.113.9", "203.0.113.8"));
    refused(&["apply", &altered], AT, "altered");
    refused(&["apply", &plan, "--expect-hash", &hash.replace(['0', '1'], "2")], AT, "approved");
    refused(&["apply", &plan], "2025-11-04T11:00:00Z", "was good until");
    refused(&["apply", &plan, "--region", "eu-west-2"], AT, "eu-west-2");
    let without = world.files.path("without.json");
    portcullis(["plan", &log, "--out", &without, "--at", AT]).run().expect_code(0);
    refused(&["apply", &without], AT, "no account");

    world.fake.edit(REGION, "REGIONAL", V4, &["192.0.2.1/32"], &[]);
    let ran = world.act(&["apply", &plan], AT).expect_code(5);
    assert!(ran.stderr.contains("--allow-moved-base"), "{}", ran.stderr);
    world.act(&["apply", &plan, "--allow-moved-base"], AT).expect_code(0);
    assert_eq!(world.held(V4), ["192.0.2.1/32", "203.0.113.9/32"].map(str::to_owned).into());
}

#[test]
fn a_ledger_that_moved_makes_a_plan_stale() {
    let world = World::new("enforce");
    let (plan, _) = world.plan(&two_attackers(&world.files), AT);
    let early = world.files.path("early.json");
    fs::copy(&plan, &early).expect("copied");
    world.block(&world.files.write("b.log", attacks("203.0.113.10", 20)), AT);
    let ran = world.act(&["apply", &early, "--allow-moved-base"], AT).expect_code(5);
    assert!(ran.stderr.contains("the ledger has moved"), "{}", ran.stderr);
}

#[test]
fn a_run_in_another_s_hands_is_refused_with_6() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    world.block(&log, AT);
    let path = world.files.path("ledger/ledger.json");
    let mut ledger: Value =
        serde_json::from_slice(&fs::read(&path).expect("the ledger")).expect("it is JSON");
    ledger["lease"] = json!({"who": "night shift", "operation": "plan-1", "expires": LATER});
    fs::write(&path, ledger.to_string()).expect("written");
    let ran = world.act(&["expire"], AT).expect_code(6);
    assert!(ran.stderr.contains("night shift"), "{}", ran.stderr);
    assert!(world.status(AT)["lease"].as_str().is_some_and(|who| who.contains("night shift")));
    world.act(&["expire", "--take-lease"], AT).expect_code(0);
}

#[test]
fn a_brake_refuses_with_4_and_is_released_by_hand_and_on_record() {
    let world = World::with("enforce", "[brakes]\nadds-per-run = 1");
    let (plan, hash) = world.plan(&two_attackers(&world.files), AT);
    let ran = world.act(&["apply", &plan], AT).expect_code(4);
    assert!(ran.stderr.contains("2 additions in one run, limit 1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--override adds-per-run=REASON"), "{}", ran.stderr);
    assert!(world.held(V4).is_empty());

    let override_ = "adds-per-run=both are known";
    world.act(&["apply", &plan, "--override", override_], AT).expect_code(64);
    let by_hand = ["apply", &plan, "--expect-hash", &hash, "--override", override_];
    world.act(&by_hand, AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 1);
    let lines = world.run(&["audit", "show", "-o", "json"]).run().lines();
    let release = lines.iter().find(|line| line["event"] == "release").expect("it is on record");
    assert!(release["reason"].as_str().is_some_and(|reason| reason.contains("both are known")));
}

#[test]
fn the_kill_switch_stops_everything_wherever_it_is_pulled() {
    let world = World::new("enforce");
    let (plan, _) = world.plan(&two_attackers(&world.files), AT);
    let apply = ["apply", &plan, "--at", AT, "-o", "json"];
    let refused = |ran: crate::support::Ran| {
        let ran = ran.expect_code(4);
        assert!(ran.stderr.contains("kill switch is pulled: shop is down"), "{}", ran.stderr);
        assert!(world.held(V4).is_empty());
    };
    refused(world.run(&apply).env("PORTCULLIS_HALT", "shop is down").run());
    refused(world.act(&["apply", &plan, "--halt", "shop is down"], AT));
    refused(world.act(&["apply", &plan, "--dry-run", "--halt", "shop is down"], AT));
    // Who has no such option is not told to use it.
    let ran = world.act(&["expire", "--halt", "shop is down"], AT).expect_code(4);
    assert!(ran.stderr.contains("let the switch go where it was pulled"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("--override"), "{}", ran.stderr);
    world.files.write("ledger/HALT", "shop is down\n");
    refused(world.run(&apply).run());
    assert_eq!(world.status(AT)["halted"], "shop is down");
    fs::remove_file(world.files.path("ledger/HALT")).expect("it was there");
    let text = fs::read_to_string(&world.configuration).expect("read");
    fs::write(&world.configuration, format!("halt = \"shop is down\"\n{text}")).expect("written");
    refused(world.run(&apply).run());
    fs::write(&world.configuration, text).expect("written");
    world.run(&apply).run().expect_code(0);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let world = World::new("enforce");
    let (plan, hash) = world.plan(&two_attackers(&world.files), AT);
    let before = world.fake.ip_set(REGION, "REGIONAL", V4);
    let ran = world.run(&["apply", &plan, "--dry-run", "--at", AT]).run().expect_code(0);
    assert!(ran.text().contains("would be carried out on prod"), "{}", ran.text());
    assert!(ran.text().contains("blocked until"), "{}", ran.text());
    assert!(ran.stderr.contains(&format!("--expect-hash {hash}")), "{}", ran.stderr);
    assert_eq!(world.fake.ip_set(REGION, "REGIONAL", V4), before);
    assert!(!world.files.root().join("ledger").exists());
    // What would be refused is refused.
    world.act(&["apply", &plan, "--dry-run"], "2025-11-04T11:00:00Z").expect_code(5);
}

#[test]
fn without_a_readable_never_block_list_nothing_is_added_and_expiry_goes_on() {
    let world = World::new("enforce");
    let log = two_attackers(&world.files);
    world.block(&log, AT);
    let other = world.files.write("b.log", attacks("203.0.113.10", 20));
    let (plan, _) = world.plan(&other, AT);
    world.files.write("never-block.txt", "198.51.100.0/24\nnot a network\n");
    let ran = world.act(&["apply", &plan], AT).expect_code(1);
    assert!(ran.stderr.contains("never-block.txt:2:1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no never-block list of yours"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("rollback"), "{}", ran.stderr);
    assert_eq!(done(&ran.json(), "203.0.113.10/32"), "no-never-block-list");
    assert_eq!(world.held(V4), ["203.0.113.9/32".to_owned()].into());
    world.act(&["expire"], LATER).expect_code(0);
    assert!(world.held(V4).is_empty());
}

#[test]
fn drift_is_shown_and_never_overwritten() {
    let world = World::new("enforce");
    world.block(&two_attackers(&world.files), AT);
    world.fake.edit(REGION, "REGIONAL", V4, &["192.0.2.9/32"], &["203.0.113.9/32"]);
    let status = world.status(AT);
    assert_eq!(networks(&status["missing"]), ["203.0.113.9/32"]);
    assert_eq!(status["sets"][0]["foreign"], json!(["192.0.2.9/32"]));
    let text = world.run(&["status", "--at", AT]).run().expect_code(0).text();
    assert!(text.contains("taken out of the set by somebody else"), "{text}");
    assert!(text.contains("not ours in portcullis-v4: 192.0.2.9"), "{text}");
    assert_eq!(world.held(V4), ["192.0.2.9/32".to_owned()].into());
    // The next run notes it, although it has nothing to do, and respects it.
    world.act(&["expire"], AT).expect_code(0);
    assert_eq!(networks(&world.status(AT)["overrides"]), ["203.0.113.9/32"]);
    let again = world.plan(&world.files.path("a.log"), AT).0;
    let ran = world.act(&["apply", &again], AT).expect_code(0);
    assert!(!ran.stderr.contains("rollback"), "{}", ran.stderr);
    assert_eq!(world.held(V4), ["192.0.2.9/32".to_owned()].into());
}

#[test]
fn the_ledger_may_be_on_s3_and_all_of_a_target_on_the_command_line() {
    let world = World::new("observe");
    let log = two_attackers(&world.files);
    let (out, url) = (world.files.path("plan.json"), world.fake.url());
    let target = [
        "--target",
        "made-up",
        "--account",
        fake_aws::ACCOUNT,
        "--region",
        REGION,
        "--set",
        V4,
        "--set",
        V6,
        "--ledger",
        "s3://ledgers/portcullis/prod",
        "--mode",
        "enforce",
        "--endpoint-url",
        &url,
        "--at",
        AT,
    ];
    let never = world.files.path("never-block.txt");
    let run = |arguments: &[&str]| {
        with_dummy_credentials(portcullis([arguments, &target].concat())).run().expect_code(0)
    };
    run(&["plan", &log, "--never-block", &never, "--out", &out]);
    run(&["apply", &out, "--never-block", &never]);
    assert_eq!(world.held(V4), ["203.0.113.9/32".to_owned()].into());
    assert!(world.fake.object("ledgers", "portcullis/prod/ledger.json").is_some());
    assert!(world.fake.object("ledgers", "portcullis/prod/audit/000000000001.json").is_some());
}

#[test]
fn another_time_is_for_simulations_on_this_machine_alone() {
    let world = World::new("enforce");
    let ran = world
        .run(&["expire", "--at", AT, "--endpoint-url", "http://198.51.100.1:9"])
        .run()
        .expect_code(64);
    assert!(ran.stderr.contains("--at is for simulations"), "{}", ran.stderr);
}

#[test]
fn what_is_missing_or_misspelt_is_named() {
    let files = Files::new();
    let run =
        |arguments: &[&str]| with_dummy_credentials(portcullis(arguments)).inside(files.root());
    let ran = run(&["status"]).run().expect_code(64);
    assert!(ran.stderr.contains("its account is not known"), "{}", ran.stderr);
    files.write("portcullis.toml", "[[target]]\nname = \"a\"\n[[target]]\nname = \"b\"\n");
    let ran = run(&["status"]).run().expect_code(64);
    assert!(ran.stderr.contains("the configuration has `a`, `b`"), "{}", ran.stderr);
    let ran = run(&["status", "--target", "c"]).run().expect_code(64);
    assert!(ran.stderr.contains("there is no `c`"), "{}", ran.stderr);
    files.write("portcullis.toml", "[scan]\nfromat = \"combined\"\n");
    let ran = run(&["scan", "."]).run().expect_code(1);
    assert!(ran.stderr.contains("portcullis.toml:2:1: unknown key `fromat`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: did you mean `format`?"), "{}", ran.stderr);
    let ran = run(&["scan", ".", "--config", "missing.toml"]).run().expect_code(1);
    assert!(ran.stderr.contains("missing.toml"), "{}", ran.stderr);
}

#[test]
fn scans_take_their_settings_from_the_configuration_unless_told_otherwise() {
    let files = Files::new();
    files.write("portcullis.toml", "[scan]\nformat = \"combined\"\n");
    let log = files.write("a.log", Record::default().line());
    let run = |arguments: &[&str]| portcullis(arguments).inside(files.root()).run();
    let ran = run(&["decode", &log]).expect_code(3);
    assert!(ran.stderr.contains("configured by `portcullis.toml`"), "{}", ran.stderr);
    run(&["decode", &log, "--format", "recommended"]).expect_code(0);
    // Whoever tries rules out reads logs as a scan does.
    for command in [&["backtest", "builtin", "builtin", &log][..], &["calibrate", &log]] {
        run(command).expect_code(3);
        run(&[command, &["--format", "recommended"]].concat()).expect_code(0);
    }
}

/// Fifty minutes of vain tries after the block, as the log shows them.
pub fn retries(client: &str, error_type: &str) -> String {
    let begun = crate::support::START_EPOCH_MS + 48 * 60_000;
    (0..300)
        .map(|n| {
            Record {
                id: format!("retry-{n}"),
                client: client.to_owned(),
                epoch_ms: begun + 10_000 * n,
                path: "/prod/files/..%2f..%2f..%2f..%2fetc%2fpasswd".to_owned(),
                status: 403,
                error_type: error_type.to_owned(),
                ..Record::default()
            }
            .line()
        })
        .collect()
}

#[test]
fn a_blocked_client_that_keeps_trying_never_renews_its_own_block() {
    let world = World::new("enforce");
    let first = attacks("203.0.113.9", 20);
    world.block(&world.files.write("a.log", first.clone()), AT);
    let ends = world.status(AT)["blocked"][0]["expires"].clone();
    // Every five minutes the log holds more of its tries, and a run looks at all of it.
    let log = world.files.write("a.log", first.clone() + &retries("203.0.113.9", "WAF_FILTERED"));
    for minute in (5..=50).step_by(5) {
        let at = format!("2025-11-04T10:{minute:02}:00Z");
        world.block(&log, &at);
        assert_eq!(world.status(&at)["blocked"][0]["expires"], ends, "{at}");
    }
    world.block(&log, LATER);
    assert!(world.held(V4).is_empty(), "its time was over");
    // And what it did in vain does not bring it back.
    world.block(&log, "2025-11-04T11:25:00Z");
    assert!(world.held(V4).is_empty());

    // The same tries answered by the API are news.
    let world = World::new("enforce");
    world.block(&world.files.write("a.log", first.clone()), AT);
    let log = world.files.write("a.log", first + &retries("203.0.113.9", "-"));
    world.block(&log, "2025-11-04T10:50:00Z");
    let status = world.status("2025-11-04T10:50:00Z");
    assert_ne!(status["blocked"][0]["expires"], ends);
    assert_eq!(status["blocked"][0]["strikes"], 2);
}

#[test]
fn a_format_that_does_not_show_blocks_renews_none() {
    let world = World::new("enforce");
    let begun = |n: u32| format!("04/Nov/2025:{:02}:{:02}:00 +0000", 9 + n / 60, n % 60);
    let line = |n: u32| {
        format!(
            "203.0.113.9 - - [{}] \"GET /files/..%2f..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\" 403 12 \
             \"-\" \"curl/8.5.0\"\n",
            begun(n)
        )
    };
    let first: String = (0..30).map(line).collect();
    world.block(&world.files.write("a.log", first), AT);
    let ends = world.status(AT)["blocked"][0]["expires"].clone();
    let all: String = (0..110).map(line).collect();
    let log = world.files.write("a.log", all);
    let ran = world
        .run(&["plan", &log, "--target", "prod", "--at", "2025-11-04T10:50:00Z"])
        .run()
        .expect_code(0);
    assert!(ran.stderr.contains("no block is prolonged"), "{}", ran.stderr);
    world.block(&log, "2025-11-04T10:50:00Z");
    assert_eq!(world.status(AT)["blocked"][0]["expires"], ends);
}
