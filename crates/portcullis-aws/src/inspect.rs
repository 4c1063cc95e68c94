//! Asks AWS what stands between an API and its sets, for `doctor`.
//!
//! Every question is one read-only call, and what becomes of it is an [`Answer`]: a call that
//! is refused says which permission it lacks, and on which resource, and stops no other.
//!
//! The clock of S3 is asked without any permission at all: whatever S3 answers is dated.
//!
//! Sources: API references of API Gateway (`GetStage`), Firehose (`DescribeDeliveryStream`),
//! AWS WAF (`GetWebACLForResource`, `GetRuleGroup`, `GetIPSet`), STS (`GetCallerIdentity`) and
//! S3 (`HeadBucket`); Service Authorization Reference for the resources of each.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_firehose::types::{BufferingHints, Processor};
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_wafv2::config::http::HttpResponse;
use aws_sdk_wafv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_wafv2::types as waf;
use portcullis_remediation::ReadError;
use portcullis_setup::doctor::{
    Action, Answer, Caller, Forwarded, Permission, Position, Rule, SetFacts, Stage, Statement,
    Stream, StreamBucket, WebAcl,
};

use crate::connection::Connection;
use crate::failure::failure;
use crate::set_arn::SetArn;
use crate::waf::WafIpSets;

/// Asks about the parts of one account and region.
#[derive(Debug)]
pub struct Inspector {
    gateway: aws_sdk_apigateway::Client,
    firehose: aws_sdk_firehose::Client,
    firewall: aws_sdk_wafv2::Client,
    tokens: aws_sdk_sts::Client,
    s3: aws_sdk_s3::config::Builder,
    partition: &'static str,
    region: String,
    account: String,
}

impl Inspector {
    /// For the parts of this account; nothing is asked yet.
    pub fn new(connection: &Connection, account: &str) -> Self {
        let config = &connection.config;
        let region = connection.region().unwrap_or_default().to_owned();
        Self {
            gateway: aws_sdk_apigateway::Client::new(config),
            firehose: aws_sdk_firehose::Client::new(config),
            firewall: aws_sdk_wafv2::Client::new(config),
            tokens: aws_sdk_sts::Client::new(config),
            s3: aws_sdk_s3::config::Builder::from(config).force_path_style(connection.path_style),
            partition: portcullis_setup::partition(&region),
            region,
            account: account.to_owned(),
        }
    }

    /// Who asks. No permission is needed for it.
    pub async fn caller(&self) -> Answer<Caller> {
        match self.tokens.get_caller_identity().send().await {
            Ok(told) => Answer::Known(Caller {
                account: told.account().unwrap_or_default().to_owned(),
                arn: told.arn().unwrap_or_default().to_owned(),
            }),
            Err(error) => unanswered(&error, || permission("sts:GetCallerIdentity", "*")),
        }
    }

    /// A stage of a REST API.
    pub async fn stage(&self, api_id: &str, name: &str) -> Answer<Stage> {
        let call = self.gateway.get_stage().rest_api_id(api_id).stage_name(name);
        match call.send().await {
            Ok(told) => {
                let log = told.access_log_settings();
                let text =
                    |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
                Answer::Known(Stage {
                    api_id: api_id.to_owned(),
                    name: name.to_owned(),
                    log_destination: text(log.and_then(|log| log.destination_arn())),
                    log_format: text(log.and_then(|log| log.format())),
                })
            }
            Err(error) => {
                unanswered(&error, || permission("apigateway:GET", &self.stage_arn(api_id, name)))
            }
        }
    }

    /// ARN of a stage, as API Gateway and AWS WAF call it.
    fn stage_arn(&self, api_id: &str, name: &str) -> String {
        let Self { partition, region, .. } = self;
        format!("arn:{partition}:apigateway:{region}::/restapis/{api_id}/stages/{name}")
    }

