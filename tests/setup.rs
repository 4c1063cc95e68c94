//! `init`: what is written, and what the program itself makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use fake_aws::Permission;
use serde_json::Value;

use crate::support::{Files, Ran, attacks, gzip, honest, portcullis};
use crate::target::{REGION, World, with_dummy_credentials};

/// While the tests' traffic is fresh, so that the brakes have nothing against it.
const AT: &str = "2025-11-04T09:20:00Z";

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
    let ran = portcullis(with(&["--scope=CLOUDFRONT"])).run().expect_code(64);
    assert!(ran.stderr.contains("no stage's log tells who the clients are"), "{}", ran.stderr);
    let ran = portcullis(["init", "--scope=CLOUDFRONT", "--api=http", "--name=prod"]);
    let ran = ran.run().expect_code(64);
    let missing = "--account, --distribution, --image, --subnet, --security-group are not given";
    assert!(ran.stderr.contains(missing), "{}", ran.stderr);
}

/// A fake AWS with what the written template makes, and a log with an attack in it.
pub struct Built {
    pub world: World,
    template: Value,
    /// ARNs of the sets that block, and of those that count.
    sets: [String; 2],
}

impl Built {
    fn new(mode: &str) -> Self {
        Self::of(mode, &[])
    }

    /// With more options of `init`.
    pub fn of(mode: &str, options: &[&str]) -> Self {
        let built = Self::silent(mode, options);
        let log = attacks("203.0.113.9", 20) + &honest("198.51.100.7", 40);
        // Without a date, by which `run` would pass over what is older than its lookback.
        let key = "access/1.gz";
        built.world.fake.put_object(&built.logs(), key, &gzip(log.as_bytes()));
        built
    }

    /// The same without any log.
    pub fn silent(mode: &str, more_options: &[&str]) -> Self {
        let world = World::new("observe");
        let is_global = more_options.contains(&"--scope=CLOUDFRONT");
        let (region, scope, place) = if is_global {
            ("us-east-1", "CLOUDFRONT", "global")
        } else {
            (REGION, "REGIONAL", "regional")
        };
        let mut arns = Vec::new();
        for (ending, family) in
            [("v4", "IPV4"), ("v6", "IPV6"), ("canary-v4", "IPV4"), ("canary-v6", "IPV6")]
        {
            let name = format!("portcullis-prod-{ending}");
            world.fake.create_ip_set(region, scope, &name, family);
            let id = world.fake.ip_set(region, scope, &name).expect("it was made").id;
            let account = fake_aws::ACCOUNT;
            arns.push(format!("arn:aws:wafv2:{region}:{account}:{place}/ipset/{name}/{id}"));
        }
        let out = format!("--out={}", world.files.path("setup"));
        let mode = format!("--mode={mode}");
        let given: Vec<&str> =
            [&*out, &*mode].into_iter().chain(more_options.iter().copied()).collect();
        let name = |option: &'_ str| option.split('=').next().unwrap_or_default().to_owned();
        let is_given_again = |option: &&str| given.iter().any(|one| name(one) == name(option));
        let of_a_stage = ["--region", "--api-id", "--stage"].map(str::to_owned);
        let is_of_a_stage = |option: &&str| is_global && of_a_stage.contains(&name(option));
        let options = FARGATE.into_iter();
        let options = options.filter(|option| !is_given_again(option) && !is_of_a_stage(option));
        let options = options.chain(given.iter().copied());
        portcullis(options).run().expect_code(0);
        let template = world.files.path("setup/cloudformation/portcullis.json");
        let template = fs::read(template).expect("it was written");
        let template: Value = serde_json::from_slice(&template).expect("JSON");
        let built = Self { world, template, sets: [arns[..2].join(","), arns[2..].join(",")] };
        built.world.fake.create_bucket(&built.ledgers());
        built.world.fake.create_bucket(&built.logs());
        built
    }

    fn bucket(&self, id: &str) -> String {
        self.properties(id)["BucketName"].as_str().expect("a name").to_owned()
    }

    pub fn logs(&self) -> String {
        self.bucket("LogsBucket")
    }

    fn ledgers(&self) -> String {
        self.bucket("LedgerBucket")
    }

