"""What can be set for a stack on AWS beside what every cloud knows, and what does not go together there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from watchkeeper.records import Severity
from watchkeeper.topology import TOPICS
from watchkeeper_infra import stack_config
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.keys import text, whole, wrong
from watchkeeper_infra.stack_config import PRIVATE_NETWORK, StackConfig, not_private, of_functions
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

Zones = Literal[2, 3]
Nat = Literal["none", "one", "per-zone"]
Login = Literal["iam", "scram"]
ModelProvider = Literal["none", "bedrock", "openai"]
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
KafkaInstance = Literal[
    "kafka.t3.small",
    "kafka.m7g.large",
    "kafka.m7g.xlarge",
    "kafka.m7g.2xlarge",
    "kafka.m7g.4xlarge",
    "kafka.m7g.8xlarge",
    "kafka.m7g.12xlarge",
    "kafka.m7g.16xlarge",
]
PARTITIONS_PER_BROKER = {
    "kafka.t3.small": 300,
    "kafka.m7g.large": 1000,
    "kafka.m7g.xlarge": 1000,
    "kafka.m7g.2xlarge": 2000,
}
"""Replicas that the vendor recommends at most on a broker of a size; 4,000 on larger ones."""
MOST_PARTITIONS = 4000
MOST_POLLERS = 2000  # of all mappings in a group


class AwsConfig(StackConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The keys of `Pulumi.<stack>.yaml`; docs/aws-infrastructure.md is made from `HELP`."""

    cloud: Literal["aws"]
    zones: Zones = 2
    cidr: Annotated[str, PRIVATE_NETWORK] = "10.60.0.0/16"
    nat: Nat = "none"
    kafka_instance: KafkaInstance = "kafka.t3.small"
    kafka_brokers: Annotated[int, whole(2, 30)] = 2
    kafka_version: Annotated[str, text("such as 3.9.x or 3.9.x.kraft", r"^\d+\.\d+\.(x|\d+)(\.kraft)?$")] = (
        "3.9.x.kraft"
    )
    kafka_volume_gb: Annotated[int, whole(10, 16_384)] = 100
    kafka_login: Login = "scram"
    partitions: Annotated[int, whole(1, 1000)] = 8
    retention_hours: Annotated[int, whole(2, 8760)] = 72
    dead_letter_days: Annotated[int, whole(1, 365)] = 30
    batch_size: Annotated[int, whole(1, 10_000)] = 5000
    batch_window_seconds: Annotated[int, whole(0, 300)] = 5
    retries: Annotated[int, whole(1, 10_000)] = 100
    retry_hours: Annotated[int, whole(1, 168)] = 48
    pollers: Annotated[int, whole(1, 200)] = 1
    pollers_at_most: Annotated[int, whole(1, 2000)] = 4
    memory_mb: dict[str, Annotated[int, whole(128, 10_240)]] = msgspec.field(default_factory=dict)
    versions: dict[str, Annotated[int, whole(1, 1_000_000)]] = msgspec.field(default_factory=dict)
    log_days: LogDays = 30
    model: ModelProvider = "none"
    issuer: Annotated[str, text("an https:// address, or nothing for a Cognito user pool", r"^(https://[^\s]+)?$")] = ""
    requests_per_second: Annotated[int, whole(1, 10_000)] = 200
    request_burst: Annotated[int, whole(1, 5_000)] = 400
    canary: bool = True
    lag_alarm: Annotated[int, whole(1, 1_000_000_000)] = 1000
    bundles: str = "build/bundles"


SECRETS = stack_config.SECRETS

