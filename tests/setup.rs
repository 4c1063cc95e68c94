//! `init`: what is written, and what the program itself makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fake_aws::Permission;
use serde_json::Value;

use crate::support::{Files, Ran, attacks, gzip, honest, portcullis};
use crate::target::{AT, REGION, World, with_dummy_credentials};

const FARGATE: [&str; 16] = [
    "init",
    "--name=prod",
    "--account=111122223333",
    "--region=eu-west-1",
    "--api-id=a1b2c3d4e5",
    "--stage=prod",
    "--image=111122223333.dkr.ecr.eu-west-1.amazonaws.com/portcullis:0.1.0",
    "--subnet=subnet-0a1b2c3d4e5f67890",
    "--security-group=sg-0a1b2c3d4e5f67890",
    "--never-block=192.0.2.0/24",
    "--alarm-email=oncall@example.com",
    "--mode=enforce",
    "--every=15",
    "--since=6",
    "--keep-logs=30",
    "--web-acl=new",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [FARGATE.as_slice(), more].concat()
}

#[test]
fn every_file_is_written_once_and_never_over_another() {
    let files = Files::new();
    let out = format!("--out={}", files.path("setup"));
    let ran = portcullis(with(&[&out])).run().expect_code(0);
    let written: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    assert!(written.len() >= 10, "{written:?}");
    for path in &written {
        assert!(fs::metadata(path).expect("it is there").len() > 0, "{path}");
    }
    let configuration = files.path("setup/portcullis.toml");
    fs::write(&configuration, "mine").expect("written");
    let again = portcullis(with(&[&out])).run().expect_code(1);
    assert!(again.stderr.contains("nothing was written"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&configuration).expect("there"), "mine");
    portcullis(with(&[&out, "--force"])).run().expect_code(0);
    assert_ne!(fs::read_to_string(&configuration).expect("there"), "mine");
}

#[test]
fn a_dry_run_prints_and_writes_nothing() {
    let files = Files::new();
    let out = format!("--out={}", files.path("setup"));
    let ran = portcullis(with(&[&out, "--dry-run"])).run().expect_code(0);
    assert!(ran.text().contains("==> terraform/roles.tf <==\n"));
    assert!(!Path::new(&files.path("setup")).exists());
}

#[test]
fn what_is_missing_or_wrong_is_told_at_once_and_is_wrong_usage() {
    let ran = portcullis(["init", "--name=prod", "--stage=prod"]).run().expect_code(64);
    let missing =
        "--account, --region, --api-id, --image, --subnet, --security-group are not given";
    assert!(ran.stderr.contains(missing), "{}", ran.stderr);
    let ran = portcullis(with(&["--out=/dev/null/x", "--trust=arn:aws:iam::1:role/x;id"]));
    let ran = ran.run().expect_code(64);
    assert!(ran.stderr.contains("is no principal"), "{}", ran.stderr);
    let ran = portcullis(["init", "--api=http"]).run().expect_code(64);
    assert!(ran.stderr.contains("neither a web ACL nor Firehose"), "{}", ran.stderr);
}

/// A fake AWS with what the written template makes, and a log with an attack in it.
struct Built {
    world: World,
    template: Value,
    /// ARNs of the sets that block, and of those that count.
    sets: [String; 2],
}

impl Built {
    fn new() -> Self {
        let world = World::new("observe");
        let mut arns = Vec::new();
        for (ending, family) in
            [("v4", "IPV4"), ("v6", "IPV6"), ("canary-v4", "IPV4"), ("canary-v6", "IPV6")]
        {
            let name = format!("portcullis-prod-{ending}");
            world.fake.create_ip_set(REGION, "REGIONAL", &name, family);
            let id = world.fake.ip_set(REGION, "REGIONAL", &name).expect("it was made").id;
            let account = fake_aws::ACCOUNT;
            arns.push(format!("arn:aws:wafv2:{REGION}:{account}:regional/ipset/{name}/{id}"));
        }
        let out = format!("--out={}", world.files.path("setup"));
        portcullis(with(&[&out])).run().expect_code(0);
        let template = world.files.path("setup/cloudformation/portcullis.json");
        let template = fs::read(template).expect("it was written");
        let template: Value = serde_json::from_slice(&template).expect("JSON");
        let bucket = |id: &str| -> String {
            let name = &template["Resources"][id]["Properties"]["BucketName"];
            name.as_str().expect("a name").to_owned()
        };
        world.fake.create_bucket(&bucket("LedgerBucket"));
        world.fake.create_bucket(&bucket("LogsBucket"));
        let log = attacks("203.0.113.9", 20) + &honest("198.51.100.7", 40);
        let key =
            "access/2025/11/04/09/amazon-apigateway-portcullis-prod-1-2025-11-04-09-12-00-x.gz";
        world.fake.put_object(&bucket("LogsBucket"), key, &gzip(log.as_bytes()));
        Self { world, template, sets: [arns[..2].join(","), arns[2..].join(",")] }
    }

    fn properties(&self, resource: &str) -> &Value {
        &self.template["Resources"][resource]["Properties"]
    }

    /// Runs a scheduled container with the words of its definition, the plan in a directory
    /// of the test.
    fn run(&self, container: &Value) -> Ran {
        let words = container["Command"].as_array().expect("words");
        let plan = self.world.files.path("plan.json");
        let mut words: Vec<&str> =
            words.iter().map(|word| word.as_str().expect("a word")).collect();
        for word in &mut words {
            if *word == "/plan/plan.json" {
                *word = &plan;
            }
        }
        if words[0] == "plan" {
            words.extend(["--to", AT]);
        }
        words.extend(["--at", AT]);
        let region = container["Environment"]
            .as_array()
            .and_then(|all| all.iter().find(|variable| variable["Name"] == "PORTCULLIS_REGION"))
            .and_then(|variable| variable["Value"].as_str())
            .expect("a region");
        with_dummy_credentials(portcullis(words))
            .env("PORTCULLIS_REGION", region)
            .env("PORTCULLIS_CONFIG", &self.world.files.path("setup/portcullis.toml"))
            .env("PORTCULLIS_ENDPOINT_URL", &self.world.fake.url())
            .env("PORTCULLIS_SETS", &self.sets[0])
            .env("PORTCULLIS_CANARY_SETS", &self.sets[1])
            .run()
            .expect_code(0)
    }