    pub fn properties(&self, resource: &str) -> &Value {
        &self.template["Resources"][resource]["Properties"]
    }

    /// Runs a scheduled container with the words and roles of its definition, while the
    /// traffic is fresh.
    pub fn run(&self, container: &Value) -> Ran {
        self.run_with(container, &[])
    }

    /// The same with more words.
    fn run_with(&self, container: &Value, more: &[&str]) -> Ran {
        let words = container["Command"].as_array().expect("words");
        let words = words.iter().map(|word| word.as_str().expect("a word"));
        let words = words.chain(["--at", AT]).chain(more.iter().copied());
        let mut run = with_dummy_credentials(portcullis(words));
        let variables = container["Environment"].as_array().expect("variables").iter();
        let variables = variables
            .map(|variable| (variable["Name"].as_str().expect("a name"), &variable["Value"]));
        for (name, value) in self.environment(variables) {
            run = run.env(&name, &value);
        }
        run.run()
    }

    /// Variables of the template as they are when it is built, and what they do not say
    /// here: where the fake is, and where the configuration is that an image holds.
    pub fn environment<'v>(
        &self,
        variables: impl Iterator<Item = (&'v str, &'v Value)>,
    ) -> Vec<(String, String)> {
        let built = variables.map(|(name, value)| {
            let value = match (name, value["Fn::GetAtt"][0].as_str()) {
                ("PORTCULLIS_SETS", _) => self.sets[0].clone(),
                ("PORTCULLIS_CANARY_SETS", _) => self.sets[1].clone(),
                (_, Some(role)) => format!("arn:aws:iam::1:role/{}", self.role(role)),
                (_, None) => value.as_str().expect("a text").to_owned(),
            };
            (name.to_owned(), value)
        });
        let beside = [
            ("PORTCULLIS_CONFIG", self.world.files.path("setup/portcullis.toml")),
            ("PORTCULLIS_ENDPOINT_URL", self.world.fake.url()),
        ];
        built.chain(beside.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// The name of a role of the template.
    pub fn role(&self, id: &str) -> &str {
        self.properties(id)["RoleName"].as_str().expect("a name")
    }

    pub fn container(&self, task: &str) -> Value {
        let containers = self.properties(task)["ContainerDefinitions"].as_array();
        let [container] = &containers.expect("containers")[..] else { panic!("one container") };
        container.clone()
    }

    /// Holds what calls needed against what their role allows; gives the actions of both.
    pub fn check(&self, role: &str, needed: &BTreeSet<Permission>) -> [BTreeSet<String>; 2] {
        let allowed = self.allowed(role);
        for one in needed {
            let is_allowed = allowed.iter().any(|allowed| covers(allowed, one));
            assert!(is_allowed, "{role} needs {one:?} and has {allowed:#?}");
        }
        [needed, &allowed].map(|set| set.iter().map(|(action, _)| action.clone()).collect())
    }

    /// What a role is allowed: actions with names of sets, of buckets, or of keys whose end
    /// may be a star.
    pub fn allowed(&self, role: &str) -> BTreeSet<Permission> {
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
        if let Some(arn) = resource.as_str() {
            return arn.to_owned();
        }
        let (id, rest) = match resource["Fn::Sub"].as_str() {
            Some(text) => {
                let (id, rest) = text.trim_start_matches("${").split_once(".Arn}").expect("an ARN");
                (id, rest)
            }
            None => (resource["Fn::GetAtt"][0].as_str().expect("a resource"), ""),
        };
        let properties = self.properties(id);
        let names = ["BucketName", "QueueName", "RoleName", "Name"];
        let name = names.iter().find_map(|name| properties.get(*name));
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

/// What the alarm looks for in the summary of a run, as CloudWatch Logs would.
fn is_counted(built: &Built, ran: &Ran) -> bool {
    let pattern = "{ ($.exit = 0 || $.exit = 3) && $.analysis.requests > 0 }";
    assert_eq!(built.properties("ScanMetric")["FilterPattern"], pattern);
    let summary = ran.json();
    assert_eq!(summary["exit"].as_u64(), ran.code.and_then(|code| u64::try_from(code).ok()));
    let is_well = summary["exit"] == 0 || summary["exit"] == 3;
    is_well && summary["analysis"]["requests"].as_u64().is_some_and(|requests| requests > 0)
}

#[test]
fn a_scheduled_run_needs_of_each_role_what_it_allows() {
    let built = Built::new("enforce");
    let fake = &built.world.fake;
    let [read, apply] = ["ReadRole", "ApplyRole"].map(|id| built.role(id).to_owned());
    fake.take_permissions();
    let ran = built.run(&built.container("ScanTask")).expect_code(0);
    assert!(is_counted(&built, &ran), "{}", ran.text());
    assert_eq!(built.world.held("portcullis-prod-v4"), ["203.0.113.9/32".to_owned()].into());
    let needed = fake.take_permissions_by_caller();
    let [reading, allowed] = built.check("ReadRole", &needed[&read]);
    // Looking at sets is for the modes that change none, and for `status`.
    assert_eq!(allowed.difference(&reading).collect::<Vec<_>>(), ["wafv2:GetIPSet"]);
    let [mut applying, allowed] = built.check("ApplyRole", &needed[&apply]);
    // Without it, S3 says 403 and not 404 of a ledger that is not there yet.
    applying.insert("s3:ListBucket".to_owned());
    assert_eq!(applying, allowed);
    // The task itself makes no call but to become one of the two.
    let others: BTreeSet<_> =
        needed.iter().filter(|(who, _)| **who != read && **who != apply).collect();
    let own: BTreeSet<Permission> = others.into_iter().flat_map(|(_, of)| of.clone()).collect();
    let assumed = [&apply, &read].map(|role| ("sts:AssumeRole".to_owned(), role.clone()));
    assert_eq!(own, assumed.into());
    // What is kept is three objects, and the role may write each of them.
    let written = |set: &BTreeSet<Permission>| -> BTreeSet<String> {
        let writes = set.iter().filter(|(action, _)| action == "s3:PutObject");
        writes.map(|(_, key)| key.clone()).collect()
    };
    assert_eq!(written(&needed[&read]), written(&built.allowed("ReadRole")));
    assert_eq!(written(&needed[&read]).len(), 3);

    let expired = built.run(&built.container("ExpireTask")).expect_code(0);
    let pattern = built.properties("ExpireMetric")["FilterPattern"].as_str().expect("a pattern");
    let text = expired.text();
    assert!(text.contains(pattern.trim_matches('"')), "{pattern} is not in: {text}");
    let needed = fake.take_permissions();
    assert!(!needed.is_empty());
    built.check("ExpireRole", &needed);

    // A brake is no good end, and a log that fell silent protects nobody.
    let halt = format!("{}/ledger/HALT", built.ledgers());
    let (bucket, key) = halt.split_once('/').expect("a bucket and a key");
    fake.put_object(bucket, key, b"maintenance");
    fake.put_object(&built.logs(), "access/2.gz", &gzip(attacks("203.0.113.10", 20).as_bytes()));
    let halted = built.run(&built.container("ScanTask")).expect_code(4);
    assert!(!is_counted(&built, &halted), "{}", halted.text());
}

#[test]
fn a_scheduled_run_that_changes_nothing_needs_all_of_the_role_that_reads() {
    let built = Built::new("observe");
    let read = built.role("ReadRole").to_owned();
    built.world.fake.take_permissions();
    let ran = built.run(&built.container("ScanTask")).expect_code(0);
    assert!(is_counted(&built, &ran), "{}", ran.text());
    assert!(built.world.held("portcullis-prod-v4").is_empty());
    let needed = built.world.fake.take_permissions_by_caller();
    let [reading, allowed] = built.check("ReadRole", &needed[&read]);
    assert_eq!(reading, allowed);
    assert!(!needed.contains_key(built.role("ApplyRole")), "{needed:#?}");
}

#[test]
fn a_service_that_watches_needs_what_the_reading_role_of_its_setup_allows() {
    let built = Built::of("enforce", &["--watch"]);
    let fake = &built.world.fake;
    let queue = built.properties("ObjectsQueue")["QueueName"].as_str().expect("a name").to_owned();
    fake.create_queue(&queue, 3);
    let told = &built.properties("LogsBucket")["NotificationConfiguration"]["QueueConfigurations"];
    assert_eq!(told[0]["Filter"]["S3Key"]["Rules"][0]["Value"], "access/");
    let [read, apply] = ["ReadRole", "ApplyRole"].map(|id| built.role(id).to_owned());
    let key = "access/2.gz";
    let content = gzip(attacks("203.0.113.10", 20).as_bytes());
    fake.put_object(&built.logs(), key, &content);
    let tag = fake.etag(&built.logs(), key).expect("it is there");
    let notice = crate::watch::notice(2, key, content.len(), &tag);
    fake.send(
        &queue,
        &notice.replace(r#""name":"logs""#, &format!(r#""name":"{}""#, built.logs())),
    );
    fake.take_permissions();
    let container = built.container("WatchTask");
    built.run_with(&container, &["--until-idle", "2s"]).expect_code(0);
    let blocked = built.world.held("portcullis-prod-v4");
    assert_eq!(blocked, ["203.0.113.10/32", "203.0.113.9/32"].map(str::to_owned).into());
    let needed = fake.take_permissions_by_caller();
    let [mut reading, allowed] = built.check("ReadRole", &needed[&read]);
    let taken: Vec<&String> = reading.iter().filter(|action| action.starts_with("sqs:")).collect();
    assert!(taken.len() >= 2, "{taken:?}");
    // Putting off is for rounds that take long, and looking at sets for other commands.
    reading.extend(["sqs:ChangeMessageVisibility", "wafv2:GetIPSet"].map(str::to_owned));
    assert_eq!(reading, allowed);
    built.check("ApplyRole", &needed[&apply]);
    // Without a queue nobody may take messages.
    let without = Built::silent("enforce", &[]);
    assert!(!without.allowed("ReadRole").iter().any(|(action, _)| action.starts_with("sqs:")));
}

#[test]
fn once_both_schedules_ran_the_doctor_finds_no_fault_with_them() {
    let built = Built::new("enforce");
    built.run(&built.container("ScanTask")).expect_code(0);
    built.world.fake.take_permissions();
    built.run(&built.container("ExpireTask")).expect_code(0);
    built.check("ExpireRole", &built.world.fake.take_permissions());
    let told = with_dummy_credentials(portcullis(["doctor", "-o", "json"]))
        .env("PORTCULLIS_ASSUME_ROLE", &format!("arn:aws:iam::1:role/{}", built.role("DoctorRole")))
        .env("PORTCULLIS_REGION", REGION);
    let told = built
        .environment([].into_iter())
        .into_iter()
        .fold(told, |told, (name, value)| told.env(&name, &value));
    let checks = told.run().json()["checks"].clone();
    let checks = checks.as_array().expect("checks");
    for name in ["last-run", "last-expire", "ledger"] {
        let check = checks.iter().find(|check| check["name"] == name).expect("it is checked");
        assert_eq!(check["verdict"], "good", "{check}");
    }
}

#[test]
fn what_firehose_could_not_process_is_read_by_the_same_run() {
    let built = Built::silent("enforce", &[]);
    let records = attacks("203.0.113.9", 20);
    let envelopes = records.lines().map(|line| {
        let raw = base64::engine::general_purpose::STANDARD.encode(line);
        serde_json::json!({"attemptsMade": 4, "errorCode": "x", "rawData": raw}).to_string() + "\n"
    });
    let failed = gzip(envelopes.collect::<String>().as_bytes());
    built.world.fake.put_object(&built.logs(), "failed/processing-failed/1.gz", &failed);
    let ran = built.run(&built.container("ScanTask")).expect_code(0);
    assert_eq!(ran.json()["analysis"]["requests"], 20, "{}", ran.text());
    assert_eq!(built.world.held("portcullis-prod-v4"), ["203.0.113.9/32".to_owned()].into());
}

#[test]
fn a_scheduled_run_over_a_silent_log_is_not_counted() {
    let built = Built::silent("enforce", &[]);
    let ran = built.run(&built.container("ScanTask"));
    assert!(!is_counted(&built, &ran), "{}", ran.text());
}

#[test]
fn a_set_of_another_account_or_region_is_refused_by_its_arn() {
    let built = Built::silent("enforce", &[]);
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
