//! Tasks, their schedule, and the alarm on runs that did not happen.

use super::LOG_GROUP_DAYS;
use crate::answers::Setup;
use crate::container::{Fargate, Task, fargate, patience_seconds};
use crate::hcl::Body;
use crate::names::{CLUSTER, EXECUTION_ROLE};

pub(super) fn schedule(setup: &Setup) -> String {
    let mut file = Body::default();
    let Some(fargate) = fargate(setup) else {
        return file.finish();
    };
    file.block("resource", &["aws_ecs_cluster", "this"], |body| {
        body.set("name", setup.named("cluster"));
    });
    for scheduled in &fargate.tasks {
        write_task(&mut file, setup, &scheduled.task);
        write_schedule(&mut file, setup, &fargate, &scheduled.task);
        write_missed(&mut file, setup, scheduled.task.name, &scheduled.success);
    }
    write_topic(&mut file, setup);
    file.finish()
}

/// Where alarms are sent.
pub(super) fn write_topic(file: &mut Body, setup: &Setup) {
    file.block("resource", &["aws_sns_topic", "alarm"], |body| {
        body.set("name", setup.named("alarm"));
    });
    if let Some(email) = &setup.alarm_email {
        file.block("resource", &["aws_sns_topic_subscription", "alarm"], |body| {
            body.express("topic_arn", "aws_sns_topic.alarm.arn");
            body.set("protocol", "email");
            body.set("endpoint", email.as_str());
        });
    }
}

pub(super) fn write_task(file: &mut Body, setup: &Setup, task: &Task) {
    file.block("resource", &["aws_cloudwatch_log_group", task.name], |body| {
        body.set("name", setup.log_group(task.name));
        body.set("retention_in_days", LOG_GROUP_DAYS);
    });
    file.block("resource", &["aws_ecs_task_definition", task.name], |body| {
        body.set("family", setup.named(task.name));
        body.set("requires_compatibilities", vec!["FARGATE"]);
        body.set("network_mode", "awsvpc");
        body.set("cpu", TASK_CPU);
        body.set("memory", TASK_MEMORY);
        body.refer("execution_role_arn", EXECUTION_ROLE);
        body.refer("task_role_arn", task.role);
        body.document("container_definitions", &task.containers);
    });
}

/// A quarter of the smallest task's processor would do for `expire`; a scan wants one.
pub(crate) const TASK_CPU: &str = "1024";
/// Megabytes.
pub(crate) const TASK_MEMORY: &str = "2048";

fn write_schedule(file: &mut Body, setup: &Setup, fargate: &Fargate<'_>, task: &Task) {
    file.block("resource", &["aws_scheduler_schedule", task.name], |body| {
        body.set("name", setup.named(task.name));
        body.set("schedule_expression", format!("rate({} minutes)", setup.every_minutes));
        body.block("flexible_time_window", &[], |body| body.set("mode", "OFF"));
        body.block("target", &[], |body| {
            body.refer("arn", CLUSTER);
            body.express("role_arn", "aws_iam_role.schedule.arn");
            body.block("ecs_parameters", &[], |body| {
                body.refer("task_definition_arn", task.definition);
                body.set("launch_type", "FARGATE");
                body.set("task_count", 1);
                body.block("network_configuration", &[], |body| {
                    body.set("subnets", fargate.subnets.to_vec());
                    body.set("security_groups", fargate.security_groups.to_vec());
                    body.set("assign_public_ip", false);
                });
            });
            body.block("retry_policy", &[], |body| {
                // A run that comes late would meet the next one.
                body.set("maximum_event_age_in_seconds", setup.every_minutes * 60);
                body.set("maximum_retry_attempts", 3);
            });
        });
    });
}

/// The alarm on runs that did not end well, or never were.
pub(super) fn write_missed(file: &mut Body, setup: &Setup, name: &str, success: &str) {
    file.block("resource", &["aws_cloudwatch_log_metric_filter", name], |body| {
        body.set("name", setup.named(name));
        body.express("log_group_name", &format!("aws_cloudwatch_log_group.{name}.name"));
        body.set("pattern", success);
        body.block("metric_transformation", &[], |body| {
            body.set("namespace", "Portcullis");
            body.set("name", setup.named(name));
            body.set("value", "1");
        });
    });
    file.block("resource", &["aws_cloudwatch_metric_alarm", name], |body| {
        body.set("alarm_name", setup.named(&format!("missed-{name}")));
        body.set("alarm_description", format!("No portcullis {name} ended well for three runs"));
        body.set("namespace", "Portcullis");
        body.set("metric_name", setup.named(name));
        body.set("statistic", "Sum");
        body.set("comparison_operator", "LessThanThreshold");
        body.set("threshold", 1);
        body.set("period", patience_seconds(setup));
        body.set("evaluation_periods", 1);
        body.comment("What nobody says happened did not happen.");
        body.set("treat_missing_data", "breaching");
        body.express("alarm_actions", "[aws_sns_topic.alarm.arn]");
    });
}
