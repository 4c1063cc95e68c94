//! Who may do what: every role of the pipeline, as IAM has it.
//!
//! The program makes few calls, and each role is allowed those that its commands make, on
//! the resources of this setup. No action has a `*`, and no resource is one: a `*` stands
//! only where AWS has objects below a name that is ours, keys below a prefix and streams of
//! a log group.
//!
//! One call cannot be granted so: `wafv2:ListIPSets` knows no resource but all. The
//! program makes it to find the id of a set that it knows by name, and is told ARNs here
//! instead, which hold the id.
//!
//! Buckets hold one thing each, so that listing one can be allowed without a condition.
//! With a condition on the prefix, S3 would answer 403 and not 404 for a ledger that does
//! not exist yet.
//!
//! Sources: Service Authorization Reference, Amazon S3, AWS WAF V2, Amazon ECS; Firehose
//! guide, "Grant Firehose access to an Amazon S3 destination".

use serde_json::{Value, json};

use crate::answers::{Mode, Runner, Setup};
use crate::front::Front;
use crate::names::{
    ACCESS, APPLY_ROLE, CANARY_V4, CANARY_V6, CLUSTER, EXECUTION_ROLE, EXPIRE_FUNCTION,
    EXPIRE_ROLE, EXPIRE_TASK, FAILED, LEDGER, LEDGERS, LOGS, QUEUE, READ_ROLE, RULE_GROUP,
    RUNNER_ROLE, SCAN_FUNCTION, SCAN_TASK, STATE, STREAM, V4, V6, WAF_LOGS, WEB_ACL,
};
use crate::text::{Attribute, Text};

/// A role, as both languages write it.
pub(crate) struct Role {
    /// Terraform's name, and the ending of the role's own.
    pub(crate) name: &'static str,
    /// CloudFormation's name.
    pub(crate) cloudformation: &'static str,
    /// What it is for.
    pub(crate) description: &'static str,
    /// Who may assume it.
    pub(crate) trust: Value,
    /// What it may do.
    pub(crate) policy: Value,
    /// A policy of AWS that it is given as well.
    pub(crate) managed: Option<String>,
}

/// Every role, in the order of the pipeline.
pub(crate) fn roles(setup: &Setup) -> Vec<Role> {
    let mut roles = Vec::new();
    // CloudFront delivers by the policy of the bucket.
    if let Front::Stage { .. } = setup.front {
        roles.push(Role {
            name: "delivery",
            cloudformation: "DeliveryRole",
            description: "Firehose writes access logs to the bucket",
            trust: trusting_firehose(setup),
            policy: delivery(setup),
            managed: None,
        });
    }
    roles.extend([
        Role {
            name: "read",
            cloudformation: "ReadRole",
            description: "portcullis run, watch, scan, plan, status: reads logs, sets and ledger, keeps the state",
            trust: trusting_users(setup, Some(RUNNER_ROLE)),
            policy: read(setup),
            managed: None,
        },
        Role {
            name: "apply",
            cloudformation: "ApplyRole",
            description: "portcullis run, watch and apply: changes the sets of the mode",
            trust: trusting_users(setup, Some(RUNNER_ROLE)),
            policy: apply(setup.mode),
            managed: None,
        },
        Role {
            name: "expire",
            cloudformation: "ExpireRole",
            description: "portcullis expire: takes out what is over, sees no logs",
            trust: trusting_users(setup, None),
            policy: expire(setup),
            managed: None,
        },
    ]);
    roles.push(Role {
        name: "doctor",
        cloudformation: "DoctorRole",
        description: "portcullis doctor: looks at every part, changes nothing",
        trust: trusting_users(setup, None),
        policy: doctor(setup),
        managed: None,
    });
    if let Runner::Fargate { image, .. } = &setup.runner {
        roles.push(Role {
            name: "runner",
            cloudformation: "RunnerRole",
            description: "the scheduled task: may become read or apply, nothing else",
            trust: trusting_service(setup, "ecs-tasks.amazonaws.com"),
            policy: document(&[become_read_or_apply()]),
            managed: None,
        });
        roles.push(Role {
            name: "execution",
            cloudformation: "ExecutionRole",
            description: "ECS starts the task and writes its output",
            trust: trusting_service(setup, "ecs-tasks.amazonaws.com"),
            policy: execution(setup),
            managed: is_private_repository(image).then(|| {
                let partition = setup.partition();
                format!(
                    "arn:{partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
                )
            }),
        });
        roles.push(Role {
            name: "schedule",
            cloudformation: "ScheduleRole",
            description: "EventBridge Scheduler starts the two tasks",
            trust: trusting_service(setup, "scheduler.amazonaws.com"),
            policy: schedule(),
            managed: None,
        });
    }
    if let Runner::Lambda { .. } = setup.runner {
        roles.push(Role {
            name: "runner",
            cloudformation: "RunnerRole",
            description: "the function: may become read or apply, and write its output",
            trust: trusting_lambda(),
            policy: function(setup),
            managed: None,
        });
        roles.push(Role {
            name: "schedule",
            cloudformation: "ScheduleRole",
            description: "EventBridge Scheduler calls the two functions",
            trust: trusting_service(setup, "scheduler.amazonaws.com"),
            policy: call_functions(),
            managed: None,
        });
    }
    roles
}

