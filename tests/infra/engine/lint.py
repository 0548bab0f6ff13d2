"""Lints every IAM document of a graph with parliament: unknown actions, resources that an action does not have."""

import functools
import json
import warnings

from monitor import SECRET

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from parliament import analyze_policy_string

LINTED = (
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:kms/key:Key",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:sns/topicPolicy:TopicPolicy",
)
"""What has a document as its `policy`. Who may take a role, and what devices may, are tests of their own."""
FINE = {
    "RESOURCE_STAR": "which statements may say `*` is a test of its own, with a reason for each",
    "ArnLike requires a value of type Arn": "what is encrypted is named by an ARN, which parliament takes for any text",
    "lambda:SourceFunctionArn": "Lambda gives this key to whatever a function calls; parliament does not know it",
}


def problems(resources):
    """What parliament says: `name: ISSUE detail`."""
    found = []
    for resource in resources:
        text = resource["object"].get("policy") if resource["type"] in LINTED else None
        if text:
            text = text["value"] if isinstance(text, dict) and SECRET in text else text
            found += [f"{resource['name']}: {each}" for each in _said(text)]
    return found


@functools.cache
def _said(text):
    """Graphs have many documents in common, and a document takes a tenth of a second."""
    findings = analyze_policy_string(text).findings
    said = [f"{finding.issue} {json.dumps(finding.detail, default=str)}" for finding in findings]
    return [each for each in said if not any(fine in each for fine in FINE)]
