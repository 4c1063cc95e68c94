//! Sets, rules, web ACL and its log.

use serde_json::json;

use crate::answers::Setup;
use crate::front::{Front, associating};
use crate::hcl::Body;
use crate::names::{SETS, WAF_LOGS, WEB_ACL};
use crate::rules::{CAPACITY, Rule, rules};
use crate::text::Text;

pub(super) fn firewall(setup: &Setup) -> String {
    let mut file = Body::default();
    for set in &SETS {
        file.block("resource", &["aws_wafv2_ip_set", set.terraform], |body| {
            body.set("name", setup.named(set.ending));
            body.set("description", set.description);
            body.set("scope", setup.scope());
            body.set("ip_address_version", set.version);
            body.set("addresses", json!([]));
            body.block("lifecycle", &[], |body| {
                body.comment("They are the program's.");
                body.express("ignore_changes", "[addresses]");
            });
        });
    }
    if setup.has_web_acl {
        rule_group(&mut file, setup);
    } else {
        web_acl(&mut file, setup);
    }
    file.finish()
}

/// For a stage that has a web ACL: a group of rules to refer to from it.
fn rule_group(file: &mut Body, setup: &Setup) {
    file.comment("Refer to this group from your web ACL, before every rule that allows broadly.");
    file.block("resource", &["aws_wafv2_rule_group", "this"], |body| {
        body.set("name", setup.named("rules"));
        body.set("scope", setup.scope());
        body.set("capacity", CAPACITY);
        for rule in &rules() {
            write_rule(body, setup, rule);
        }
        visibility(body, &setup.named("rules"));
    });
    file.block("output", &["rule_group"], |body| {
        body.set("description", "What to refer to from your web ACL");
        body.express("value", "aws_wafv2_rule_group.this.arn");
    });
}

fn web_acl(file: &mut Body, setup: &Setup) {
    file.block("resource", &["aws_wafv2_web_acl", "this"], |body| {
        body.set("name", setup.named("acl"));
        body.set("scope", setup.scope());
        body.block("default_action", &[], |body| body.block("allow", &[], |_| {}));
        for rule in &rules() {
            write_rule(body, setup, rule);
        }
        visibility(body, &setup.named("acl"));
    });
    match &setup.front {
        Front::Stage { .. } => {
            file.block("resource", &["aws_wafv2_web_acl_association", "this"], |body| {
                body.set("resource_arn", setup.stage_arn());
                body.express("web_acl_arn", "aws_wafv2_web_acl.this.arn");
            });
        }
        Front::Distribution { id } => {
            file.comment("A distribution's web ACL is a setting of its own, and it is not ours.");
            file.block("output", &["distribution_command"], |body| {
                body.set("description", "Run this once: it gives the distribution its web ACL");
                body.refer("value", Text::from(&*associating(id)) + WEB_ACL);
            });
        }
    }
    file.block("resource", &["aws_wafv2_web_acl_logging_configuration", "this"], |body| {
        body.express("resource_arn", "aws_wafv2_web_acl.this.arn");
        body.set("log_destination_configs", json!([WAF_LOGS]));
        for header in ["authorization", "cookie"] {
            body.block("redacted_fields", &[], |body| {
                body.block("single_header", &[], |body| body.set("name", header));
            });
        }
        body.comment("AWS WAF looks at the bucket's policy when the log is turned on.");
        body.express("depends_on", "[aws_s3_bucket_policy.waf_logs]");
    });
}

fn write_rule(body: &mut Body, setup: &Setup, rule: &Rule) {
    body.block("rule", &[], |body| {
        body.set("name", rule.ending);
        body.set("priority", rule.priority);
        body.block("action", &[], |body| {
            body.block(if rule.blocks { "block" } else { "count" }, &[], |_| {});
        });
        body.block("statement", &[], |body| {
            body.block("ip_set_reference_statement", &[], |body| body.refer("arn", rule.set.arn));
        });
        visibility(body, &setup.named(rule.ending));
    });
}

fn visibility(body: &mut Body, metric: &str) {
    body.block("visibility_config", &[], |body| {
        body.set("cloudwatch_metrics_enabled", true);
        body.set("metric_name", metric);
        body.set("sampled_requests_enabled", true);
    });
}