/// An image in a repository that asks for a password, which ECS gets by
/// `ecr:GetAuthorizationToken`. AWS grants that on all resources only, so it comes with
/// AWS's own policy for this purpose and is not written here.
fn is_private_repository(image: &str) -> bool {
    image.contains(".dkr.ecr.")
}

fn read(setup: &Setup) -> Value {
    let waf_logs = Text::from(WAF_LOGS) + "/AWSLogs/*";
    let logs = match setup.front {
        Front::Stage { .. } => vec![below(LOGS, ACCESS), below(LOGS, FAILED), waf_logs],
        Front::Distribution { .. } => vec![below(LOGS, ""), waf_logs],
    };
    let mut statements = vec![
        allow("ListLogs", &["s3:ListBucket"], &[LOGS.into(), WAF_LOGS.into()]),
        allow("ReadLogs", &["s3:GetObject"], &logs),
        allow("ReadSets", &["wafv2:GetIPSet"], &all_sets()),
        list_ledger(),
        read_ledger(),
        allow("KeepState", &["s3:GetObject", "s3:PutObject"], &state()),
    ];
    // Lambda takes the messages by the role of its function.
    if setup.watches && !matches!(setup.runner, Runner::Lambda { .. }) {
        let taking = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"];
        statements.push(allow("TakeMessages", &taking, &[QUEUE.into()]));
    }
    document(&statements)
}

/// What `doctor` asks. A web ACL that was there before is known by nobody here, and AWS WAF
/// shows it to whoever may ask for the stage's.
fn doctor(setup: &Setup) -> Value {
    let mut statements = vec![
        allow("ReadSets", &["wafv2:GetIPSet"], &all_sets()),
        list_ledger(),
        allow(
            "ReadLedger",
            &["s3:GetObject"],
            &[ledger("/ledger.json"), ledger("/HALT"), ledger(STATE) + ".heartbeat"],
        ),
    ];
    // Nobody here asks CloudFront what a distribution has.
    let Some(stage) = setup.stage_arn().map(|arn| Text::from(arn.as_str())) else {
        return document(&statements);
    };
    statements.push(allow("ReadStage", &["apigateway:GET"], std::slice::from_ref(&stage)));
    statements.push(allow("ReadStream", &["firehose:DescribeDeliveryStream"], &[STREAM.into()]));
    let firewall = &["wafv2:GetWebACLForResource"];
    if setup.has_web_acl {
        statements.push(allow("ReadFirewall", firewall, &[stage]));
        statements.push(allow("ReadRules", &["wafv2:GetRuleGroup"], &[RULE_GROUP.into()]));
    } else {
        statements.push(allow("ReadFirewall", firewall, &[stage, WEB_ACL.into()]));
    }
    document(&statements)
}

