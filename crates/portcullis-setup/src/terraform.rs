//! The pipeline as Terraform.
//!
//! The stage exists already, with settings that are not ours. Terraform knows stages only
//! as a whole, so ours is imported, everything but its access log is ignored, and it can
//! not be destroyed from here. Likewise the addresses of a set: they are the program's,
//! and Terraform would empty the set at its next run.

mod distribution;
mod firewall;
mod function;
mod queue;
mod schedule;

pub(crate) use schedule::{TASK_CPU, TASK_MEMORY};

use crate::answers::{Runner, Setup};
use crate::front::Front;
use crate::hcl::Body;
use crate::names::{
    ACCESS, CANARY_V4, CANARY_V6, DELIVERY_ROLE, FAILED, LEDGERS, LOGS, STREAM, V4, V6, WAF_LOGS,
};
use crate::text::{Attribute, Text};
use crate::{File, policy};

pub(crate) fn files(setup: &Setup) -> Vec<File> {
    let mut files = vec![
        File::new("terraform/versions.tf", versions(setup)),
        File::new("terraform/delivery.tf", delivery(setup)),
        File::new("terraform/firewall.tf", firewall::firewall(setup)),
        File::new("terraform/roles.tf", roles(setup)),
        File::new("terraform/outputs.tf", outputs(setup)),
    ];
    if let Front::Stage { api_id, stage } = &setup.front
        && !setup.leaves_stage
    {
        files.push(File::new("terraform/stage.tf", stage_file(api_id, stage)));
    }
    if setup.watches {
        files.push(File::new("terraform/queue.tf", queue::queue(setup)));
    }
    if let Runner::Fargate { .. } = setup.runner {
        files.push(File::new("terraform/schedule.tf", schedule::schedule(setup)));
    }
    if let Runner::Lambda { .. } = setup.runner {
        files.push(File::new("terraform/functions.tf", function::functions_file(setup)));
    }
    files
}

fn versions(setup: &Setup) -> String {
    let mut file = Body::default();
    // Version 5 learned late how logs are delivered.
    let version = match setup.front {
        Front::Stage { .. } => ">= 5.40, < 7.0",
        Front::Distribution { .. } => ">= 6.0, < 7.0",
    };
    file.block("terraform", &[], |body| {
        body.set("required_version", ">= 1.5");
        body.block("required_providers", &[], |body| {
            body.set("aws", serde_json::json!({"source": "hashicorp/aws", "version": version}));
        });
    });
    file.block("provider", &["aws"], |body| {
        body.set("region", setup.region.as_str());
        body.comment("Nothing is made in another account by mistake.");
        body.set("allowed_account_ids", vec![setup.account.as_str()]);
        body.block("default_tags", &[], |body| {
            body.set("tags", serde_json::json!({"portcullis": setup.name}));
        });
    });
    file.finish()
}

/// One bucket with everything that makes it safe.
struct Bucket {
    terraform: &'static str,
    arn: Attribute,
    name: String,
    /// Whether old versions are kept: a ledger that was overwritten can be had back.
    is_versioned: bool,
    /// Days after which objects go; `None` keeps them.
    keep_days: Option<u32>,
}

fn delivery(setup: &Setup) -> String {
    let mut file = Body::default();
    let buckets = [
        Bucket {
            terraform: "logs",
            arn: LOGS,
            name: setup.logs_bucket(),
            is_versioned: false,
            keep_days: Some(setup.keep_days),
        },
        Bucket {
            terraform: "waf_logs",
            arn: WAF_LOGS,
            name: setup.waf_logs_bucket(),
            is_versioned: false,
            keep_days: Some(setup.keep_days),
        },
        Bucket {
            terraform: "ledger",
            arn: LEDGERS,
            name: setup.ledger_bucket(),
            is_versioned: true,
            keep_days: None,
        },
    ];
    for bucket in &buckets {
        write_bucket(&mut file, setup, bucket);
    }
    match &setup.front {
        Front::Stage { .. } => stream(&mut file, setup),
        Front::Distribution { id } => distribution::log(&mut file, setup, id),
    }
    file.finish()
}

