"""Holds Terraform files against a table of the resource types that they use.

    check_terraform.py DIRECTORY

Stands in for `terraform validate` where Terraform is not to be had. It checks that every
file parses; that each resource is of a type in the table, has the arguments and blocks that
type requires and no other; that no two have the same name; and that every reference, in
expressions and in strings, names a resource that is there and an attribute that its type
has; and that no policy of a role has a `*` for an action or a resource, which checkov does not
see in a policy that refers to resources. The table is the provider's documentation (hashicorp/aws 5.40 and later), as far as
these types go. It does not know the types of values, nor what AWS itself refuses.
"""

import pathlib
import re
import sys

import hcl2

# Type: (required, optional, attributes that may be referred to).
TYPES = {
    "aws_s3_bucket": ("bucket", "lifecycle", "id arn"),
    "aws_s3_bucket_public_access_block": (
        "bucket block_public_acls block_public_policy ignore_public_acls restrict_public_buckets",
        "", ""),
    "aws_s3_bucket_ownership_controls": ("bucket rule", "", ""),
    "aws_s3_bucket_server_side_encryption_configuration": ("bucket rule", "", ""),
    "aws_s3_bucket_versioning": ("bucket versioning_configuration", "", ""),
    "aws_s3_bucket_lifecycle_configuration": ("bucket rule", "", ""),
    "aws_s3_bucket_policy": ("bucket policy", "", ""),
    "aws_cloudwatch_log_group": ("name retention_in_days", "", "name arn"),
    "aws_cloudwatch_log_stream": ("name log_group_name", "", "name"),
    "aws_kinesis_firehose_delivery_stream": (
        "name destination extended_s3_configuration", "server_side_encryption depends_on", "arn"),
    "aws_iam_role": ("name assume_role_policy", "description", "id arn name"),
    "aws_iam_role_policy": ("name role policy", "", ""),
    "aws_iam_role_policy_attachment": ("role policy_arn", "", ""),
    "aws_api_gateway_stage": (
        "rest_api_id stage_name deployment_id access_log_settings", "lifecycle", "arn"),
    "aws_wafv2_ip_set": (
        "name scope ip_address_version", "description addresses lifecycle", "arn id"),
    "aws_wafv2_web_acl": ("name scope default_action visibility_config", "rule", "arn"),
    "aws_wafv2_rule_group": ("name scope capacity visibility_config", "rule", "arn"),
    "aws_wafv2_web_acl_association": ("resource_arn web_acl_arn", "", ""),
    "aws_wafv2_web_acl_logging_configuration": (
        "resource_arn log_destination_configs", "redacted_fields depends_on", ""),
    "aws_ecs_cluster": ("name", "", "arn"),
    "aws_ecs_task_definition": (
        "family container_definitions",
        "requires_compatibilities network_mode cpu memory execution_role_arn task_role_arn volume",
        "arn"),
    "aws_scheduler_schedule": (
        "schedule_expression flexible_time_window target", "name", ""),
    "aws_cloudwatch_log_delivery_source": ("name log_type resource_arn", "", "name arn"),
    "aws_cloudwatch_log_delivery_destination": (
        "name delivery_destination_configuration", "output_format depends_on", "arn"),
    "aws_cloudwatch_log_delivery": (
        "delivery_source_name delivery_destination_arn", "s3_delivery_configuration", ""),
    "aws_lambda_function": (
        "function_name role",
        "package_type image_uri architectures memory_size timeout "
        "reserved_concurrent_executions image_config environment logging_config",
        "arn function_name"),
    "aws_lambda_function_event_invoke_config": (
        "function_name", "maximum_event_age_in_seconds maximum_retry_attempts qualifier", ""),
    "aws_lambda_event_source_mapping": (
        "function_name",
        "event_source_arn batch_size maximum_batching_window_in_seconds function_response_types "
        "depends_on", ""),
    "aws_ecs_service": (
        "name",
        "cluster task_definition launch_type desired_count deployment_minimum_healthy_percent "
        "deployment_maximum_percent network_configuration", ""),
    "aws_sqs_queue": (
        "",
        "name visibility_timeout_seconds message_retention_seconds receive_wait_time_seconds "
        "sqs_managed_sse_enabled redrive_policy", "id arn"),
    "aws_sqs_queue_policy": ("queue_url policy", "", ""),
    "aws_s3_bucket_notification": ("bucket", "queue depends_on", ""),
    "aws_sns_topic": ("name", "", "arn"),
    "aws_sns_topic_subscription": ("topic_arn protocol endpoint", "", ""),
    "aws_cloudwatch_log_metric_filter": (
        "name log_group_name pattern metric_transformation", "", ""),
    "aws_cloudwatch_metric_alarm": (
        "alarm_name comparison_operator evaluation_periods",
        "alarm_description namespace metric_name dimensions statistic threshold period "
        "treat_missing_data alarm_actions", ""),
}

# `*`, `s3:*`, `s3:Get*`: an action or a resource that is not named.
STAR = re.compile(r"""['"](?:\*|[a-z0-9-]+:[A-Za-z]*\*)['"]""")
REFERENCE = re.compile(r"(?<![\w.\"/])(aws_\w+)\.(\w+)(?:\.(\w+))?")


def plain(text):
    """A name without the quotes that some versions of the parser keep."""
    return text.strip('"')


def texts(value):
    """Every string below a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from texts(key)
            yield from texts(one)


def main(directory):
    files = sorted(pathlib.Path(directory).glob("*.tf"))
    parsed = []
    for path in files:
        with path.open() as file:
            parsed.append((path.name, hcl2.load(file)))
    problems, resources = [], {}
    for name, content in parsed:
        for block in content.get("resource", []):
            for kind, named in block.items():
                for label, body in named.items():
                    key = (plain(kind), plain(label))
                    if key in resources:
                        problems.append(f"{name}: {key} is there twice")
                    resources[key] = body
    for (kind, label), body in resources.items():
        if kind not in TYPES:
            problems.append(f"{kind}.{label}: the type is not in the table")
            continue
        required, optional, _ = (set(part.split()) for part in TYPES[kind])
        given = {key for key in body if not key.startswith("__")}
        for missing in sorted(required - given):
            problems.append(f"{kind}.{label}: `{missing}` is missing")
        for unknown in sorted(given - required - optional):
            problems.append(f"{kind}.{label}: `{unknown}` is unknown")
    for (kind, label), body in resources.items():
        if kind.startswith("aws_iam_"):
            for text in texts(body):
                problems += [f"{kind}.{label}: {star}" for star in STAR.findall(text)]
    references = 0
    for name, content in parsed:
        for text in texts(content):
            for kind, label, attribute in REFERENCE.findall(text):
                references += 1
                if (kind, label) not in resources:
                    problems.append(f"{name}: {kind}.{label} is not there")
                elif attribute and attribute not in TYPES[kind][2].split():
                    problems.append(f"{name}: {kind}.{label} has no `{attribute}`")
    if not resources or references < len(resources) // 2:
        problems.append(f"{len(resources)} resources and {references} references: too few")
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(resources)} resources, {references} references")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
