//! Sets, rules, web ACL and its log.

use serde_json::{Map, Value, json};

use crate::answers::Setup;
use crate::names::{SETS, WAF_LOGS};
use crate::rules::{CAPACITY, Rule, rules};

pub(super) fn firewall(resources: &mut Map<String, Value>, setup: &Setup) {
    for set in &SETS {
        resources.insert(
            set.cloudformation.to_owned(),
            json!({
                "Type": "AWS::WAFv2::IPSet",
                "Properties": {
                    "Name": setup.named(set.ending),
                    "Description": set.description,
                    "Scope": setup.scope(),
                    "IPAddressVersion": set.version,
                    "Addresses": [],
                },
            }),
        );
    }
    let rules: Vec<Value> = rules().iter().map(|rule| described(setup, rule)).collect();
    if setup.has_web_acl {
        resources.insert(
            "RuleGroup".to_owned(),
            json!({
                "Type": "AWS::WAFv2::RuleGroup",
                "Properties": {
                    "Name": setup.named("rules"),
                    "Scope": setup.scope(),
                    "Capacity": CAPACITY,
                    "Rules": rules,
                    "VisibilityConfig": visibility(&setup.named("rules")),
                },
            }),
        );
    } else {
        web_acl(resources, setup, &rules);
    }
}

fn web_acl(resources: &mut Map<String, Value>, setup: &Setup, rules: &[Value]) {
    let arn = json!({"Fn::GetAtt": ["WebAcl", "Arn"]});
    let mut insert = |id: &str, resource: Value| resources.insert(id.to_owned(), resource);
    insert(
        "WebAcl",
        json!({
            "Type": "AWS::WAFv2::WebACL",
            "Properties": {
                "Name": setup.named("acl"),
                "Scope": setup.scope(),
                "DefaultAction": {"Allow": {}},
                "Rules": rules,
                "VisibilityConfig": visibility(&setup.named("acl")),
            },
        }),
    );
    // A distribution's web ACL is a setting of its own.
    if let Some(stage) = setup.stage_arn() {
        insert(
            "WebAclAssociation",
            json!({
                "Type": "AWS::WAFv2::WebACLAssociation",
                "Properties": {"ResourceArn": stage, "WebACLArn": arn},
            }),
        );
    }
    let redacted = |header: &str| json!({"SingleHeader": {"Name": header}});
    insert(
        "WebAclLog",
        json!({
            "Type": "AWS::WAFv2::LoggingConfiguration",
            // AWS WAF looks at the bucket's policy when the log is turned on.
            "DependsOn": "WafLogsBucketPolicy",
            "Properties": {
                "ResourceArn": arn,
                "LogDestinationConfigs": [WAF_LOGS],
                "RedactedFields": [redacted("authorization"), redacted("cookie")],
            },
        }),
    );
}

fn described(setup: &Setup, rule: &Rule) -> Value {
    let action = if rule.blocks { json!({"Block": {}}) } else { json!({"Count": {}}) };
    json!({
        "Name": rule.ending,
        "Priority": rule.priority,
        "Action": action,
        "Statement": {"IPSetReferenceStatement": {"Arn": rule.set.arn}},
        "VisibilityConfig": visibility(&setup.named(rule.ending)),
    })
}

fn visibility(metric: &str) -> Value {
    json!({
        "CloudWatchMetricsEnabled": true,
        "MetricName": metric,
        "SampledRequestsEnabled": true,
    })
}