fn stream(file: &mut Body, setup: &Setup) {
    file.block("resource", &["aws_cloudwatch_log_group", "delivery"], |body| {
        body.set("name", setup.log_group("delivery"));
        body.set("retention_in_days", LOG_GROUP_DAYS);
    });
    file.block("resource", &["aws_cloudwatch_log_stream", "delivery"], |body| {
        body.set("name", "s3");
        body.express("log_group_name", "aws_cloudwatch_log_group.delivery.name");
    });
    file.comment("API Gateway accepts only streams whose name begins with amazon-apigateway-.");
    file.block("resource", &["aws_kinesis_firehose_delivery_stream", "access"], |body| {
        body.set("name", setup.stream());
        body.set("destination", "extended_s3");
        body.block("server_side_encryption", &[], |body| body.set("enabled", true));
        body.block("extended_s3_configuration", &[], |body| {
            body.refer("role_arn", DELIVERY_ROLE);
            body.refer("bucket_arn", LOGS);
            body.set("prefix", format!("{ACCESS}!{{timestamp:yyyy/MM/dd/HH/}}"));
            body.set(
                "error_output_prefix",
                format!("{FAILED}!{{firehose:error-output-type}}/!{{timestamp:yyyy/MM/dd/HH/}}"),
            );
            body.set("buffering_size", BUFFER_MEGABYTES);
            body.set("buffering_interval", BUFFER_SECONDS);
            body.set("compression_format", "GZIP");
            body.block("cloudwatch_logging_options", &[], |body| {
                body.set("enabled", true);
                body.express("log_group_name", "aws_cloudwatch_log_group.delivery.name");
                body.express("log_stream_name", "aws_cloudwatch_log_stream.delivery.name");
            });
            body.comment("A line feed after each record, whatever the stage's format ends with.");
            body.block("processing_configuration", &[], |body| {
                body.set("enabled", true);
                body.block("processors", &[], |body| {
                    body.set("type", "AppendDelimiterToRecord");
                    body.block("parameters", &[], |body| {
                        body.set("parameter_name", "Delimiter");
                        body.set("parameter_value", DELIMITER);
                    });
                });
            });
        });
        body.comment("Firehose looks at its permissions when it is made.");
        body.express("depends_on", "[aws_iam_role_policy.delivery]");
    });
}

/// Megabytes and seconds of Firehose's buffer: whichever is reached first ends an object.
/// One minute is the least with which objects stay large enough on busy APIs.
pub(crate) const BUFFER_MEGABYTES: u32 = 5;
pub(crate) const BUFFER_SECONDS: u32 = 60;

/// Firehose takes the two characters `\n` for a line feed.
pub(crate) const DELIMITER: &str = "\\n";

/// Days that the output of tasks and the errors of Firehose are kept.
pub(crate) const LOG_GROUP_DAYS: u32 = 90;

/// Days that an overwritten ledger is kept.
pub(crate) const OLD_VERSION_DAYS: u32 = 90;

fn write_bucket(file: &mut Body, setup: &Setup, bucket: &Bucket) {
    let Bucket { terraform: name, .. } = bucket;
    let id = format!("aws_s3_bucket.{name}.id");
    file.block("resource", &["aws_s3_bucket", name], |body| {
        body.set("bucket", bucket.name.as_str());
        body.block("lifecycle", &[], |body| body.set("prevent_destroy", true));
    });
    file.block("resource", &["aws_s3_bucket_public_access_block", name], |body| {
        body.express("bucket", &id);
        for setting in [
            "block_public_acls",
            "block_public_policy",
            "ignore_public_acls",
            "restrict_public_buckets",
        ] {
            body.set(setting, true);
        }
    });
    file.block("resource", &["aws_s3_bucket_ownership_controls", name], |body| {
        body.express("bucket", &id);
        body.block("rule", &[], |body| body.set("object_ownership", "BucketOwnerEnforced"));
    });
    file.block("resource", &["aws_s3_bucket_server_side_encryption_configuration", name], |body| {
        body.express("bucket", &id);
        body.block("rule", &[], |body| {
            body.block("apply_server_side_encryption_by_default", &[], |body| {
                body.set("sse_algorithm", "AES256");
            });
        });
    });
    if bucket.is_versioned {
        file.block("resource", &["aws_s3_bucket_versioning", name], |body| {
            body.express("bucket", &id);
            body.block("versioning_configuration", &[], |body| body.set("status", "Enabled"));
        });
    }
    file.block("resource", &["aws_s3_bucket_lifecycle_configuration", name], |body| {
        body.express("bucket", &id);
        body.block("rule", &[], |body| {
            body.set("id", "expire");
            body.set("status", "Enabled");
            body.block("filter", &[], |_| {});
            match bucket.keep_days {
                Some(days) => body.block("expiration", &[], |body| body.set("days", days)),
                None => body.block("noncurrent_version_expiration", &[], |body| {
                    body.set("noncurrent_days", OLD_VERSION_DAYS);
                }),
            }
            body.block("abort_incomplete_multipart_upload", &[], |body| {
                body.set("days_after_initiation", 7);
            });
        });
    });
    file.block("resource", &["aws_s3_bucket_policy", name], |body| {
        body.express("bucket", &id);
        body.document("policy", &policy::bucket(setup, bucket.arn));
    });
}

