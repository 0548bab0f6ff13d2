"""What can be set for a stack on Azure beside what every cloud knows, and what does not go together there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from watchkeeper.records import Severity
from watchkeeper_infra import stack_config
from watchkeeper_infra.keys import text, whole, wrong
from watchkeeper_infra.stack_config import PRIVATE_NETWORK, StackConfig, not_private, of_functions
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

HubSize = Literal["S1", "S2", "S3"]
UNITS_OF_S3 = 10  # at most; of the others 200
Memory = Literal[512, 2048, 4096]
DashboardRegion = Literal["westus2", "centralus", "eastus2", "westeurope", "eastasia"]
ACCOUNT = r"^(/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.CognitiveServices/accounts/[^/]+)?$"
THOUSAND, TENS = 1000, 10


class AzureConfig(StackConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The keys of `Pulumi.<stack>.yaml`; docs/azure-infrastructure.md is made from `HELP`."""

    cloud: Literal["azure"]
    private_endpoints: bool = False
    cidr: Annotated[str, PRIVATE_NETWORK] = "10.61.0.0/16"
    redundancy: Literal["LRS", "ZRS"] = "LRS"
    hub_size: HubSize = "S1"
    hub_units: Annotated[int, whole(1, 200)] = 1
    device_ca: str = ""
    throughput_units: Annotated[int, whole(1, 40)] = 1
    throughput_units_at_most: Annotated[int, whole(1, 40)] = 4
    partitions: Annotated[int, whole(1, 32)] = 2
    retention_hours: Annotated[int, whole(1, 168)] = 72
    dead_letter_hours: Annotated[int, whole(1, 168)] = 168
    batch_size: Annotated[int, whole(1, 1000)] = 100
    raw_batch_size: Annotated[int, whole(1, 10_000)] = 1000
    batch_wait_seconds: Annotated[int, whole(0, 300)] = 5
    instances_at_most: Annotated[int, whole(1, 1000)] = 40
    always_ready: dict[str, Annotated[int, whole(1, 20)]] = msgspec.field(default_factory=dict)
    memory_mb: dict[str, Memory] = msgspec.field(default_factory=dict)
    packages: dict[str, Annotated[str, text("the SHA-256 of a package that was deployed", r"^[0-9a-f]{64}$")]] = (
        msgspec.field(default_factory=dict)
    )
    bundles: str = "build/packages"
    cosmos: Literal["serverless", "autoscale"] = "serverless"
    cosmos_units: Annotated[int, whole(1000, 1_000_000)] = 4000
    backup_days: Literal[7, 30] = 7
    log_days: Annotated[int, whole(30, 730)] = 30
    model: Literal["none", "openai", "azure"] = "none"
    model_api_version: Annotated[str, text("a date, such as 2024-10-21", r"^(\d{4}-\d\d-\d\d(-preview)?)?$")] = ""
    model_account: Annotated[str, text("the id of an account of Azure OpenAI, or nothing", ACCOUNT)] = ""
    issuer: Annotated[str, text("an https:// address, or nothing for Entra ID", r"^(https://[^\s]+)?$")] = ""
    web_pubsub: Literal["Free_F1", "Standard_S1"] = "Free_F1"
    web_pubsub_units: Annotated[int, whole(1, 100)] = 1
    dashboard_size: Literal["Free", "Standard"] = "Free"
    dashboard_region: DashboardRegion = "westeurope"
    canary_key: str = ""
    lag_minutes: Literal[5, 15, 30, 60, 360] = 15


SECRETS = stack_config.SECRETS | {"canary_key"}

