"""What can be set for a stack on AWS: each key with its type, its default, and what it is."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Zones = Literal[2, 3]
Nat = Literal["none", "one", "per-zone"]
Login = Literal["iam", "scram"]
ModelProvider = Literal["none", "bedrock", "openai"]
LogDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
LogLevel = Literal["debug", "info", "warning", "error"]
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


def whole(low: int, high: int) -> msgspec.Meta:
    """For a whole number between two bounds, both allowed."""
    return msgspec.Meta(ge=low, le=high, description=f"a whole number from {low} to {high}")


def text(allowed: str, pattern: str) -> msgspec.Meta:
    """For a text of a form."""
    return msgspec.Meta(pattern=pattern, description=allowed)


Cidr = Annotated[str, text("a private IPv4 network of /16 to /20, such as 10.60.0.0/16", r"^[0-9.]+/(1[6-9]|20)$")]
KafkaVersion = Annotated[str, text("such as 3.9.x or 3.9.x.kraft", r"^\d+\.\d+\.(x|\d+)(\.kraft)?$")]


class AwsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The keys of `Pulumi.<stack>.yaml`, in its order; docs/aws-infrastructure.md is made from `HELP`."""

    cloud: Literal["aws"]
    cost_centre: Annotated[str, text("1 to 64 letters, digits, spaces or ._-", r"^[A-Za-z0-9 ._-]{1,64}$")]
    protect: bool = True
    zones: Zones = 2
    cidr: Annotated[
        str, text("a private IPv4 network of /16 to /20, such as 10.60.0.0/16", r"^[0-9.]+/(1[6-9]|20)$")
    ] = "10.60.0.0/16"
    nat: Nat = "none"
    kafka_instance: KafkaInstance = "kafka.t3.small"
    kafka_brokers: Annotated[int, whole(2, 30)] = 2
    kafka_version: Annotated[str, text("such as 3.9.x or 3.9.x.kraft", r"^\d+\.\d+\.(x|\d+)(\.kraft)?$")] = (
        "3.9.x.kraft"
    )
    kafka_volume_gb: Annotated[int, whole(10, 16_384)] = 100
    kafka_login: Login = "scram"
    shards: Annotated[int, whole(1, 1024)] = 8
    partitions: Annotated[int, whole(1, 1000)] = 8
    retention_hours: Annotated[int, whole(2, 8760)] = 72
    dead_letter_days: Annotated[int, whole(1, 365)] = 30
    batch_size: Annotated[int, whole(1, 10_000)] = 5000
    batch_window_seconds: Annotated[int, whole(0, 300)] = 5
    retries: Annotated[int, whole(1, 10_000)] = 100
    retry_hours: Annotated[int, whole(1, 168)] = 48
    pollers: Annotated[int, whole(1, 200)] = 1
    pollers_at_most: Annotated[int, whole(1, 2000)] = 4
    memory_mb: dict[str, Annotated[int, whole(128, 10_240)]] = {}
    versions: dict[str, Annotated[int, whole(1, 1_000_000)]] = {}
    log_days: LogDays = 30
    log_level: LogLevel = "warning"
    alert_emails: dict[str, tuple[str, ...]] = {}
    receivers: tuple[str, ...] = ()
    webhook_secret: str = ""
    model: ModelProvider = "none"
    model_name: str = ""
    model_url: str = ""
    model_key: str = ""
    issuer: Annotated[str, text("an https:// address, or nothing for a Cognito user pool", r"^(https://[^\s]+)?$")] = ""
    audience: str = ""
    requests_per_second: Annotated[int, whole(1, 10_000)] = 200
    request_burst: Annotated[int, whole(1, 5_000)] = 400
    dashboard_folder: str = "infra/status_page"
    budget: Annotated[float, msgspec.Meta(ge=0, le=1e7, description="US dollars a month, 0 for no budget")] = 0.0
    canary: bool = True
    lag_alarm: Annotated[int, whole(1, 1_000_000_000)] = 1000
    bundles: str = "build/bundles"


SECRETS = {"receivers", "webhook_secret", "model_key"}
"""They are set by `pulumi config set --secret`, and refused in plain text."""

HELP = {
    "cloud": "which cloud the stack is in",
    "cost_centre": "what the bill is filed under; a tag of everything",
    "protect": "refuse to delete what holds data, until this is set to false",
    "zones": "availability zones that everything is spread over",
    "cidr": "addresses of the stack's network",
    "nat": "the way out of the private subnets: for webhooks, an OpenAI-compatible model, and pushes by WebSocket",
    "kafka_instance": "size of a broker",
    "kafka_brokers": "number of brokers, a multiple of the zones",
    "kafka_version": "version of Kafka; `.kraft` behind it for clusters without ZooKeeper",
    "kafka_volume_gb": "disk of a broker",
    "kafka_login": "how functions log in: `iam`: a right per topic; `scram`: for brokers with 4 IAM logins a second",
    "shards": "what devices are divided into; cannot be changed later. Each costs a state for each batch of each stage",
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
    "log_level": "what functions log",
    "alert_emails": "mail addresses by severity (info, warning, critical, emergency) and `operations`",
    "receivers": "further receivers of alerts, as the local runtime's; a secret",
    "webhook_secret": "what webhooks are signed with; a secret",
    "model": "who explains in prose: Amazon Bedrock, an OpenAI-compatible service, or nobody",
    "model_name": "the model's name there",
    "model_url": "base URL of an OpenAI-compatible service; nothing: OpenAI's",
    "model_key": "its key (of Bedrock: an API key of Amazon Bedrock); a secret",
    "issuer": "OpenID Connect issuer of the people's tokens; nothing: a Cognito user pool is made",
    "audience": "audience of those tokens; with `issuer`",
    "requests_per_second": "requests that the API takes a second, from all together",
    "request_burst": "and beyond that at once",
    "dashboard_folder": "folder that is uploaded as the dashboard; it holds an index.html",
    "budget": "what a month may cost",
    "canary": "send a reading a minute by the API, so that nothing stored means that nothing flows",
    "lag_alarm": "messages that a consumer may be behind before people are told",
    "bundles": "folder of the functions' bundles, made by `make bundles`",
}
