//! Names the place that IP sets live in: an AWS account, a region and a scope.
//!
//! A plan made for one place must never be applied to another, and a ledger of one
//! place says nothing about the sets of another. Both carry a [`Target`], and whatever
//! joins them compares it first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an IP set may be used by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// API Gateway stages, load balancers and other services of one region.
    #[serde(rename = "REGIONAL")]
    Regional,
    /// `CloudFront`; its sets live in `us-east-1` and nowhere else.
    #[serde(rename = "CLOUDFRONT")]
    CloudFront,
}

impl Scope {
    /// The scope's name in the WAF API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regional => "REGIONAL",
            Self::CloudFront => "CLOUDFRONT",
        }
    }
}

/// One account, region and scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    account: String,
    region: String,
    scope: Scope,
}

/// The only region that `CloudFront` sets can be reached in.
///
/// Source: AWS WAF API, parameter `Scope` of every IP-set call.
const CLOUDFRONT_REGION: &str = "us-east-1";

impl Target {
    /// A target; with scope `CloudFront` the region is `us-east-1`, whatever is given.
    pub fn new(account: &str, region: &str, scope: Scope) -> Self {
        let region = match scope {
            Scope::Regional => region,
            Scope::CloudFront => CLOUDFRONT_REGION,
        };
        Self { account: account.to_owned(), region: region.to_owned(), scope }
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The region's code.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What the sets may be used by.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

/// `111122223333/eu-west-1/REGIONAL`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.scope.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudfront_sets_are_in_us_east_1_whatever_is_asked() {
        let target = Target::new("111122223333", "eu-west-1", Scope::CloudFront);
        assert_eq!(target.to_string(), "111122223333/us-east-1/CLOUDFRONT");
    }
}
