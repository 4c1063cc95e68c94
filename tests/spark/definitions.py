"""The requests and policies that docs/scale.md shows, against AWS's models of its APIs.

The models are those that boto3 brings along. Above each request a comment names its service
and operation, above each policy it says so.
"""

import json
import re

import botocore.loaders
import botocore.model
import botocore.validate

from portcullis_spark.__main__ import parser

# Permissions that are not named after an operation.
NAMED_OTHERWISE = {"s3:ListBucket"}


def operation(service, name):
    model = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(model, service).operation_model(name)


def values(shape, value):
    """Each value with its shape, to the bottom."""
    yield shape, value
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from values(shape.members[name], inner)
    elif shape.type_name == "list":
        for inner in value:
            yield from values(shape.member, inner)
    elif shape.type_name == "map":
        for inner in value.values():
            yield from values(shape.value, inner)


def check_request(service, name, request):
    model = operation(service, name)
    shape = model.input_shape
    # The command line makes up the tokens that tell one request from the next.
    request = {**dict.fromkeys(model.idempotent_members, "token"), **request}
    report = botocore.validate.ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    for inner, value in values(shape, request):
        pattern, names = inner.metadata.get("pattern"), inner.metadata.get("enum")
        if isinstance(value, str):
            # Some are written for Java, in pairs of surrogates that Python has no use for:
            # they exclude control characters.
            if pattern and "\\uD" in pattern.replace("\\ud", "\\uD"):
                pattern = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]*"
            assert not pattern or re.fullmatch(pattern, value), (inner.name, pattern, value)
            assert not names or value in names, (inner.name, names, value)
        if inner.metadata.get("max") is not None and hasattr(value, "__len__"):
            assert len(value) <= inner.metadata["max"], (inner.name, value)


def check_policy(policy):
    assert policy["Version"] == "2012-10-17" and policy["Statement"]
    for statement in policy["Statement"]:
        assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}, statement
        action = statement["Action"]
        resources = statement["Resource"]
        for resource in [resources] if isinstance(resources, str) else resources:
            assert re.fullmatch(r"arn:aws:[a-z0-9]+:[a-z0-9-]*:\d*:.+", resource), resource
        if action not in NAMED_OTHERWISE:
            operation(*action.split(":"))


def check(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    shown = re.findall(r"<!-- (.+?) -->\n```json\n(.*?)```", text, re.DOTALL)
    assert len(shown) == text.count("```json"), "JSON without a comment that says what it is"
    kinds = set()
    for kind, body in shown:
        kinds.add(kind)
        body = json.loads(body)
        if kind == "policy":
            check_policy(body)
            continue
        check_request(*kind.split(), body)
        if kind == "emr-serverless StartJobRun":
            submit = body["jobDriver"]["sparkSubmit"]
            parser().parse_args(submit["entryPointArguments"])
            words = submit["sparkSubmitParameters"].split()
            assert words[::2] == ["--conf"] * (len(words) // 2) and all("=" in word for word in words[1::2])
        if kind == "scheduler CreateSchedule":
            service, name = body["Target"]["Arn"].split(":")[-2:]
            check_request(service, name[0].upper() + name[1:], json.loads(body["Target"]["Input"]))
    expected = {"emr-serverless StartJobRun", "glue CreateJob", "scheduler CreateSchedule", "policy"}
    assert kinds == expected, kinds
    print(f"ok: {len(shown)} requests and policies of docs/scale.md are as AWS's models want them", flush=True)
