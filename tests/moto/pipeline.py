"""Builds a whole pipeline with boto3, as somebody would by hand, and sends traffic through it.

    pipeline.py ENDPOINT REGION build FORMAT
    pipeline.py ENDPOINT REGION send LOGS

`build` makes a REST API whose stage logs in FORMAT to a delivery stream, the stream's bucket, a
queue that the bucket tells of new objects, and a web ACL before the stage with a rule for each IP
set; it prints {"stage": "API/STAGE", "queue": URL}.

`send` takes a tree of gzipped objects. Of each directory the first goes record by record through
the stream, and the others are put into the bucket as they are, because this Firehose does not
compress. It prints {"through_firehose": OBJECTS, "gzipped": OBJECTS}.
"""

import gzip
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import boto3

BUCKET = "shop-access-logs"
STREAM = "amazon-apigateway-shop"
MOST_RECORDS = 500


def build(client, region, template):
    s3, sqs, firehose, waf, gateway = map(
        client, ("s3", "sqs", "firehose", "wafv2", "apigateway")
    )
    account = client("sts").get_caller_identity()["Account"]

    place = {"LocationConstraint": region}
    for bucket in (BUCKET, "ledgers"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    queue = sqs.create_queue(QueueName="new-objects")["QueueUrl"]
    events = {
        "QueueArn": f"arn:aws:sqs:{region}:{account}:new-objects",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "access/"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [events]}
    )
    stream = firehose.create_delivery_stream(
        DeliveryStreamName=STREAM,
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{account}:role/delivery",
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": "access/",
            "ErrorOutputPrefix": "failed/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
            "CompressionFormat": "GZIP",
        },
    )["DeliveryStreamARN"]

    api = gateway.create_rest_api(name="shop")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(
        restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE"
    )
    gateway.put_integration(restApiId=api, resourceId=root, httpMethod="GET", type="MOCK")
    gateway.create_deployment(restApiId=api, stageName="prod")
    settings = {"destinationArn": stream, "format": template}
    gateway.update_stage(
        restApiId=api,
        stageName="prod",
        patchOperations=[
            {"op": "replace", "path": f"/accessLogSettings/{name}", "value": value}
            for name, value in settings.items()
        ],
    )

    rules = []
    for name, version in (("portcullis-v4", "IPV4"), ("portcullis-v6", "IPV6")):
        made = waf.create_ip_set(
            Name=name, Scope="REGIONAL", IPAddressVersion=version, Addresses=[]
        )
        rules.append(
            {
                "Name": name,
                "Priority": len(rules),
                "Statement": {"IPSetReferenceStatement": {"ARN": made["Summary"]["ARN"]}},
                "Action": {"Block": {}},
                "VisibilityConfig": visibility(name),
            }
        )
    acl = waf.create_web_acl(
        Name="shop",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig=visibility("shop"),
        Rules=rules,
    )["Summary"]["ARN"]
    waf.associate_web_acl(
        WebACLArn=acl,
        ResourceArn=f"arn:aws:apigateway:{region}::/restapis/{api}/stages/prod",
    )

    return {"stage": f"{api}/prod", "queue": queue}


def send(client, _, logs):
    s3, firehose = map(client, ("s3", "firehose"))
    sent = {"through_firehose": 0, "gzipped": 0}
    hour = datetime.now(timezone.utc).strftime("%Y/%m/%d/%H")
    directories = sorted({path.parent for path in Path(logs).rglob("*.gz")})
    for directory in directories:
        first, *others = sorted(directory.glob("*.gz"))
        lines = gzip.decompress(first.read_bytes()).splitlines(keepends=True)
        for begin in range(0, len(lines), MOST_RECORDS):
            batch = [{"Data": line} for line in lines[begin : begin + MOST_RECORDS]]
            firehose.put_record_batch(DeliveryStreamName=STREAM, Records=batch)
            sent["through_firehose"] += 1
        for path in others:
            s3.put_object(
                Bucket=BUCKET, Key=f"access/{hour}/{path.name}", Body=path.read_bytes()
            )
            sent["gzipped"] += 1
    return sent


def visibility(name):
    return {
        "SampledRequestsEnabled": False,
        "CloudWatchMetricsEnabled": False,
        "MetricName": name,
    }


def main(endpoint, region, command, argument):
    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="AKIAEXAMPLE",
            aws_secret_access_key="secret",
        )

    return {"build": build, "send": send}[command](client, region, argument)


print(json.dumps(main(*sys.argv[1:])))
