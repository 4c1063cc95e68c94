//! Tasks, their schedule, and the alarm on runs that did not happen.

use serde_json::{Map, Value, json};

use super::log_group;
use crate::answers::Setup;
use crate::container::{Fargate, Task, fargate, patience_seconds};
use crate::names::{CLUSTER, EXECUTION_ROLE};
use crate::terraform::{TASK_CPU, TASK_MEMORY};

pub(super) fn schedule(resources: &mut Map<String, Value>, setup: &Setup) {
    let Some(fargate) = fargate(setup) else {
        return;
    };
    resources.insert("AlarmTopic".to_owned(), topic(setup));
    resources.insert(
        "Cluster".to_owned(),
        json!({
            "Type": "AWS::ECS::Cluster",
            "Properties": {"ClusterName": setup.named("cluster")},
        }),
    );
    for scheduled in &fargate.tasks {
        let task = &scheduled.task;
        let mut insert = |ending: &str, resource: Value| {
            resources.insert(format!("{}{ending}", task.cloudformation), resource);
        };
        insert("LogGroup", log_group(setup, task.name));
        insert("Task", definition(setup, task));
        insert("Schedule", planned(setup, &fargate, task));
        insert("Metric", metric(setup, (task.cloudformation, task.name), &scheduled.success));
        insert("Alarm", missed(setup, task.name));
    }
}

/// Where alarms are sent.
pub(super) fn topic(setup: &Setup) -> Value {
    let mut topic = json!({"TopicName": setup.named("alarm")});
    if let Some(email) = &setup.alarm_email {
        topic["Subscription"] = json!([{"Protocol": "email", "Endpoint": email}]);
    }
    json!({"Type": "AWS::SNS::Topic", "Properties": topic})
}

pub(super) fn definition(setup: &Setup, task: &Task) -> Value {
    let properties = json!({
        "Family": setup.named(task.name),
        "RequiresCompatibilities": ["FARGATE"],
        "NetworkMode": "awsvpc",
        "Cpu": TASK_CPU,
        "Memory": TASK_MEMORY,
        "ExecutionRoleArn": EXECUTION_ROLE,
        "TaskRoleArn": task.role,
        "ContainerDefinitions": capitalised(&task.containers),
    });
    json!({
        "Type": "AWS::ECS::TaskDefinition",
        "DependsOn": format!("{}LogGroup", task.cloudformation),
        "Properties": properties,
    })
}

/// Container definitions as CloudFormation has them: keys begin with a capital, but not
/// those of the log driver's options, which are the driver's.
fn capitalised(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(capitalised).collect(),
        Value::Object(_) if crate::text::parts(value).is_some() => value.clone(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| {
                let mut letters = key.chars();
                let first = letters.next().into_iter().flat_map(char::to_uppercase);
                let inside = if key == "options" { value.clone() } else { capitalised(value) };
                (first.chain(letters).collect::<String>(), inside)
            })
            .collect(),
        other => other.clone(),
    }
}

fn planned(setup: &Setup, fargate: &Fargate<'_>, task: &Task) -> Value {
    let target = json!({
        "Arn": CLUSTER,
        "RoleArn": {"Fn::GetAtt": ["ScheduleRole", "Arn"]},
        "EcsParameters": {
            "TaskDefinitionArn": task.definition,
            "LaunchType": "FARGATE",
            "TaskCount": 1,
            "NetworkConfiguration": {"AwsvpcConfiguration": {
                "Subnets": fargate.subnets,
                "SecurityGroups": fargate.security_groups,
                "AssignPublicIp": "DISABLED",
            }},
        },
        // A run that comes late would meet the next one.
        "RetryPolicy": {
            "MaximumEventAgeInSeconds": setup.every_minutes * 60,
            "MaximumRetryAttempts": 3,
        },
    });
    rate_schedule(setup, task.name, &target)
}

/// Calls for the target every so many minutes.
pub(super) fn rate_schedule(setup: &Setup, name: &str, target: &Value) -> Value {
    json!({
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "Name": setup.named(name),
            "ScheduleExpression": format!("rate({} minutes)", setup.every_minutes),
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        },
    })
}

/// Counts the lines that say of a run that it ended well.
pub(super) fn metric(setup: &Setup, (id, name): (&str, &str), success: &str) -> Value {
    json!({
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {
            "LogGroupName": {"Ref": format!("{id}LogGroup")},
            "FilterPattern": success,
            "MetricTransformations": [{
                "MetricNamespace": "Portcullis",
                "MetricName": setup.named(name),
                "MetricValue": "1",
            }],
        },
    })
}

/// The alarm on runs that did not end well, or never were.
pub(super) fn missed(setup: &Setup, name: &str) -> Value {
    json!({
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": setup.named(&format!("missed-{name}")),
            "AlarmDescription": format!("No portcullis {name} ended well for three runs"),
            "Namespace": "Portcullis",
            "MetricName": setup.named(name),
            "Statistic": "Sum",
            "ComparisonOperator": "LessThanThreshold",
            "Threshold": 1,
            "Period": patience_seconds(setup),
            "EvaluationPeriods": 1,
            // What nobody says happened did not happen.
            "TreatMissingData": "breaching",
            "AlarmActions": [{"Ref": "AlarmTopic"}],
        },
    })
}