HELP = stack_config.HELP | {
    "private_endpoints": "reach what is stored by private endpoints only; functions join a network",
    "cidr": "addresses of that network",
    "redundancy": "how storage is kept: in one zone (LRS) or in three (ZRS)",
    "hub_size": "size of the IoT Hub: what a unit takes a second is 12 messages (S1), 120 (S2) or 6,000 (S3)",
    "hub_units": "how many of them; of S3 10 at most",
    "device_ca": "PEM file with the certificate of who signs the devices' certificates; nothing: no enrolment group",
    "throughput_units": "what Event Hubs take: each unit is 1 MB/s or 1,000 events/s",
    "throughput_units_at_most": "and what it grows to by itself",
    "partitions": "what a hub is divided into, at most the shards; cannot be changed later",
    "retention_hours": "how long a hub keeps its events",
    "dead_letter_hours": "how long the hub dead-letter keeps its events",
    "batch_size": "packs that a function is given at once, at most; each may have 256 KB",
    "raw_batch_size": "and messages of devices that ingest is given at once",
    "batch_wait_seconds": "how long a batch may wait to be full: readings are so much later, and states cheaper",
    "instances_at_most": "instances that an app may grow to",
    "always_ready": "instances of functions by name that are kept, so that nothing waits for a start",
    "memory_mb": "memory of functions by name, where it shall be another than 2048 (retrain: 4096)",
    "packages": "SHA-256 of an earlier package of functions by name, to roll back to; the newest where none is named",
    "bundles": "folder of the functions' packages, made by `make bundles`",
    "cosmos": "how Cosmos DB is charged: by what is used, or by what is kept ready and grows by itself",
    "cosmos_units": "request units a second that autoscale grows to, a multiple of 1000; a tenth is kept ready",
    "backup_days": "days to whose every moment the tables can be restored",
    "log_days": "how long logs are kept",
    "model": "who explains in prose: an OpenAI-compatible service, Azure OpenAI, or nobody",
    "model_api_version": "version of a classic endpoint of Azure OpenAI; none where modelUrl ends in /v1",
    "model_account": "account of Azure OpenAI that is asked as the app itself, by its id as a resource; then there"
    " is no modelKey",
    "issuer": "OpenID Connect issuer of the people's tokens; nothing: the subscription's own Entra ID",
    "receivers": "who gets alerts at once, as the local runtime's receivers: Teams, webhooks, for some severities only"
    " with these before them; a secret",
    "audience": "audience of those tokens; nothing: nobody comes in by a token",
    "web_pubsub": "size of Web PubSub, which tells dashboards of alerts; the free one takes 20 listeners",
    "web_pubsub_units": "how many of Standard_S1: each takes 1,000 listeners; beyond 10 only whole tens",
    "dashboard_size": "plan of the Static Web App",
    "dashboard_region": "where it is: Static Web Apps are in few regions",
    "canary_key": "key of a machine by which a reading is sent every five minutes, so that nothing stored means that"
    " nothing flows; a secret; nothing: no canary",
    "lag_minutes": "how late a stage may be, and how long nobody may take what has come in, before people are told",
}


def contradictions(config: AzureConfig) -> Iterator[str]:
    """What each key allows by itself, and the others do not."""
    yield from not_private(config.cidr)
    if config.hub_size == "S3" and config.hub_units > UNITS_OF_S3:
        yield wrong("hubUnits", config.hub_units, f"at most {UNITS_OF_S3} of S3")
    if config.throughput_units_at_most < config.throughput_units:
        yield wrong(
            "throughputUnitsAtMost", config.throughput_units_at_most, f"at least the {config.throughput_units} units"
        )
    if config.cosmos_units % THOUSAND:
        yield wrong("cosmosUnits", config.cosmos_units, "a multiple of 1000")
    for name, given in (
        ("alwaysReady", config.always_ready),
        ("memoryMb", config.memory_mb),
        ("packages", config.packages),
    ):
        yield from of_functions(name, given)
    for name, ready in config.always_ready.items():
        if ready > config.instances_at_most:
            yield wrong("alwaysReady", f"{name}: {ready}", f"at most the {config.instances_at_most} instances")
    yield from stack_config.contradictions(
        config,
        model=config.model,
        partitions=config.partitions,
        mailed=(*Severity, OPERATIONS),
        keyless=bool(config.model_account),
    )
    yield from _model(config)
    if config.issuer and not config.audience:
        yield wrong("audience", config.audience, "an audience where an issuer is named")
    yield from _listeners(config)


def _model(config: AzureConfig) -> Iterator[str]:
    newer = config.model_url.rstrip("/").endswith("/v1")
    if config.model == "azure" and (not config.model_url or newer == bool(config.model_api_version)):
        either = "…/openai/v1, or …/openai with a modelApiVersion"
        yield wrong("modelUrl", config.model_url, f"the endpoint of Azure OpenAI: {either}")
    if config.model_account and config.model != "azure":
        yield wrong("modelAccount", config.model_account, f"nothing where the model is {config.model}")
    if config.model_account and config.model_key:
        yield "watchkeeper:modelKey: not allowed together with modelAccount; the model is asked by one of them"
    if config.model_account and not config.model_url.startswith("https://"):
        yield wrong("modelUrl", config.model_url, "an https:// address where modelAccount is set: tokens go there")


def _listeners(config: AzureConfig) -> Iterator[str]:
    units = config.web_pubsub_units
    if config.web_pubsub == "Free_F1" and units > 1:
        yield wrong("webPubsubUnits", units, "1 of Free_F1")
    if units > TENS and units % TENS:
        yield wrong("webPubsubUnits", units, "1 to 10, or 20, 30 and so on to 100")
    if config.private_endpoints and config.web_pubsub == "Free_F1":
        yield wrong("webPubsub", config.web_pubsub, "Standard_S1 where privateEndpoints is set")
