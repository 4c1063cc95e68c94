//! The pipeline as one CloudFormation template, in JSON.
//!
//! CloudFormation manages a stage whole or not at all, and this one belongs to whoever
//! made the API. So the template has the stream, and its output `StageCommand` is the one
//! command that points the stage's access log at it, with `stage-access-log.json`.
//!
//! The sets are made empty, and CloudFormation looks at them again only when their own
//! lines in the template change.

mod distribution;
mod firewall;
mod function;
mod queue;
mod schedule;

use serde_json::{Map, Value, json};

use crate::answers::Setup;
use crate::front::{Front, associating};
use crate::names::{
    ACCESS, CANARY_V4, CANARY_V6, DELIVERY_ROLE, FAILED, LEDGERS, LOGS, STREAM, V4, V6, WAF_LOGS,
    WEB_ACL,
};
use crate::terraform::{
    BUFFER_MEGABYTES, BUFFER_SECONDS, DELIMITER, LOG_GROUP_DAYS, OLD_VERSION_DAYS,
};
use crate::text::{Attribute, Part, Text, parts};
use crate::{File, policy};

pub(crate) fn files(setup: &Setup) -> Vec<File> {
    let mut resources = Map::new();
    delivery(&mut resources, setup);
    roles(&mut resources, setup);
    firewall::firewall(&mut resources, setup);
    schedule::schedule(&mut resources, setup);
    function::write(&mut resources, setup);
    if setup.watches {
        queue::queue(&mut resources, setup);
    }
    let output =
        |description: &str, value: Value| json!({"Description": description, "Value": value});
    let mut outputs = json!({
        "Sets": output(
            "PORTCULLIS_SETS, for the environment of the program",
            json!(Text::from(V4) + "," + V6),
        ),
        "CanarySets": output(
            "PORTCULLIS_CANARY_SETS, for the environment of the program",
            json!(Text::from(CANARY_V4) + "," + CANARY_V6),
        ),
        "Logs": output("What to scan", json!(setup.log_location())),
    });
    match &setup.front {
        Front::Stage { api_id, stage } => {
            outputs["Stream"] = output("Where the stage's access log goes", json!(STREAM));
            if !setup.leaves_stage {
                let command = format!(
                    "aws apigateway update-stage --region {} --rest-api-id {api_id} --stage-name \
                     {stage} --patch-operations file://stage-access-log.json",
                    setup.region
                );
                outputs["StageCommand"] =
                    output("Run this once: it points the access log at the stream", json!(command));
            }
        }
        Front::Distribution { id } if !setup.has_web_acl => {
            let command = Text::from(&*associating(id)) + WEB_ACL;
            outputs["DistributionCommand"] =
                output("Run this once: it gives the distribution its web ACL", json!(command));
        }
        Front::Distribution { .. } => {}
    }
    if setup.has_web_acl {
        outputs["RuleGroup"] = output(
            "What to refer to from your web ACL",
            json!({"Fn::GetAtt": ["RuleGroup", "Arn"]}),
        );
    }
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("Portcullis {}: access logs to blocked attackers", setup.name),
        "Resources": resources,
        "Outputs": outputs,
    });
    let text = serde_json::to_string_pretty(&resolved(&template)).expect("strings are JSON");
    vec![File::new("cloudformation/portcullis.json", text + "\n")]
}

/// The value with every [`Text`] said as CloudFormation says it.
fn resolved(value: &Value) -> Value {
    if let Some(parts) = parts(value) {
        return reference(&parts);
    }
    match value {
        Value::Array(values) => values.iter().map(resolved).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), resolved(value))).collect()
        }
        other => other.clone(),
    }
}

fn reference(parts: &[Part]) -> Value {
    match parts {
        [Part::Literal(text)] => json!(text),
        [Part::Attribute { cloudformation, .. }] => match cloudformation.split_once('.') {
            Some((resource, attribute)) => json!({"Fn::GetAtt": [resource, attribute]}),
            None => json!({"Ref": cloudformation}),
        },
        parts => {
            let text: String = parts
                .iter()
                .map(|part| match part {
                    // `${!` stands for `${`.
                    Part::Literal(text) => text.replace("${", "${!"),
                    Part::Attribute { cloudformation, .. } => format!("${{{cloudformation}}}"),
                })
                .collect();
            json!({"Fn::Sub": text})
        }
    }
}