fn roles(setup: &Setup) -> String {
    let mut file = Body::default();
    for role in policy::roles(setup) {
        file.block("resource", &["aws_iam_role", role.name], |body| {
            body.set("name", setup.named(role.name));
            body.set("description", role.description);
            body.document("assume_role_policy", &role.trust);
        });
        file.block("resource", &["aws_iam_role_policy", role.name], |body| {
            body.set("name", setup.named(role.name));
            body.express("role", &format!("aws_iam_role.{}.id", role.name));
            body.document("policy", &role.policy);
        });
        if let Some(managed) = &role.managed {
            file.comment("AWS grants ecr:GetAuthorizationToken on all resources only, so it is not written here.");
            file.block("resource", &["aws_iam_role_policy_attachment", role.name], |body| {
                body.express("role", &format!("aws_iam_role.{}.name", role.name));
                body.set("policy_arn", managed.as_str());
            });
        }
    }
    file.finish()
}

fn stage_file(api_id: &str, stage: &str) -> String {
    let mut file = Body::default();
    file.comment(
        "The stage is there already. If another Terraform configuration manages it, delete this",
    );
    file.comment("file and put access_log_settings there.");
    file.block("import", &[], |body| {
        body.express("to", "aws_api_gateway_stage.this");
        body.set("id", format!("{api_id}/{stage}"));
    });
    file.block("resource", &["aws_api_gateway_stage", "this"], |body| {
        body.set("rest_api_id", api_id);
        body.set("stage_name", stage);
        body.comment("Ignored: the stage keeps the deployment it has.");
        body.set("deployment_id", "imported");
        body.block("access_log_settings", &[], |body| {
            body.refer("destination_arn", STREAM);
            body.set("format", crate::log_format());
        });
        body.block("lifecycle", &[], |body| {
            body.set("prevent_destroy", true);
            body.comment("Only the access log is ours.");
            body.express(
                "ignore_changes",
                &format!("[\n{}    ]", IGNORED.map(|name| format!("      {name},\n")).concat()),
            );
        });
    });
    file.finish()
}

/// Arguments of a stage that are not ours.
const IGNORED: [&str; 11] = [
    "cache_cluster_enabled",
    "cache_cluster_size",
    "canary_settings",
    "client_certificate_id",
    "deployment_id",
    "description",
    "documentation_version",
    "tags",
    "tags_all",
    "variables",
    "xray_tracing_enabled",
];

fn outputs(setup: &Setup) -> String {
    let mut file = Body::default();
    let mut output = |name: &str, description: &str, value: Text| {
        file.block("output", &[name], |body| {
            body.set("description", description);
            body.refer("value", value);
        });
    };
    let sets = Text::from(V4) + "," + V6;
    let canary_sets = Text::from(CANARY_V4) + "," + CANARY_V6;
    output("PORTCULLIS_SETS", "The sets that block, for the environment of the program", sets);
    output(
        "PORTCULLIS_CANARY_SETS",
        "The sets that count, for the environment of the program",
        canary_sets,
    );
    output("logs", "What to scan", Text::from(setup.log_location().as_str()));
    if let Front::Stage { .. } = setup.front {
        output("stream", "Where the stage's access log goes", STREAM.into());
    }
    file.finish()
}
