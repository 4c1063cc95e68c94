//! The queue of new objects, and who takes them up.

use serde_json::{Map, Value, json};

use super::log_group;
use super::schedule::definition;
use crate::answers::Setup;
use crate::container::fargate;
use crate::names::{CLUSTER, QUEUE};
use crate::queue::{
    ASIDE, ASIDE_SECONDS, DELIVERIES, KEPT_SECONDS, OBJECTS, policy, visibility_seconds,
};

pub(super) fn queue(resources: &mut Map<String, Value>, setup: &Setup) {
    resources.insert(
        "ObjectsAside".to_owned(),
        json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": setup.named(ASIDE),
            "MessageRetentionPeriod": ASIDE_SECONDS,
            "SqsManagedSseEnabled": true,
        }}),
    );
    resources.insert(
        "ObjectsQueue".to_owned(),
        json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": setup.named(OBJECTS),
            "VisibilityTimeout": visibility_seconds(setup),
            "MessageRetentionPeriod": KEPT_SECONDS,
            "ReceiveMessageWaitTimeSeconds": 20,
            "SqsManagedSseEnabled": true,
            "RedrivePolicy": {
                "deadLetterTargetArn": {"Fn::GetAtt": ["ObjectsAside", "Arn"]},
                "maxReceiveCount": DELIVERIES,
            },
        }}),
    );
    resources.insert(
        "ObjectsQueuePolicy".to_owned(),
        json!({"Type": "AWS::SQS::QueuePolicy", "Properties": {
            "Queues": [{"Ref": "ObjectsQueue"}],
            "PolicyDocument": policy(setup),
        }}),
    );
    let mut told = json!({"Event": "s3:ObjectCreated:*", "Queue": QUEUE});
    if !setup.log_prefix().is_empty() {
        let prefix = json!({"Name": "prefix", "Value": setup.log_prefix()});
        told["Filter"] = json!({"S3Key": {"Rules": [prefix]}});
    }
    let bucket = resources.get_mut("LogsBucket").expect("the bucket of logs is written before");
    // S3 asks the queue whether it may tell it.
    bucket["DependsOn"] = json!("ObjectsQueuePolicy");
    bucket["Properties"]["NotificationConfiguration"] = json!({"QueueConfigurations": [told]});
    let Some(fargate) = fargate(setup) else {
        return;
    };
    let Some(task) = &fargate.service else {
        return;
    };
    let mut insert = |ending: &str, resource: Value| {
        resources.insert(format!("{}{ending}", task.cloudformation), resource);
    };
    insert("LogGroup", log_group(setup, task.name));
    insert("Task", definition(setup, task));
    let network = json!({"AwsvpcConfiguration": {
        "Subnets": fargate.subnets,
        "SecurityGroups": fargate.security_groups,
        "AssignPublicIp": "DISABLED",
    }});
    let properties = json!({
        "ServiceName": setup.named(task.name),
        "Cluster": CLUSTER,
        "TaskDefinition": task.definition,
        "LaunchType": "FARGATE",
        "DesiredCount": 1,
        // The old one ends before the new one begins: two would wait for each other.
        "DeploymentConfiguration": {"MinimumHealthyPercent": 0, "MaximumPercent": 100},
        "NetworkConfiguration": network,
    });
    insert("Service", json!({"Type": "AWS::ECS::Service", "Properties": properties}));
}
