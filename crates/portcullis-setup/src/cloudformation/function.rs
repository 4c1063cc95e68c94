//! Functions, what calls them, and the alarms on calls that fail or never come.

use serde_json::{Map, Value, json};

use super::log_group;
use super::schedule::{metric, missed, rate_schedule, topic};
use crate::answers::Setup;
use crate::function::{
    BATCH, BATCH_SECONDS, ERROR_SECONDS, ERRORS, Function, MEMORY, functions, timeout_seconds,
    waiting_seconds,
};
use crate::names::QUEUE;

pub(super) fn write(resources: &mut Map<String, Value>, setup: &Setup) {
    let Some((image, functions)) = functions(setup) else {
        return;
    };
    resources.insert("AlarmTopic".to_owned(), topic(setup));
    for function in &functions {
        let Function { name, cloudformation, success, .. } = function;
        let mut insert = |ending: &str, resource: Value| {
            resources.insert(format!("{cloudformation}{ending}"), resource);
        };
        insert("LogGroup", log_group(setup, name));
        insert("Function", described(setup, image, function));
        insert("Waiting", waiting(setup, function));
        insert("Schedule", planned(setup, function));
        insert("Metric", metric(setup, (cloudformation, name), success));
        insert("Alarm", missed(setup, name));
        insert("ErrorsAlarm", errors(setup, name));
        if function.takes_messages {
            insert("Messages", mapping(function));
        }
    }
}

fn described(setup: &Setup, image: &str, function: &Function) -> Value {
    let Function { cloudformation, role, command, environment, .. } = function;
    let variables: Map<String, Value> = environment
        .iter()
        .map(|(variable, value)| ((*variable).to_owned(), json!(value)))
        .collect();
    json!({
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": setup.named(function.name),
            "PackageType": "Image",
            "Code": {"ImageUri": image},
            "ImageConfig": {"Command": command},
            "Role": role,
            "Architectures": ["x86_64"],
            "MemorySize": MEMORY,
            "Timeout": timeout_seconds(setup),
            // One call at a time: another one waits.
            "ReservedConcurrentExecutions": 1,
            "Environment": {"Variables": variables},
            // The program writes lines of JSON itself.
            "LoggingConfig": {
                "LogFormat": "Text",
                "LogGroup": {"Ref": format!("{cloudformation}LogGroup")},
            },
        },
    })
}

fn waiting(setup: &Setup, function: &Function) -> Value {
    json!({
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": format!("{}Function", function.cloudformation)},
            "Qualifier": "$LATEST",
            // What a call left is taken up by the next one of the schedule.
            "MaximumEventAgeInSeconds": waiting_seconds(setup),
            "MaximumRetryAttempts": 0,
        },
    })
}

fn planned(setup: &Setup, function: &Function) -> Value {
    let target = json!({
        "Arn": function.arn,
        "RoleArn": {"Fn::GetAtt": ["ScheduleRole", "Arn"]},
        "RetryPolicy": {
            "MaximumEventAgeInSeconds": waiting_seconds(setup),
            "MaximumRetryAttempts": 3,
        },
    });
    rate_schedule(setup, function.name, &target)
}

fn mapping(function: &Function) -> Value {
    json!({
        "Type": "AWS::Lambda::EventSourceMapping",
        // Lambda looks at the function's permissions when the mapping is made.
        "DependsOn": "RunnerRolePolicy",
        "Properties": {
            "EventSourceArn": QUEUE,
            "FunctionName": {"Ref": format!("{}Function", function.cloudformation)},
            "BatchSize": BATCH,
            "MaximumBatchingWindowInSeconds": BATCH_SECONDS,
            // Without this, Lambda deletes messages that the answer wants back.
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    })
}

fn errors(setup: &Setup, name: &str) -> Value {
    json!({
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": setup.named(&format!("errors-{name}")),
            "AlarmDescription": ERRORS,
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Dimensions": [{"Name": "FunctionName", "Value": setup.named(name)}],
            "Statistic": "Sum",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1,
            "Period": ERROR_SECONDS,
            "EvaluationPeriods": 1,
            // Calls that never were are the other alarm's.
            "TreatMissingData": "notBreaching",
            "AlarmActions": [{"Ref": "AlarmTopic"}],
        },
    })
}
