"""Looks at IP sets and queues with boto3, a client that shares no code with the program.

    witness.py ENDPOINT REGION [--role ARN] create NAME IPV4|IPV6 [ADDRESS...]
    witness.py ENDPOINT REGION [--role ARN] edit NAME ADDRESS...
    witness.py ENDPOINT REGION [--role ARN] show NAME
    witness.py ENDPOINT REGION bucket NAME
    witness.py ENDPOINT REGION messages QUEUE

Prints one document of JSON.
"""

import json
import sys

import boto3

SCOPE = "REGIONAL"


def client(service, endpoint, region, keys=None):
    keys = keys or {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "secret"}
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
    )


def found(waf, name):
    marker = {}
    while True:
        page = waf.list_ip_sets(Scope=SCOPE, Limit=1, **marker)
        for summary in page["IPSets"]:
            if summary["Name"] == name:
                return waf.get_ip_set(Name=name, Scope=SCOPE, Id=summary["Id"])
        if not page.get("NextMarker"):
            sys.exit(f"there is no set {name}")
        marker = {"NextMarker": page["NextMarker"]}


def main(endpoint, region, *words):
    keys = None
    if words[0] == "--role":
        sts = client("sts", endpoint, region)
        keys = sts.assume_role(RoleArn=words[1], RoleSessionName="witness")["Credentials"]
        words = words[2:]
    command, name, *rest = words
    if command == "bucket":
        place = {"LocationConstraint": region}
        client("s3", endpoint, region).create_bucket(
            Bucket=name, CreateBucketConfiguration=place
        )
        return {}
    if command == "messages":
        sqs = client("sqs", endpoint, region)
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
        return {"messages": sum(int(told[count]) for count in counts)}
    waf = client("wafv2", endpoint, region, keys)
    if command == "create":
        summary = waf.create_ip_set(
            Name=name,
            Scope=SCOPE,
            IPAddressVersion=rest[0],
            Addresses=rest[1:],
            Description="made by a test",
        )["Summary"]
        return {"arn": summary["ARN"]}
    answer = found(waf, name)
    if command == "edit":
        waf.update_ip_set(
            Name=name,
            Scope=SCOPE,
            Id=answer["IPSet"]["Id"],
            Addresses=rest,
            Description=answer["IPSet"]["Description"],
            LockToken=answer["LockToken"],
        )
        answer = found(waf, name)
    return {
        "addresses": sorted(answer["IPSet"]["Addresses"]),
        "description": answer["IPSet"].get("Description"),
    }


print(json.dumps(main(*sys.argv[1:])))