    /// A delivery stream.
    pub async fn stream(&self, name: &str) -> Answer<Stream> {
        let call = self.firehose.describe_delivery_stream().delivery_stream_name(name);
        let told = match call.send().await {
            Ok(told) => told,
            Err(error) => {
                let Self { partition, region, account, .. } = self;
                let arn =
                    format!("arn:{partition}:firehose:{region}:{account}:deliverystream/{name}");
                return unanswered(&error, || permission("firehose:DescribeDeliveryStream", &arn));
            }
        };
        let Some(stream) = told.delivery_stream_description() else {
            return Answer::Failed("the answer describes no stream".to_owned());
        };
        let bucket = stream.destinations().iter().find_map(|destination| {
            let s3 = destination.extended_s3_destination_description()?;
            let hints = s3.buffering_hints();
            let number = |number: Option<i32>| number.map_or(0, i32::unsigned_abs);
            let processing = s3.processing_configuration();
            let is_delimiter =
                |processor: &Processor| processor.r#type().as_str() == "AppendDelimiterToRecord";
            Some(StreamBucket {
                arn: s3.bucket_arn().to_owned(),
                compression: s3.compression_format().as_str().to_owned(),
                interval_seconds: number(hints.and_then(BufferingHints::interval_in_seconds)),
                size_mib: number(hints.and_then(BufferingHints::size_in_mbs)),
                appends_delimiter: processing.is_some_and(|processing| {
                    processing.enabled().unwrap_or_default()
                        && processing.processors().iter().any(is_delimiter)
                }),
            })
        });
        Answer::Known(Stream {
            name: stream.delivery_stream_name().to_owned(),
            status: stream.delivery_stream_status().as_str().to_owned(),
            bucket,
        })
    }

    /// The web ACL before a stage, with the rules of its groups.
    pub async fn web_acl(&self, api_id: &str, stage: &str) -> Answer<Option<WebAcl>> {
        let arn = self.stage_arn(api_id, stage);
        let told = match self.firewall.get_web_acl_for_resource().resource_arn(&arn).send().await {
            Ok(told) => told,
            Err(error) => {
                return unanswered(&error, || permission("wafv2:GetWebACLForResource", &arn));
            }
        };
        let Some(acl) = told.web_acl() else {
            return Answer::Known(None);
        };
        let mut rules = Vec::new();
        for rule in acl.rules() {
            rules.push(self.rule(rule).await);
        }
        Answer::Known(Some(WebAcl { name: acl.name().to_owned(), rules }))
    }

    async fn rule(&self, rule: &waf::Rule) -> Rule {
        let group = rule.statement().and_then(|all| all.rule_group_reference_statement());
        let statement = match group {
            None => rule.statement().map_or(Statement::Other, statement),
            Some(group) => {
                let instead = group.rule_action_overrides().iter().filter_map(|instead| {
                    Some((instead.name().to_owned(), action(instead.action_to_use()?)?))
                });
                let excluded = group.excluded_rules().iter();
                let excluded = excluded.map(|rule| (rule.name().to_owned(), Action::Count));
                let counts = rule.override_action().is_some_and(|over| over.count().is_some());
                Statement::Group {
                    arn: group.arn().to_owned(),
                    rules: Box::new(self.group(group.arn()).await),
                    counts,
                    overrides: instead.chain(excluded).collect(),
                }
            }
        };
        plain(rule, statement)
    }

    /// The rules of a rule group; groups hold no groups.
    async fn group(&self, arn: &str) -> Answer<Vec<Rule>> {
        match self.firewall.get_rule_group().arn(arn).send().await {
            Ok(told) => {
                let rules = told.rule_group().map(waf::RuleGroup::rules).unwrap_or_default();
                let of = |rule: &waf::Rule| {
                    plain(rule, rule.statement().map_or(Statement::Other, statement))
                };
                Answer::Known(rules.iter().map(of).collect())
            }
            Err(error) => unanswered(&error, || permission("wafv2:GetRuleGroup", arn)),
        }
    }

