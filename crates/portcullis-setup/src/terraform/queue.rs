//! The queue of new objects, and who takes them up.

use serde_json::json;

use super::schedule::write_task;
use crate::answers::Setup;
use crate::container::fargate;
use crate::hcl::Body;
use crate::names::{CLUSTER, QUEUE};
use crate::queue::{
    ASIDE, ASIDE_SECONDS, DELIVERIES, KEPT_SECONDS, OBJECTS, policy, visibility_seconds,
};

pub(super) fn queue(setup: &Setup) -> String {
    let mut file = Body::default();
    file.block("resource", &["aws_sqs_queue", "aside"], |body| {
        body.set("name", setup.named(ASIDE));
        body.set("message_retention_seconds", ASIDE_SECONDS);
        body.set("sqs_managed_sse_enabled", true);
    });
    file.block("resource", &["aws_sqs_queue", "objects"], |body| {
        body.set("name", setup.named(OBJECTS));
        body.set("visibility_timeout_seconds", visibility_seconds(setup));
        body.set("message_retention_seconds", KEPT_SECONDS);
        body.set("receive_wait_time_seconds", 20);
        body.set("sqs_managed_sse_enabled", true);
        body.express(
            "redrive_policy",
            &format!(
                "jsonencode({{ deadLetterTargetArn = aws_sqs_queue.aside.arn, maxReceiveCount = \
                 {DELIVERIES} }})"
            ),
        );
    });
    file.block("resource", &["aws_sqs_queue_policy", "objects"], |body| {
        body.express("queue_url", "aws_sqs_queue.objects.id");
        body.document("policy", &policy(setup));
    });
    file.block("resource", &["aws_s3_bucket_notification", "logs"], |body| {
        body.express("bucket", "aws_s3_bucket.logs.id");
        body.block("queue", &[], |body| {
            body.refer("queue_arn", QUEUE);
            body.set("events", json!(["s3:ObjectCreated:*"]));
            if !setup.log_prefix().is_empty() {
                body.set("filter_prefix", setup.log_prefix());
            }
        });
        body.comment("S3 asks the queue whether it may tell it.");
        body.express("depends_on", "[aws_sqs_queue_policy.objects]");
    });
    let Some(fargate) = fargate(setup) else {
        return file.finish();
    };
    let Some(task) = &fargate.service else {
        return file.finish();
    };
    write_task(&mut file, setup, task);
    file.block("resource", &["aws_ecs_service", task.name], |body| {
        body.set("name", setup.named(task.name));
        body.refer("cluster", CLUSTER);
        body.refer("task_definition", task.definition);
        body.set("launch_type", "FARGATE");
        body.set("desired_count", 1);
        body.comment("The old one ends before the new one begins: two would wait for each other.");
        body.set("deployment_minimum_healthy_percent", 0);
        body.set("deployment_maximum_percent", 100);
        body.block("network_configuration", &[], |body| {
            body.set("subnets", fargate.subnets.to_vec());
            body.set("security_groups", fargate.security_groups.to_vec());
            body.set("assign_public_ip", false);
        });
    });
    file.finish()
}