    /// Holds the output against the pattern that the alarm counts.
    fn seen(&self, metric: &str, ran: &Ran) {
        let pattern = self.properties(metric)["FilterPattern"].as_str().expect("a pattern");
        let text = ran.text();
        assert!(text.contains(pattern.trim_matches('"')), "{pattern} is not in: {text}");
    }

    /// What a role is allowed: actions with names of sets, of buckets, or of keys whose end
    /// may be a star.
    fn allowed(&self, role: &str) -> BTreeSet<Permission> {
        let document = &self.properties(&format!("{role}Policy"))["PolicyDocument"];
        let mut allowed = BTreeSet::new();
        for statement in document["Statement"].as_array().expect("statements") {
            for action in statement["Action"].as_array().expect("actions") {
                for resource in statement["Resource"].as_array().expect("resources") {
                    let action = action.as_str().expect("an action").to_owned();
                    allowed.insert((action, self.named(resource)));
                }
            }
        }
        allowed
    }

    /// The name that a reference to an ARN stands for.
    fn named(&self, resource: &Value) -> String {
        let (id, rest) = match resource["Fn::Sub"].as_str() {
            Some(text) => {
                let (id, rest) = text.trim_start_matches("${").split_once(".Arn}").expect("an ARN");
                (id, rest)
            }
            None => (resource["Fn::GetAtt"][0].as_str().expect("a resource"), ""),
        };
        let properties = self.properties(id);
        let name = properties.get("BucketName").or_else(|| properties.get("Name"));
        name.and_then(Value::as_str).expect("a name").to_owned() + rest
    }
}

fn covers(allowed: &Permission, needed: &Permission) -> bool {
    let resource = match allowed.1.strip_suffix('*') {
        Some(beginning) => needed.1.starts_with(beginning),
        None => needed.1 == allowed.1,
    };
    allowed.0 == needed.0 && resource
}

#[test]
fn the_scheduled_words_run_are_seen_by_the_alarm_and_need_what_their_roles_allow() {
    let built = Built::new();
    let fake = &built.world.fake;
    let containers = |task: &str| {
        let containers = &built.properties(task)["ContainerDefinitions"];
        containers.as_array().expect("containers").clone()
    };
    let check = |role: &str| {
        let (needed, allowed) = (fake.take_permissions(), built.allowed(role));
        assert!(!needed.is_empty());
        for one in &needed {
            let is_allowed = allowed.iter().any(|allowed| covers(allowed, one));
            assert!(is_allowed, "{role} needs {one:?} and has {allowed:#?}");
        }
        let actions = |set: &BTreeSet<Permission>| -> BTreeSet<String> {
            set.iter().map(|(action, _)| action.clone()).collect()
        };
        (actions(&needed), actions(&allowed))
    };

    let [reading, applying] = &containers("ScanTask")[..] else { panic!("two containers") };
    fake.take_permissions();
    let planned = built.run(reading);
    let (needed, allowed) = check("ReadRole");
    assert_eq!(needed, allowed);
    // Where nothing is applied, the plan itself is what the alarm looks for.
    let out = format!("--out={}", built.world.files.path("observed"));
    let options = FARGATE.iter().copied().filter(|option| *option != "--mode=enforce");
    portcullis(options.chain(["--mode=observe", &out])).run().expect_code(0);
    let observed = built.world.files.path("observed/cloudformation/portcullis.json");
    let observed = fs::read(observed).expect("it was written");
    let observed: Value = serde_json::from_slice(&observed).expect("JSON");
    let pattern = &observed["Resources"]["ScanMetric"]["Properties"]["FilterPattern"];
    let term = pattern.as_str().expect("a pattern").trim_matches('"');
    assert!(planned.text().lines().any(|line| line.starts_with(term)), "{}", planned.text());

    let applied = built.run(applying);
    built.seen("ScanMetric", &applied);
    assert_eq!(built.world.held("portcullis-prod-v4"), ["203.0.113.9/32".to_owned()].into());
    let (mut needed, allowed) = check("ApplyRole");
    // Without it, S3 says 403 and not 404 of a ledger that is not there yet.
    needed.insert("s3:ListBucket".to_owned());
    assert_eq!(needed, allowed);

    let expired = built.run(&containers("ExpireTask")[0]);
    built.seen("ExpireMetric", &expired);
    check("ExpireRole");
}

#[test]
fn a_set_of_another_account_or_region_is_refused_by_its_arn() {
    let built = Built::new();
    for (given, reason) in [
        ("arn:aws:wafv2:eu-west-1:999999999999:regional/ipset/x/y", "999999999999/eu-west-1"),
        ("arn:aws:wafv2:us-east-2:111122223333:regional/ipset/x/y", "111122223333/us-east-2"),
        ("arn:aws:wafv2:eu-west-1:111122223333:regional/webacl/x/y", "no ARN of an IP set"),
    ] {
        let ran = with_dummy_credentials(portcullis(["status", "--set", given]))
            .env("PORTCULLIS_CONFIG", &built.world.files.path("setup/portcullis.toml"))
            .env("PORTCULLIS_ENDPOINT_URL", &built.world.fake.url())
            .run()
            .expect_code(64);
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
}