/// What was read, the lock of whoever reads, and the heartbeat.
fn state() -> [Text; 3] {
    ["", ".run", ".heartbeat"].map(|ending| ledger(STATE) + ending)
}

fn apply(mode: Mode) -> Value {
    let changed = match mode {
        Mode::Canary => vec![CANARY_V4.into(), CANARY_V6.into()],
        Mode::Observe | Mode::Suggest | Mode::Enforce => vec![V4.into(), V6.into()],
    };
    document(&change(&changed))
}

/// A function writes its own output, so the role of the one that ends blocks is the only one
/// of the three that may.
fn expire(setup: &Setup) -> Value {
    let mut statements = change(&all_sets());
    // Beside the state stands when blocks last ended; the state itself is not shown.
    let beat = [ledger(STATE) + ".heartbeat"];
    statements.push(allow("TellOfExpiry", &["s3:GetObject", "s3:PutObject"], &beat));
    if let Runner::Lambda { .. } = setup.runner {
        statements.push(write_output(setup, &["expire"]));
    }
    document(&statements)
}

fn change(sets: &[Text]) -> Vec<Value> {
    vec![
        allow("ReadSets", &["wafv2:GetIPSet"], &all_sets()),
        allow("ChangeSets", &["wafv2:UpdateIPSet"], sets),
        list_ledger(),
        read_ledger(),
        // The kill switch is not among what it writes.
        allow("WriteLedger", &["s3:PutObject"], &[ledger("/ledger.json"), ledger("/audit/*")]),
    ]
}

fn list_ledger() -> Value {
    allow("ListLedger", &["s3:ListBucket"], &[LEDGERS.into()])
}

fn read_ledger() -> Value {
    allow(
        "ReadLedger",
        &["s3:GetObject"],
        &[ledger("/ledger.json"), ledger("/audit/*"), ledger("/HALT")],
    )
}

fn ledger(key: &str) -> Text {
    Text::from(LEDGERS) + "/" + LEDGER + key
}

fn all_sets() -> Vec<Text> {
    [V4, V6, CANARY_V4, CANARY_V6].map(Text::from).to_vec()
}

