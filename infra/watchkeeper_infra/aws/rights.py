"""What a function may do: statements that follow from the row of its stage, and nothing beside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pulumi

from watchkeeper.pipeline import MAY_WAIT
from watchkeeper.topology import ALERTS, CUTOFFS, DEAD_LETTER
from watchkeeper_infra.aws.iam import allow, deny
from watchkeeper_infra.rights import objects_of
from watchkeeper_infra.words import ALIAS, API_KEYS, CONNECTIONS, GIVEN_UP, METER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper_infra.aws.alerts import Alerts
    from watchkeeper_infra.aws.event_stream import EventStream
    from watchkeeper_infra.aws.iam import Statement
    from watchkeeper_infra.aws.lake import Lake
    from watchkeeper_infra.aws.listeners import Listeners
    from watchkeeper_infra.aws.site import Site
    from watchkeeper_infra.aws.state import State
    from watchkeeper_infra.functions import FunctionSpec

INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
DESCRIBE_NETWORK = ("ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups")
READ_ROWS = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
WRITE_ROWS = (*READ_ROWS, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
READ, WRITE = ("s3:GetObject",), ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
CUTS_OFF = "budget_cutoff"
STORAGE = (
    "dynamodb:DeleteTable",
    "dynamodb:UpdateTable",
    "kafka:DeleteCluster",
    "kafka:UpdateBrokerCount",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "s3:DeleteBucket",
    "s3:PutLifecycleConfiguration",
    "secretsmanager:DeleteSecret",
)
"""What a cutoff must never do, whatever else its role comes to allow."""
PUBLISHERS = ("api",)  # of knowledge: for people, and after a deployment


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What there is for functions to touch."""

    site: Site
    stream: EventStream
    state: State
    lake: Lake
    alerts: Alerts
    listeners: Listeners


def rights_of(function: FunctionSpec, about: Surroundings, logs: pulumi.Output[str]) -> list[Statement]:
    """All statements of a function's role; `logs` is the ARN of its log group."""
    return [
        *_basics(function, about.site, logs),
        *_stream(function, about),
        *_rows(function, about),
        *_objects(function, about.lake),
        *_keys(function, about),
        *_others(function, about),
        *(_cutoff(about.site) if function.name == CUTS_OFF else ()),
    ]


def basics(logs: pulumi.Output[str]) -> list[Statement]:
    """What every function may: write its log, and say how long its parts took."""
    return [
        allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], pulumi.Output.concat(logs, ":log-stream:*")),
        allow("Tracing", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
    ]


def group_of(function: FunctionSpec, topic: str) -> str:
    """The consumer group of a function for one of its topics."""
    return f"{function.name}.{topic}"


def _basics(function: FunctionSpec, site: Site, logs: pulumi.Output[str]) -> list[Statement]:
    """In a VPC Lambda makes the interfaces by the function's role; the function's own code must not."""
    own = {"lambda:SourceFunctionArn": site.arn("lambda", f"function:{site.name(function.name)}")}
    return [
        *basics(logs),
        allow("Network", [*INTERFACES, *DESCRIBE_NETWORK], "*"),
        deny("NotByCode", INTERFACES, "*", ArnEquals=own),
    ]


def _stream(function: FunctionSpec, about: Surroundings) -> Iterator[Statement]:
    stream, cluster = about.stream, about.stream.cluster.arn
    taken = [topic.name for topic in function.topics]
    emitted = [topic.name for topic in (*function.emits, DEAD_LETTER)]
    connect = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
    yield allow("Connect", connect, cluster)
    yield allow(
        "Emit", ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"], [stream.topic_arn(name) for name in emitted]
    )
    if not taken:
        return
    yield allow("Describe", ["kafka:DescribeCluster", "kafka:DescribeClusterV2"], cluster)
    yield allow("FindBrokers", ["kafka:GetBootstrapBrokers"], "*")
    yield allow(
        "Take", ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], [stream.topic_arn(name) for name in taken]
    )
    yield allow(
        "Remember",
        ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"],
        [stream.group_arn(group_of(function, name)) for name in taken],
    )
    bucket = about.lake.bucket.arn
    yield allow("GiveUp", ["s3:PutObject"], pulumi.Output.concat(bucket, "/", GIVEN_UP, "*"))


def pushes(function: FunctionSpec, site: Site) -> bool:
    """Whether it tells who listens of new alerts: out of private subnets API Gateway is reached by NAT only."""
    return ALERTS in function.stage.writes and site.config.nat != "none"