HELP = stack_config.HELP | {
    "zones": "availability zones that everything is spread over",
    "cidr": "addresses of the stack's network",
    "nat": "the way out of the private subnets: for webhooks, an OpenAI-compatible model, and pushes by WebSocket",
    "kafka_instance": "size of a broker",
    "kafka_brokers": "number of brokers, a multiple of the zones",
    "kafka_version": "version of Kafka; `.kraft` behind it for clusters without ZooKeeper",
    "kafka_volume_gb": "disk of a broker",
    "kafka_login": "how functions log in: `iam`: a right per topic; `scram`: for brokers with 4 IAM logins a second",
    "partitions": "what a topic is divided into, at most the shards; cannot be changed later",
    "retention_hours": "how long a topic keeps its messages",
    "dead_letter_days": "how long the topic dead-letter keeps its messages",
    "batch_size": "messages that a function is given at once, at most",
    "batch_window_seconds": "how long a batch may wait to be full: readings are so much later, and states cheaper",
    "retries": "how often a batch that fails is given again, before it goes to the bucket",
    "retry_hours": "for how long, at most; less than the retention",
    "pollers": "event pollers that the functions share, at least",
    "pollers_at_most": "and at most",
    "memory_mb": "memory of functions by name, where it shall be another than that of `functions.py`",
    "versions": "published version of functions by name, to roll back to; the newest where none is named",
    "log_days": "how long logs are kept",
    "model": "who explains in prose: Amazon Bedrock, an OpenAI-compatible service, or nobody",
    "model_key": "its key (of Bedrock: an API key of Amazon Bedrock); a secret",
    "issuer": "OpenID Connect issuer of the people's tokens; nothing: a Cognito user pool is made",
    "requests_per_second": "requests that the API takes a second, from all together",
    "request_burst": "and beyond that at once",
    "canary": "send a reading a minute by the API, so that nothing stored means that nothing flows",
    "lag_alarm": "messages that a consumer may be behind before people are told",
    "bundles": "folder of the functions' bundles, made by `make bundles`",
}


def contradictions(config: AwsConfig) -> Iterator[str]:
    """What each key allows by itself, and the others do not."""
    yield from _network(config)
    yield from _stream(config)
    yield from of_functions("memoryMb", config.memory_mb)
    yield from of_functions("versions", config.versions)
    yield from stack_config.contradictions(
        config, model=config.model, partitions=config.partitions, mailed=(*Severity, OPERATIONS)
    )
    if bool(config.issuer) != bool(config.audience):
        yield wrong("audience", config.audience, "an audience where an issuer is named, and nothing where none is")


def _network(config: AwsConfig) -> Iterator[str]:
    yield from not_private(config.cidr)
    if config.nat == "none":
        reasons = {
            "receivers": config.receivers,
            "model openai": config.model == "openai",
        }
        for reason in (reason for reason, given in reasons.items() if given):
            yield wrong("nat", config.nat, f"one or per-zone where {reason} is set: it is outside AWS")


def _stream(config: AwsConfig) -> Iterator[str]:
    if config.kafka_brokers % config.zones:
        yield wrong("kafkaBrokers", config.kafka_brokers, f"a multiple of the {config.zones} zones")
    carried = PARTITIONS_PER_BROKER.get(config.kafka_instance, MOST_PARTITIONS)
    replicas = sum(config.partitions if topic.sharded else 1 for topic in TOPICS.values()) * min(
        3, config.kafka_brokers
    )
    if replicas > carried * config.kafka_brokers:
        yield wrong(
            "partitions",
            config.partitions,
            f"{replicas} replicas are more than {config.kafka_brokers} brokers {config.kafka_instance} carry "
            f"({carried} each)",
        )
    if config.retry_hours >= config.retention_hours:
        yield wrong("retryHours", config.retry_hours, f"less than the {config.retention_hours} hours of retention")
    if config.pollers_at_most < config.pollers:
        yield wrong("pollersAtMost", config.pollers_at_most, f"at least the {config.pollers} pollers")
    mappings = sum(len(function.topics) for function in FUNCTIONS.values())
    if config.pollers_at_most * mappings > MOST_POLLERS:
        most = f"at most {MOST_POLLERS // mappings}: {mappings} mappings share a group of {MOST_POLLERS}"
        yield wrong("pollersAtMost", config.pollers_at_most, most)