fn delivery(setup: &Setup) -> Value {
    let objects = [below(LOGS, ACCESS), below(LOGS, FAILED)];
    let log_streams = setup.log_group_arn("delivery") + ":log-stream:*";
    document(&[
        allow(
            "FindBucket",
            &["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            &[LOGS.into()],
        ),
        allow("WriteLogs", &["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], &objects),
        allow("ReportErrors", &["logs:PutLogEvents"], &[Text::from(log_streams.as_str())]),
    ])
}

fn execution(setup: &Setup) -> Value {
    let groups: &[&str] =
        if setup.watches { &["scan", "expire", "watch"] } else { &["scan", "expire"] };
    document(&[write_output(setup, groups)])
}

/// To write into these log groups.
fn write_output(setup: &Setup, groups: &[&str]) -> Value {
    let streams: Vec<Text> = groups
        .iter()
        .map(|of| Text::from(format!("{}:log-stream:*", setup.log_group_arn(of)).as_str()))
        .collect();
    allow("WriteOutput", &["logs:CreateLogStream", "logs:PutLogEvents"], &streams)
}

/// The function that reads: Lambda itself takes the messages for it, by its role.
fn function(setup: &Setup) -> Value {
    let mut statements = vec![become_read_or_apply(), write_output(setup, &["scan"])];
    if setup.watches {
        let taking = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
        statements.push(allow("TakeMessages", &taking, &[QUEUE.into()]));
    }
    document(&statements)
}

fn become_read_or_apply() -> Value {
    let both = [READ_ROLE.into(), APPLY_ROLE.into()];
    allow("BecomeReadOrApply", &["sts:AssumeRole"], &both)
}

fn call_functions() -> Value {
    let both = [SCAN_FUNCTION.into(), EXPIRE_FUNCTION.into()];
    document(&[allow("CallFunctions", &["lambda:InvokeFunction"], &both)])
}

fn schedule() -> Value {
    let mut start = allow("StartTasks", &["ecs:RunTask"], &[SCAN_TASK.into(), EXPIRE_TASK.into()]);
    start["Condition"] = json!({"ArnEquals": {"ecs:cluster": CLUSTER}});
    let mut pass = allow(
        "GiveRolesToTasks",
        &["iam:PassRole"],
        &[RUNNER_ROLE.into(), EXPIRE_ROLE.into(), EXECUTION_ROLE.into()],
    );
    pass["Condition"] = json!({"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}});
    document(&[start, pass])
}

/// Objects below a prefix that ends with a slash.
fn below(bucket: Attribute, prefix: &str) -> Text {
    Text::from(bucket) + "/" + prefix + "*"
}

fn allow(sid: &str, actions: &[&str], resources: &[Text]) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources})
}

fn document(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// A service may assume the role, on behalf of this account only.
fn trusting_service(setup: &Setup, service: &str) -> Value {
    document(&[json!({
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": setup.account}},
    })])
}

/// Lambda shows no account when it takes a role. It takes one only for functions of the
/// role's own account, whose maker may pass it on.
fn trusting_lambda() -> Value {
    document(&[json!({
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    })])
}

/// Firehose shows the account it works for as an external id, as its guide asks.
fn trusting_firehose(setup: &Setup) -> Value {
    document(&[json!({
        "Effect": "Allow",
        "Principal": {"Service": "firehose.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": setup.account}},
    })])
}

/// Those that were named may assume the role, and the scheduled task: by way of a role of
/// its own, or as its own role.
fn trusting_users(setup: &Setup, runner: Option<Attribute>) -> Value {
    let mut statements = Vec::new();
    let mut principals: Vec<Text> = Vec::new();
    if setup.runner != Runner::Host {
        if let Some(role) = runner {
            principals.push(role.into());
        } else {
            let service = match setup.runner {
                Runner::Lambda { .. } => trusting_lambda(),
                Runner::Fargate { .. } | Runner::Host => {
                    trusting_service(setup, "ecs-tasks.amazonaws.com")
                }
            };
            statements.push(service["Statement"][0].clone());
        }
    }
    principals.extend(setup.trusted.iter().map(|arn| Text::from(arn.as_str())));
    if !principals.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Principal": {"AWS": principals},
            "Action": "sts:AssumeRole",
        }));
    }
    document(&statements)
}

/// What may be done with a bucket: nothing without TLS; and AWS WAF and CloudFront may each
/// deliver to their own.
pub(crate) fn bucket(setup: &Setup, bucket: Attribute) -> Value {
    let mut statements = vec![json!({
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [Text::from(bucket), Text::from(bucket) + "/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    })];
    let objects = match setup.front {
        _ if bucket == WAF_LOGS => {
            Some(Text::from(bucket) + "/AWSLogs/" + setup.account.as_str() + "/*")
        }
        // What CloudFront puts before the folders that were asked for is AWS's to choose.
        Front::Distribution { .. } if bucket == LOGS => Some(Text::from(bucket) + "/*"),
        Front::Stage { .. } | Front::Distribution { .. } => None,
    };
    if let Some(objects) = objects {
        let account = &setup.account;
        let source = format!("arn:{}:logs:{}:{account}:*", setup.partition(), setup.region);
        let service = json!({"Service": "delivery.logs.amazonaws.com"});
        statements.push(json!({
            "Sid": "AWSLogDeliveryWrite",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:PutObject",
            "Resource": objects,
            "Condition": {
                "StringEquals": {
                    "s3:x-amz-acl": "bucket-owner-full-control",
                    "aws:SourceAccount": account,
                },
                "ArnLike": {"aws:SourceArn": source},
            },
        }));
        statements.push(json!({
            "Sid": "AWSLogDeliveryAclCheck",
            "Effect": "Allow",
            "Principal": service,
            "Action": "s3:GetBucketAcl",
            "Resource": bucket,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": source},
            },
        }));
    }
    document(&statements)
}
