//! By what requests come in: the stage of an API, or a CloudFront distribution before it.
//!
//! Whoever comes in by a distribution of the owner's has CloudFront's address at the stage,
//! and a block of that would stop everybody. So the log is CloudFront's then, in which the
//! viewer's address stands, and so is the web ACL, which is a setting of the distribution.
//! Nothing is asked of the API, which may be of any kind and anywhere.
//!
//! AWS keeps IP sets and web ACLs of the scope `CLOUDFRONT` in us-east-1, and the delivery of
//! a distribution's log is set up there too. All of the setup is in that region then: one
//! stack has one region, and what is in one region needs no name of another.
//!
//! CloudFront delivers the log by itself (version 2 of its standard logs), into a bucket that
//! holds nothing else, so that whatever AWS puts before the path is read.
//!
//! Sources: AWS WAF guide, "AWS WAF and CloudFront"; CloudFront guide, "Configure standard
//! logging (v2)"; CloudFront API reference, `AssociateDistributionWebACL`.

use crate::answers::Setup;
use crate::names::ACCESS;

/// By what requests come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// The stage of a REST API.
    Stage {
        /// Id of the API.
        api_id: String,
        /// Name of the stage.
        stage: String,
    },
    /// A CloudFront distribution.
    Distribution {
        /// Its id.
        id: String,
    },
}

/// Where AWS keeps what belongs to CloudFront.
pub(crate) const GLOBAL_REGION: &str = "us-east-1";

/// Folders below the bucket, by which a span of time is found.
pub(crate) const FOLDERS: &str = "{DistributionId}/{yyyy}/{MM}/{dd}/{HH}";

/// Names and columns in the first lines, values apart by tabs.
pub(crate) const LOG_FORMAT: &str = "w3c";

impl Setup {
    /// The scope of sets and rules, as AWS WAF calls it.
    pub(crate) fn scope(&self) -> &'static str {
        match self.front {
            Front::Stage { .. } => "REGIONAL",
            Front::Distribution { .. } => "CLOUDFRONT",
        }
    }

    /// How the keys begin of which the queue is told.
    pub(crate) fn log_prefix(&self) -> &'static str {
        match self.front {
            Front::Stage { .. } => ACCESS,
            Front::Distribution { .. } => "",
        }
    }

    /// The ARN of the stage, where there is one.
    pub(crate) fn stage_arn(&self) -> Option<String> {
        let (partition, region) = (self.partition(), &self.region);
        match &self.front {
            Front::Stage { api_id, stage } => Some(format!(
                "arn:{partition}:apigateway:{region}::/restapis/{api_id}/stages/{stage}"
            )),
            Front::Distribution { .. } => None,
        }
    }
}

/// The ARN of a distribution.
pub(crate) fn distribution_arn(setup: &Setup, id: &str) -> String {
    format!("arn:{}:cloudfront::{}:distribution/{id}", setup.partition(), setup.account)
}

/// The command that gives a distribution its web ACL, before the ACL's ARN.
pub(crate) fn associating(id: &str) -> String {
    format!("aws cloudfront associate-distribution-web-acl --id {id} --web-acl-arn ")
}