    /// This machine's clock less that of S3, in milliseconds. `now_ms` is asked for when the
    /// answer is there.
    pub async fn clock_skew_ms(&self, bucket: &str, now_ms: impl Fn() -> i64) -> Answer<i64> {
        let seen = Arc::new(Seen::default());
        let config = self.s3.clone().interceptor(Watch(Arc::clone(&seen))).build();
        // Whether the bucket may be seen does not matter: a refusal is dated too.
        let told = aws_sdk_s3::Client::from_conf(config).head_bucket().bucket(bucket).send().await;
        let now_ms = now_ms();
        let date = seen.date.lock().unwrap_or_else(PoisonError::into_inner).take();
        let date = date.as_deref().map(|text| DateTime::from_str(text, DateTimeFormat::HttpDate));
        match (date, told) {
            (Some(Ok(date)), _) => Answer::Known(now_ms - date.secs() * 1_000),
            (Some(Err(_)), _) => Answer::Failed("the answer's date is none".to_owned()),
            (None, Err(error)) => Answer::Failed(failure(&error).2),
            (None, Ok(_)) => Answer::Failed("the answer has no date".to_owned()),
        }
    }
}

impl WafIpSets {
    /// These sets, for whoever looks at what uses them.
    pub async fn facts(&self, names: &[String]) -> Answer<Vec<SetFacts>> {
        let mut sets = Vec::with_capacity(names.len());
        for name in names {
            let id = match self.id(name).await {
                Ok(id) => id,
                Err(ReadError::Missing(name)) => {
                    return Answer::Missing(format!("there is no set {name}"));
                }
                Err(error) => return Answer::Failed(error.to_string()),
            };
            match self.get(name, &id).await {
                Err(error) => {
                    let resource = SetArn::of(self.target(), name, &id);
                    return unanswered(&error, || Permission {
                        action: "wafv2:GetIPSet",
                        resource,
                    });
                }
                Ok(told) => sets.extend(told.ip_set().map(|set| SetFacts {
                    name: set.name().to_owned(),
                    arn: set.arn().to_owned(),
                    is_v6: set.ip_address_version().as_str() == "IPV6",
                    entries: set.addresses().len(),
                })),
            }
        }
        Answer::Known(sets)
    }
}

/// Keeps the date of an answer.
#[derive(Debug, Default)]
struct Seen {
    date: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Watch(Arc<Seen>);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.date.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

/// What became of a question that was not answered.
fn unanswered<Fact, Kind>(
    error: &SdkError<Kind, HttpResponse>,
    lacking: impl FnOnce() -> Permission,
) -> Answer<Fact>
where
    Kind: ProvideErrorMetadata + Error + 'static,
{
    let (_, code, detail) = failure(error);
    match code.as_deref() {
        Some(code) if code.contains("AccessDenied") || code == "UnauthorizedOperation" => {
            Answer::Denied { permission: lacking(), detail }
        }
        Some("NotFoundException" | "ResourceNotFoundException" | "WAFNonexistentItemException") => {
            Answer::Missing(detail)
        }
        _ => Answer::Failed(detail),
    }
}

fn permission(action: &'static str, resource: &str) -> Permission {
    Permission { action, resource: resource.to_owned() }
}

fn plain(rule: &waf::Rule, statement: Statement) -> Rule {
    Rule {
        name: rule.name().to_owned(),
        priority: rule.priority(),
        action: rule.action().and_then(action),
        statement,
    }
}

fn action(action: &waf::RuleAction) -> Option<Action> {
    if action.block().is_some() {
        Some(Action::Block)
    } else if action.allow().is_some() {
        Some(Action::Allow)
    } else if action.count().is_some() {
        Some(Action::Count)
    } else if action.captcha().is_some() || action.challenge().is_some() {
        Some(Action::Challenge)
    } else {
        None
    }
}

fn statement(of: &waf::Statement) -> Statement {
    if let Some(set) = of.ip_set_reference_statement() {
        let forwarded = set.ip_set_forwarded_ip_config().map(|config| Forwarded {
            header: config.header_name().to_owned(),
            position: match config.position().as_str() {
                "FIRST" => Position::First,
                "LAST" => Position::Last,
                _ => Position::Any,
            },
            matches_without: config.fallback_behavior().as_str() == "MATCH",
        });
        return Statement::Set { arn: set.arn().to_owned(), forwarded };
    }
    if let Some(all) = of.and_statement() {
        return Statement::All(all.statements().iter().map(statement).collect());
    }
    if let Some(any) = of.or_statement() {
        return Statement::Any(any.statements().iter().map(statement).collect());
    }
    Statement::Other
}
