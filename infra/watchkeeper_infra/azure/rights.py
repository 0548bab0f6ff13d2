"""What an app may do: rights that follow from the row of its stage, and nothing beside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pulumi

from watchkeeper.topology import ALERTS, CUTOFFS, DEAD_LETTER
from watchkeeper_infra.azure.roles import Grant
from watchkeeper_infra.rights import objects_of
from watchkeeper_infra.words import API_KEYS, METER, MODEL, RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watchkeeper_infra.azure.api import Api
    from watchkeeper_infra.azure.event_stream import EventStream
    from watchkeeper_infra.azure.lake import Lake
    from watchkeeper_infra.azure.listeners import Listeners
    from watchkeeper_infra.azure.network import Network
    from watchkeeper_infra.azure.observability import Observability
    from watchkeeper_infra.azure.site import Site
    from watchkeeper_infra.azure.state import State
    from watchkeeper_infra.functions import FunctionSpec

READER, WRITER = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
"""Cosmos DB's own roles, by the ends of their ids."""
PUBLISHERS = ("api", "budget_cutoff")  # of knowledge: for people, and what was deployed by one that runs by itself


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What there is for apps to touch."""

    site: Site
    network: Network
    stream: EventStream
    state: State
    lake: Lake
    api: Api
    listeners: Listeners
    seen: Observability


def grants_of(function: FunctionSpec, about: Surroundings) -> list[Grant]:
    """All rights of an app but those to rows, which Cosmos DB gives itself."""
    return [
        *_stream(function, about.stream),
        *_objects(function, about.lake),
        *_secrets(function, about.state),
        *_others(function, about),
    ]


def rows_of(function: FunctionSpec) -> Mapping[str, str]:
    """Which of Cosmos DB's roles an app has for which table.

    The meter is counted up by everyone, what the budget has switched off everyone must know, and the API looks up the
    keys of machines and makes new ones.
    """
    rows = {table.name: READER for table in (*function.reads, CUTOFFS)}
    rows |= {table.name: WRITER for table in function.writes} | {METER: WRITER}
    if function.bundle == "web":
        rows |= {API_KEYS: WRITER}  # its command new-key makes keys
    return rows


def reaches_listeners(function: FunctionSpec) -> bool:
    """Whether it lets people listen, as the API does, or tells them, as who keeps alerts does."""
    return function.bundle == "web" or ALERTS in function.stage.writes


def _stream(function: FunctionSpec, stream: EventStream) -> Iterator[Grant]:
    """By hub: each has one stage that takes it, and a client asks the hub, not the group, for its partitions."""
    for topic in (*function.emits, DEAD_LETTER):
        yield Grant(f"send-{topic.name}", "Azure Event Hubs Data Sender", stream.hubs[topic.name].id)
    for topic in function.topics:
        yield Grant(f"receive-{topic.name}", "Azure Event Hubs Data Receiver", stream.hubs[topic.name].id)


def _objects(function: FunctionSpec, lake: Lake) -> Iterator[Grant]:
    read, written = objects_of(function, PUBLISHERS)
    if read:
        yield Grant("read-blobs", "Storage Blob Data Reader", lake.container.id, tuple(read))
    yield Grant("write-blobs", "blob writer", lake.container.id, tuple(written), lake.writer)


def _secrets(function: FunctionSpec, state: State) -> Iterator[Grant]:
    for use, name in (("receivers", RECEIVERS), ("language_model", MODEL)):
        if use in function.uses and name in state.secrets:
            secret = pulumi.Output.concat(state.vault.id, "/secrets/", name)
            yield Grant(f"secret-{name}", "Key Vault Secrets User", secret)


def _others(function: FunctionSpec, about: Surroundings) -> Iterator[Grant]:
    yield Grant("say", "Monitoring Metrics Publisher", about.seen.insights.id)
    if "language_model" in function.uses and about.site.config.model_account:
        yield Grant("ask-model", "Cognitive Services OpenAI User", about.site.config.model_account)
    if reaches_listeners(function):
        yield Grant("push", "Web PubSub Service Owner", about.listeners.service.id)
