//! What every part of the pipeline is called, and how the others refer to it.
//!
//! Two names are not ours to choose: API Gateway delivers only to streams whose name
//! begins with `amazon-apigateway-`, and AWS WAF only to buckets whose name begins with
//! `aws-waf-logs-`. Bucket names are unique among all accounts, so they carry account and
//! region.
//!
//! Sources: API Gateway guide, "Set up access logging to Firehose"; AWS WAF guide, "Sending
//! web ACL traffic logs to an Amazon S3 bucket".

use crate::answers::Setup;
use crate::text::Attribute;

/// Where Firehose puts records in the bucket of logs.
pub(crate) const ACCESS: &str = "access/";
/// Where Firehose puts what it could not process.
pub(crate) const FAILED: &str = "failed/";
/// Where the ledger is in its bucket.
pub(crate) const LEDGER: &str = "ledger";
/// Where `run` keeps what it read, below the ledger; its lock and heartbeat lie beside it.
pub(crate) const STATE: &str = "/state/history";

macro_rules! attributes {
    ($($name:ident = $terraform:literal, $cloudformation:literal;)*) => {
        $(pub(crate) const $name: Attribute =
            Attribute { terraform: $terraform, cloudformation: $cloudformation };)*
    };
}

attributes! {
    LOGS = "aws_s3_bucket.logs.arn", "LogsBucket.Arn";
    WAF_LOGS = "aws_s3_bucket.waf_logs.arn", "WafLogsBucket.Arn";
    LEDGERS = "aws_s3_bucket.ledger.arn", "LedgerBucket.Arn";
    STREAM = "aws_kinesis_firehose_delivery_stream.access.arn", "AccessStream.Arn";
    DELIVERY_ROLE = "aws_iam_role.delivery.arn", "DeliveryRole.Arn";
    READ_ROLE = "aws_iam_role.read.arn", "ReadRole.Arn";
    APPLY_ROLE = "aws_iam_role.apply.arn", "ApplyRole.Arn";
    EXPIRE_ROLE = "aws_iam_role.expire.arn", "ExpireRole.Arn";
    RUNNER_ROLE = "aws_iam_role.runner.arn", "RunnerRole.Arn";
    EXECUTION_ROLE = "aws_iam_role.execution.arn", "ExecutionRole.Arn";
    CLUSTER = "aws_ecs_cluster.this.arn", "Cluster.Arn";
    SCAN_TASK = "aws_ecs_task_definition.scan.arn", "ScanTask";
    EXPIRE_TASK = "aws_ecs_task_definition.expire.arn", "ExpireTask";
    WATCH_TASK = "aws_ecs_task_definition.watch.arn", "WatchTask";
    SCAN_FUNCTION = "aws_lambda_function.scan.arn", "ScanFunction.Arn";
    EXPIRE_FUNCTION = "aws_lambda_function.expire.arn", "ExpireFunction.Arn";
    QUEUE = "aws_sqs_queue.objects.arn", "ObjectsQueue.Arn";
    V4 = "aws_wafv2_ip_set.v4.arn", "SetV4.Arn";
    V6 = "aws_wafv2_ip_set.v6.arn", "SetV6.Arn";
    CANARY_V4 = "aws_wafv2_ip_set.canary_v4.arn", "CanarySetV4.Arn";
    CANARY_V6 = "aws_wafv2_ip_set.canary_v6.arn", "CanarySetV6.Arn";
    WEB_ACL = "aws_wafv2_web_acl.this.arn", "WebAcl.Arn";
    RULE_GROUP = "aws_wafv2_rule_group.this.arn", "RuleGroup.Arn";
}

/// One IP set: how both languages call it, its name's ending, its family.
pub(crate) struct Set {
    pub(crate) terraform: &'static str,
    pub(crate) cloudformation: &'static str,
    pub(crate) ending: &'static str,
    pub(crate) version: &'static str,
    pub(crate) description: &'static str,
    pub(crate) arn: Attribute,
}

/// The four sets, those of the rules that block first.
pub(crate) const SETS: [Set; 4] = [
    Set {
        terraform: "v4",
        cloudformation: "SetV4",
        ending: "v4",
        version: "IPV4",
        description: "IPv4 networks blocked by portcullis",
        arn: V4,
    },
    Set {
        terraform: "v6",
        cloudformation: "SetV6",
        ending: "v6",
        version: "IPV6",
        description: "IPv6 networks blocked by portcullis",
        arn: V6,
    },
    Set {
        terraform: "canary_v4",
        cloudformation: "CanarySetV4",
        ending: "canary-v4",
        version: "IPV4",
        description: "IPv4 networks counted by portcullis",
        arn: CANARY_V4,
    },
    Set {
        terraform: "canary_v6",
        cloudformation: "CanarySetV6",
        ending: "canary-v6",
        version: "IPV6",
        description: "IPv6 networks counted by portcullis",
        arn: CANARY_V6,
    },
];

impl Setup {
    /// `portcullis-prod-ENDING`.
    pub(crate) fn named(&self, ending: &str) -> String {
        format!("portcullis-{}-{ending}", self.name)
    }

    pub(crate) fn stream(&self) -> String {
        format!("amazon-apigateway-portcullis-{}", self.name)
    }

    pub(crate) fn logs_bucket(&self) -> String {
        format!("portcullis-{}-logs-{}-{}", self.name, self.account, self.region)
    }

    pub(crate) fn ledger_bucket(&self) -> String {
        format!("portcullis-{}-ledger-{}-{}", self.name, self.account, self.region)
    }

    pub(crate) fn waf_logs_bucket(&self) -> String {
        format!("aws-waf-logs-{}-{}-{}", self.name, self.account, self.region)
    }

    /// What the program is told to read: all of the bucket, what Firehose could not process
    /// too.
    pub(crate) fn log_location(&self) -> String {
        format!("s3://{}/", self.logs_bucket())
    }

    /// Where the program keeps its ledger.
    pub(crate) fn ledger_location(&self) -> String {
        format!("s3://{}/{LEDGER}", self.ledger_bucket())
    }

    /// Where the program keeps what it read.
    pub(crate) fn state_location(&self) -> String {
        self.ledger_location() + STATE
    }

    pub(crate) fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    /// The ARN of one of our roles; known before it is made, because its name is ours.
    pub(crate) fn role_arn(&self, ending: &str) -> String {
        format!("arn:{}:iam::{}:role/{}", self.partition(), self.account, self.named(ending))
    }

    pub(crate) fn log_group(&self, of: &str) -> String {
        format!("/portcullis/{}/{of}", self.name)
    }

    pub(crate) fn log_group_arn(&self, of: &str) -> String {
        let (partition, region) = (self.partition(), &self.region);
        format!("arn:{partition}:logs:{region}:{}:log-group:{}", self.account, self.log_group(of))
    }
}

/// What the ARNs of a region have in second place: `aws`, or that of another partition.
pub fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