/// One bucket with everything that makes it safe.
fn write_bucket(
    resources: &mut Map<String, Value>,
    setup: &Setup,
    (id, arn): (&str, Attribute),
    name: &str,
    lifetime: &Value,
    is_versioned: bool,
) {
    let mut rule = json!({
        "Id": "expire",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    });
    for (key, value) in lifetime.as_object().into_iter().flatten() {
        rule[key] = value.clone();
    }
    let mut properties = json!({
        "BucketName": name,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}},
        ]},
        "LifecycleConfiguration": {"Rules": [rule]},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true,
            "BlockPublicPolicy": true,
            "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true,
        },
        "Tags": [{"Key": "portcullis", "Value": setup.name}],
    });
    if is_versioned {
        properties["VersioningConfiguration"] = json!({"Status": "Enabled"});
    }
    resources.insert(
        id.to_owned(),
        json!({
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": properties,
        }),
    );
    resources.insert(
        format!("{id}Policy"),
        json!({
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": id}, "PolicyDocument": policy::bucket(setup, arn)},
        }),
    );
}

fn delivery(resources: &mut Map<String, Value>, setup: &Setup) {
    let expiring = json!({"ExpirationInDays": setup.keep_days});
    let kept = json!({"NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSION_DAYS}});
    let mut bucket = |id, arn, name: String, lifetime, is_versioned| {
        write_bucket(resources, setup, (id, arn), &name, lifetime, is_versioned);
    };
    bucket("LogsBucket", LOGS, setup.logs_bucket(), &expiring, false);
    bucket("WafLogsBucket", WAF_LOGS, setup.waf_logs_bucket(), &expiring, false);
    bucket("LedgerBucket", LEDGERS, setup.ledger_bucket(), &kept, true);
    match &setup.front {
        Front::Stage { .. } => stream(resources, setup),
        Front::Distribution { id } => distribution::log(resources, setup, id),
    }
}

fn stream(resources: &mut Map<String, Value>, setup: &Setup) {
    resources.insert("DeliveryLogGroup".to_owned(), log_group(setup, "delivery"));
    resources.insert(
        "DeliveryLogStream".to_owned(),
        json!({
            "Type": "AWS::Logs::LogStream",
            "Properties": {"LogGroupName": {"Ref": "DeliveryLogGroup"}, "LogStreamName": "s3"},
        }),
    );
    resources.insert(
        "AccessStream".to_owned(),
        json!({
            "Type": "AWS::KinesisFirehose::DeliveryStream",
            // Firehose looks at its permissions when it is made.
            "DependsOn": "DeliveryRolePolicy",
            "Properties": {
                "DeliveryStreamName": setup.stream(),
                "DeliveryStreamType": "DirectPut",
                "DeliveryStreamEncryptionConfigurationInput": {"KeyType": "AWS_OWNED_CMK"},
                "ExtendedS3DestinationConfiguration": {
                    "RoleARN": DELIVERY_ROLE,
                    "BucketARN": LOGS,
                    "Prefix": format!("{ACCESS}!{{timestamp:yyyy/MM/dd/HH/}}"),
                    "ErrorOutputPrefix": format!(
                        "{FAILED}!{{firehose:error-output-type}}/!{{timestamp:yyyy/MM/dd/HH/}}"
                    ),
                    "BufferingHints": {
                        "SizeInMBs": BUFFER_MEGABYTES,
                        "IntervalInSeconds": BUFFER_SECONDS,
                    },
                    "CompressionFormat": "GZIP",
                    "CloudWatchLoggingOptions": {
                        "Enabled": true,
                        "LogGroupName": {"Ref": "DeliveryLogGroup"},
                        "LogStreamName": {"Ref": "DeliveryLogStream"},
                    },
                    "ProcessingConfiguration": {
                        "Enabled": true,
                        "Processors": [{
                            "Type": "AppendDelimiterToRecord",
                            "Parameters": [
                                {"ParameterName": "Delimiter", "ParameterValue": DELIMITER},
                            ],
                        }],
                    },
                },
            },
        }),
    );
}

fn log_group(setup: &Setup, of: &str) -> Value {
    json!({
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"LogGroupName": setup.log_group(of), "RetentionInDays": LOG_GROUP_DAYS},
    })
}

fn roles(resources: &mut Map<String, Value>, setup: &Setup) {
    for role in policy::roles(setup) {
        let id = role.cloudformation;
        let mut properties = json!({
            "RoleName": setup.named(role.name),
            "Description": role.description,
            "AssumeRolePolicyDocument": role.trust,
        });
        if let Some(managed) = &role.managed {
            properties["ManagedPolicyArns"] = json!([managed]);
        }
        resources
            .insert(id.to_owned(), json!({"Type": "AWS::IAM::Role", "Properties": properties}));
        // Apart from the role, because two roles name each other.
        resources.insert(
            format!("{id}Policy"),
            json!({
                "Type": "AWS::IAM::Policy",
                "Properties": {
                    "PolicyName": setup.named(role.name),
                    "Roles": [{"Ref": id}],
                    "PolicyDocument": role.policy,
                },
            }),
        );
    }
}