def _rows(function: FunctionSpec, about: Surroundings) -> Iterator[Statement]:
    def arns(names: Sequence[str]) -> list[pulumi.Output[str]]:
        return [about.state.tables[name].arn for name in names]

    written = [table.name for table in function.writes]
    read = [table.name for table in function.reads]
    if CUTOFFS.name not in (*written, *read):
        read.append(CUTOFFS.name)  # what the budget has switched off, every worker must know
    if function.bundle == "web" or pushes(function, about.site):
        written.append(CONNECTIONS)
    if written:
        yield allow("WriteRows", WRITE_ROWS, arns(written))
    yield allow("ReadRows", READ_ROWS, arns(read)) if read else allow("ReadRows", READ_ROWS, arns(written))
    counted = ["dynamodb:UpdateItem", *(READ_ROWS if "meter" in function.uses else ())]
    yield allow("Count", counted, arns([METER]))


def _objects(function: FunctionSpec, lake: Lake) -> Iterator[Statement]:
    """Its states, what is published to it, and the lake if its row says so."""
    read, written = objects_of(function, PUBLISHERS)
    if function.name == "ingest":
        read.append(GIVEN_UP)
    for sid, actions, prefixes in (("ReadObjects", READ, read), ("WriteObjects", WRITE, written)):
        if prefixes:
            yield allow(sid, actions, [pulumi.Output.concat(lake.bucket.arn, "/", prefix, "*") for prefix in prefixes])
    # Names of all keys: who may not list them is told 403, not 404, of a key that is not there.
    yield allow("ListObjects", ["s3:ListBucket"], lake.bucket.arn)


def _keys(function: FunctionSpec, about: Surroundings) -> Iterator[Statement]:
    """The keys only by way of the services that use them; Lambda itself reads a function's environment by its role."""
    region = about.site.region
    by = [f"{service}.{region}.amazonaws.com" for service in ("dynamodb", "lambda", "s3", "secretsmanager")]
    yield allow(
        "DataKey", ["kms:Decrypt", "kms:GenerateDataKey"], about.state.key.arn, StringEquals={"kms:ViaService": by}
    )
    if "receivers" in function.uses:
        sns = {"kms:ViaService": f"sns.{region}.amazonaws.com"}
        yield allow("AlertKey", ["kms:Decrypt", "kms:GenerateDataKey"], about.alerts.key.arn, StringEquals=sns)


def _others(function: FunctionSpec, about: Surroundings) -> Iterator[Statement]:
    if function.bundle == "web" or pushes(function, about.site):
        yield allow("Push", ["execute-api:ManageConnections"], about.listeners.posts)
    secrets = []
    if about.site.config.kafka_login == "scram":
        secrets.append(about.stream.secret.arn)
    if "receivers" in function.uses:
        yield allow("Tell", ["sns:Publish"], list(about.alerts.by_severity.values()))
        secrets += [about.state.secrets[name].arn for name in ("receivers",) if name in about.state.secrets]
    if "language_model" in function.uses:
        secrets += [about.state.secrets[name].arn for name in ("model",) if name in about.state.secrets]
    if secrets:
        yield allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets)


def _cutoff(site: Site) -> Iterator[Statement]:
    """Mappings can be listed only all at once; those of the stages that may wait can be changed, and no others."""
    names = [f"function:{site.name(stage)}{alias}" for stage in MAY_WAIT for alias in ("", f":{ALIAS}")]
    whose = {"lambda:FunctionArn": [site.arn("lambda", name) for name in names]}
    mappings = site.arn("lambda", "event-source-mapping:*")
    yield allow("FindMappings", ["lambda:ListEventSourceMappings"], "*")
    yield allow("Stop", ["lambda:UpdateEventSourceMapping"], mappings, ArnEquals=whose)
    yield deny("NeverStorage", STORAGE, "*")


def authorizer_rights(site: Site, state: State, logs: pulumi.Output[str]) -> list[Statement]:
    """The authorizer looks up digests of keys, and does nothing else."""
    via = {"kms:ViaService": [f"{service}.{site.region}.amazonaws.com" for service in ("dynamodb", "lambda")]}
    return [
        *basics(logs),
        allow("ReadKeys", ["dynamodb:GetItem"], state.tables[API_KEYS].arn),
        allow("DataKey", ["kms:Decrypt"], state.key.arn, StringEquals=via),
    ]
