"""Applies a recorded graph of the program to emulated AWS, resource by resource, in the order it was registered in.

What the engine had answered (ids, ARNs, addresses) was made up; each made-up value is replaced by the real one in all
that is applied after it. What there is no emulator for is not applied, and named with its reason in `NOT_APPLIED`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.deployed.appliers import APPLIERS
from tests.emulators.aws import REGION
from tests.infra.graph import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.emulators.servers import Server
    from tests.infra.graph import Graph

PATIENCE_S = 60  # a function's first call loads it
NETWORK = "functions of the emulator run on this machine, in no network of their own"
NO_TLS = "the emulator is spoken to in the clear, which the policy forbids"
NO_KAFKA = "the emulator has no Kafka; the topics are made on another one"
NOT_APPLIED: Mapping[str, str] = {
    "amplify:App": "no Amplify",
    "amplify:Branch": "no Amplify",
    "dynamic:Resource": "the upload to Amplify",
    "cloudwatch:Dashboard": "nobody looks at it",
    "cloudwatch:MetricAlarm": "metrics of the emulator's functions are not ours",
    "cognito:UserPool": "people's tokens are not asked for here",
    "cognito:UserPoolClient": "people's tokens are not asked for here",
    "cognito:UserPoolDomain": "people's tokens are not asked for here",
    "ec2:RouteTable": NETWORK,
    "ec2:RouteTableAssociation": NETWORK,
    "ec2:SecurityGroup": NETWORK,
    "ec2:Subnet": NETWORK,
    "ec2:Vpc": NETWORK,
    "ec2:VpcEndpoint": NETWORK,
    "iot:TopicRuleDestination": NETWORK,
    "lambda:EventSourceMapping": "the emulator's Lambda knows no mapping of Kafka; the test brings the batches",
    "msk:Cluster": NO_KAFKA,
    "msk:Configuration": NO_KAFKA,
    "msk:ScramSecretAssociation": NO_KAFKA,
    "s3:BucketLifecycleConfiguration": "nothing gets old here",
    "s3:BucketPolicy": NO_TLS,
    "sns:TopicPolicy": NO_TLS,
    "vpc:SecurityGroupEgressRule": NETWORK,
    "vpc:SecurityGroupIngressRule": NETWORK,
}


class Applied:
    """What there is after a graph was applied.

    `real` are real values by the made-up ones, `resources` all of the graph; `kinds` the types that were applied,
    `left` those that were not.
    """

    def __init__(self, aws: Server, kafka: Server, packages: str) -> None:
        """Nothing is applied yet; `packages` is a folder with what Lambda's runtime has by itself."""
        self.aws, self.kafka, self.packages = aws, kafka, packages
        self.real: dict[str, str] = {"b-1:9096": kafka.address}
        self.versions: dict[str, str] = {}
        self.kinds: set[str] = set()
        self.left: set[str] = set()
        self.resources: list[Resource] = []
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client of the emulated AWS, which asks once: a call of a function is not to be repeated by it."""
        if service not in self._clients:
            config = Config(read_timeout=PATIENCE_S, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
            address = f"http://{self.aws.address}"
            session = boto3.Session()  # one that all share remembers the credentials of other tests
            self._clients[service] = session.client(service, region_name=REGION, endpoint_url=address, config=config)
        return self._clients[service]

    def close(self) -> None:
        """Let go of all connections."""
        for client in self._clients.values():
            client.close()

    def apply(self, graph: Graph) -> None:
        """Apply all of it. AssertionError: a type is neither applied nor known not to be."""
        for resource in graph.resources:
            if not resource.made.get("custom"):
                continue
            kind = kind_of(resource)
            resource.inputs = self.put_right(resource.inputs)
            self.resources.append(resource)
            if kind in NOT_APPLIED:
                self.left.add(kind)
                continue
            assert kind in APPLIERS, f"{resource}: nothing says how {kind} is applied, or why not"
            try:
                told = APPLIERS[kind](self, resource) or {}
            except Exception as error:
                error.add_note(f"applying {resource}: {json.dumps(resource.inputs, default=str)[:600]}")
                raise
            self.kinds.add(kind)
            self._learn(resource.made.get("answered", {}), told)

    def put_right(self, value: Any) -> Any:
        """An input with the real ids in place of those that were made up; whole numbers are whole."""
        if isinstance(value, str):
            for made_up, real in self.real.items():
                if made_up in value:  # whole: one id may be the beginning of another
                    value = re.sub(rf"(?<![\w-]){re.escape(made_up)}(?![\w-])", real, value)
            return value
        if isinstance(value, dict):
            return {key: self.put_right(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.put_right(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def of(self, kind: str) -> list[Resource]:
        """All of a kind that the graph has, with the real ids in them."""
        return [resource for resource in self.resources if kind_of(resource) == kind]

    def one(self, kind: str, name: str) -> Resource:
        """The one whose name ends so."""
        (found,) = [resource for resource in self.of(kind) if resource.name.endswith(f"-{name}")]
        return found

    def real_arn(self, kind: str, name: str) -> str:
        """The ARN of what was applied."""
        made_up = str(self.one(kind, name).made["answered"]["arn"])
        return self.real.get(made_up, made_up)

    def _learn(self, answered: dict[str, Any], told: dict[str, str]) -> None:
        for key, real in told.items():
            made_up = str(answered[key])
            if made_up != real:
                self.real[made_up] = real


def kind_of(resource: Resource) -> str:
    """A resource's type in short: its service and its name, as in `s3:Bucket`."""
    module, _, name = resource.type.rpartition(":")
    return f"{module.split(':')[1].partition('/')[0]}:{name}"
