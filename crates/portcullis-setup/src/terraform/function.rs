//! Functions, what calls them, and the alarms on calls that fail or never come.

use serde_json::{Map, Value, json};

use super::LOG_GROUP_DAYS;
use super::schedule::{write_missed, write_topic};
use crate::answers::Setup;
use crate::function::{
    BATCH, BATCH_SECONDS, ERROR_SECONDS, ERRORS, Function, MEMORY, functions, timeout_seconds,
    waiting_seconds,
};
use crate::hcl::Body;
use crate::names::QUEUE;

pub(super) fn functions_file(setup: &Setup) -> String {
    let mut file = Body::default();
    let Some((image, functions)) = functions(setup) else {
        return file.finish();
    };
    for function in &functions {
        write_function(&mut file, setup, image, function);
        write_schedule(&mut file, setup, function);
        write_missed(&mut file, setup, function.name, function.success);
        write_errors(&mut file, setup, function);
        if function.takes_messages {
            write_mapping(&mut file, function);
        }
    }
    write_topic(&mut file, setup);
    file.finish()
}

fn write_function(file: &mut Body, setup: &Setup, image: &str, function: &Function) {
    let name = function.name;
    file.block("resource", &["aws_cloudwatch_log_group", name], |body| {
        body.set("name", setup.log_group(name));
        body.set("retention_in_days", LOG_GROUP_DAYS);
    });
    file.block("resource", &["aws_lambda_function", name], |body| {
        body.set("function_name", setup.named(name));
        body.set("package_type", "Image");
        body.set("image_uri", image);
        body.refer("role", function.role);
        body.set("architectures", vec!["x86_64"]);
        body.set("memory_size", MEMORY);
        body.set("timeout", timeout_seconds(setup));
        body.comment("One call at a time: another one waits.");
        body.set("reserved_concurrent_executions", 1);
        body.block("image_config", &[], |body| body.set("command", function.command.clone()));
        body.block("environment", &[], |body| {
            let variables: Map<String, Value> = function
                .environment
                .iter()
                .map(|(variable, value)| ((*variable).to_owned(), json!(value)))
                .collect();
            body.set("variables", variables);
        });
        body.block("logging_config", &[], |body| {
            body.comment("The program writes lines of JSON itself.");
            body.set("log_format", "Text");
            body.express("log_group", &format!("aws_cloudwatch_log_group.{name}.name"));
        });
    });
    file.block("resource", &["aws_lambda_function_event_invoke_config", name], |body| {
        body.express("function_name", &format!("aws_lambda_function.{name}.function_name"));
        body.comment("What a call left is taken up by the next one of the schedule.");
        body.set("maximum_event_age_in_seconds", waiting_seconds(setup));
        body.set("maximum_retry_attempts", 0);
    });
}

fn write_schedule(file: &mut Body, setup: &Setup, function: &Function) {
    file.block("resource", &["aws_scheduler_schedule", function.name], |body| {
        body.set("name", setup.named(function.name));
        body.set("schedule_expression", format!("rate({} minutes)", setup.every_minutes));
        body.block("flexible_time_window", &[], |body| body.set("mode", "OFF"));
        body.block("target", &[], |body| {
            body.refer("arn", function.arn);
            body.express("role_arn", "aws_iam_role.schedule.arn");
            body.block("retry_policy", &[], |body| {
                body.set("maximum_event_age_in_seconds", waiting_seconds(setup));
                body.set("maximum_retry_attempts", 3);
            });
        });
    });
}

fn write_mapping(file: &mut Body, function: &Function) {
    file.block("resource", &["aws_lambda_event_source_mapping", function.name], |body| {
        body.refer("event_source_arn", QUEUE);
        body.refer("function_name", function.arn);
        body.set("batch_size", BATCH);
        body.set("maximum_batching_window_in_seconds", BATCH_SECONDS);
        body.comment("Without this, Lambda deletes messages that the answer wants back.");
        body.set("function_response_types", vec!["ReportBatchItemFailures"]);
        body.comment("Lambda looks at the function's permissions when the mapping is made.");
        body.express("depends_on", "[aws_iam_role_policy.runner]");
    });
}

fn write_errors(file: &mut Body, setup: &Setup, function: &Function) {
    let name = function.name;
    file.block("resource", &["aws_cloudwatch_metric_alarm", &format!("{name}_errors")], |body| {
        body.set("alarm_name", setup.named(&format!("errors-{name}")));
        body.set("alarm_description", ERRORS);
        body.set("namespace", "AWS/Lambda");
        body.set("metric_name", "Errors");
        body.set("dimensions", json!({"FunctionName": setup.named(name)}));
        body.set("statistic", "Sum");
        body.set("comparison_operator", "GreaterThanOrEqualToThreshold");
        body.set("threshold", 1);
        body.set("period", ERROR_SECONDS);
        body.set("evaluation_periods", 1);
        body.comment("Calls that never were are the other alarm's.");
        body.set("treat_missing_data", "notBreaching");
        body.express("alarm_actions", "[aws_sns_topic.alarm.arn]");
    });
}
