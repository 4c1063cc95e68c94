//! The log of a CloudFront distribution, delivered into the bucket of logs.

use crate::answers::Setup;
use crate::front::{FOLDERS, LOG_FORMAT, distribution_arn};
use crate::hcl::Body;
use crate::names::LOGS;

pub(super) fn log(file: &mut Body, setup: &Setup, id: &str) {
    file.block("resource", &["aws_cloudwatch_log_delivery_source", "access"], |body| {
        body.set("name", setup.named("access"));
        body.set("log_type", "ACCESS_LOGS");
        body.set("resource_arn", distribution_arn(setup, id));
    });
    file.block("resource", &["aws_cloudwatch_log_delivery_destination", "access"], |body| {
        body.set("name", setup.named("access"));
        body.set("output_format", LOG_FORMAT);
        body.block("delivery_destination_configuration", &[], |body| {
            body.refer("destination_resource_arn", LOGS);
        });
        body.comment("CloudFront looks at the bucket's policy when the delivery is made.");
        body.express("depends_on", "[aws_s3_bucket_policy.logs]");
    });
    file.block("resource", &["aws_cloudwatch_log_delivery", "access"], |body| {
        body.express("delivery_source_name", "aws_cloudwatch_log_delivery_source.access.name");
        body.express(
            "delivery_destination_arn",
            "aws_cloudwatch_log_delivery_destination.access.arn",
        );
        body.block("s3_delivery_configuration", &[], |body| {
            body.set("suffix_path", FOLDERS);
            body.set("enable_hive_compatible_path", false);
        });
    });
}
