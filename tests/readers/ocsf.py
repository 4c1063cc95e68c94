"""Holds events against the published schema of OCSF: prints how many are valid.

The schema of each version comes with the package, as the OCSF project publishes it; it
becomes a JSON Schema of the events' class. An attribute that the class does not have is an
error, like one that it requires and the event lacks.
"""

import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.5.0"


def main():
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
    events = [json.loads(line) for line in sys.stdin]
    failures = []
    validators = {}
    for number, event in enumerate(events, 1):
        assert event["metadata"]["version"] == VERSION, event["metadata"]
        uid = event["class_uid"]
        if uid not in validators:
            name = schema.lookup_class_name_from_uid(uid)
            of_class = schema.get_class_schema(name)
            validators[uid] = jsonschema.validators.validator_for(of_class)(of_class)
        for error in validators[uid].iter_errors(event):
            place = "/".join(str(part) for part in error.absolute_path)
            failures.append(f"line {number}, {place}: {error.message}"[:600])
    print(json.dumps({"events": len(events), "failures": failures}))


main()
