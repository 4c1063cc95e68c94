//! Finds credentials, region and endpoint the way every AWS tool does.
//!
//! What is not given comes from the environment, the configuration files and the
//! machine's role, in the SDK's order: keys, web identities, profiles with their single
//! sign-on and roles, containers, instances. A role named here is assumed with those
//! credentials, which is how several accounts are reached from one place.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_wafv2::config::Credentials;
use aws_sdk_wafv2::config::SharedCredentialsProvider;

/// How to reach AWS.
#[derive(Debug, Clone)]
pub struct Options {
    /// A profile of the configuration files.
    pub profile: Option<String>,
    /// ARN of a role to assume with the credentials that were found.
    pub assume_role: Option<String>,
    /// The region's code.
    pub region: Option<String>,
    /// Another server than AWS, such as `http://127.0.0.1:5000`.
    pub endpoint_url: Option<String>,
    /// Keys, instead of what the environment says.
    pub keys: Option<Keys>,
    /// Whether buckets are in the path and not in the name of the host, as most
    /// servers other than AWS want it.
    pub path_style: bool,
    /// How long one try of one call may take.
    pub timeout: Duration,
}

/// An access key.
#[derive(Clone)]
pub struct Keys {
    /// The key's id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Default for Options {
    /// All from the environment, and ten seconds a try.
    fn default() -> Self {
        Self {
            profile: None,
            assume_role: None,
            region: None,
            endpoint_url: None,
            keys: None,
            path_style: false,
            timeout: Duration::from_secs(10),
        }
    }
}

/// How a session with an assumed role is called in `CloudTrail`.
const SESSION: &str = "portcullis";

/// Credentials, region and endpoint, ready for every service.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) config: SdkConfig,
    pub(crate) path_style: bool,
}

impl Connection {
    /// Gathers what is needed. Whether the credentials are good shows at the first call.
    pub async fn open(options: &Options) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options.timeout)
            .operation_attempt_timeout(options.timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(Keys { id, secret }) = &options.keys {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "given"));
        }
        let mut config = loader.load().await;
        if let Some(role) = &options.assume_role {
            let assumed =
                AssumeRoleProvider::builder(role).session_name(SESSION).configure(&config);
            let credentials = SharedCredentialsProvider::new(assumed.build().await);
            config = config.into_builder().credentials_provider(credentials).build();
        }
        Self { config, path_style: options.path_style }
    }

    /// The region that was given or found.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(Region::as_ref)
    }
}
