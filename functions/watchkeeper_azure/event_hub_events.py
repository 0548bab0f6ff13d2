"""Batches of the Event Hubs trigger, cardinality many, as the port's messages.

A batch is of one partition. An event's offset is its sequence number in the partition, and its application properties
and what IoT Hub has added come in arrays beside the bodies. Format:
https://learn.microsoft.com/azure/azure-functions/functions-bindings-event-hubs-trigger (event metadata).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import Undeclared
from watchkeeper.ports import Stored
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_adapters.cloud.stream_trigger import Delivery
from watchkeeper_azure.names import SHARD

if TYPE_CHECKING:
    import azure.functions as func

    from watchkeeper.topology import Topic

PROPERTIES, SYSTEM, PARTITION = "PropertiesArray", "SystemPropertiesArray", "PartitionContext"
DEVICE, ENQUEUED = "iothub-connection-device-id", "iothub-enqueuedtime"
TENANT = "tenant"  # property that IoT Hub's routing may add from the device's twin


def delivery_of(topic: Topic, events: Sequence[func.EventHubEvent]) -> Delivery:
    """What a batch, which is not empty, holds. Undeclared: it is not as the host sends it."""
    told = events[0].metadata or {}
    system = [_fields(each) for each in told.get(SYSTEM) or ()]
    properties = [_fields(each) for each in told.get(PROPERTIES) or ()] or [{}] * len(events)
    if len(system) != len(events) or len(properties) != len(events):
        message = f"{topic.name}: {len(events)} events, but properties of {len(system)} and {len(properties)}"
        raise Undeclared(message)
    to_message = _from_device if topic.carries == "raw" else _from_stage
    rows = sorted(zip(events, system, properties, strict=True), key=lambda row: int(row[1]["SequenceNumber"]))
    messages = [to_message(event, about, own) for event, about, own in rows]
    return Delivery(topic, _partition(topic, told), messages, _epoch_ms(rows[-1][1].get("EnqueuedTimeUtc")))


def _from_stage(event: func.EventHubEvent, system: Mapping[str, Any], properties: Mapping[str, Any]) -> Stored:
    headers = {name: str(value) for name, value in properties.items() if name != SHARD}
    shard = str(properties.get(SHARD, ""))
    number = int(shard) if shard.isdigit() and len(shard) < 10 else 0
    return Stored(int(system["SequenceNumber"]), number, event.get_body(), headers)


def _from_device(event: func.EventHubEvent, system: Mapping[str, Any], properties: Mapping[str, Any]) -> Stored:
    """The device is the one that IoT Hub has let in, never one that a property or the body names.

    `received` is when it came to IoT Hub, or else to the hub.
    """
    received = _epoch_ms(system.get(ENQUEUED) or system.get("EnqueuedTimeUtc"))
    headers = {"device": str(system.get(DEVICE) or ""), "received": str(received)}
    headers["tenant"] = str(properties.get(TENANT) or DEFAULT_TENANT)
    return Stored(int(system["SequenceNumber"]), 0, event.get_body(), headers)


def _partition(topic: Topic, told: Mapping[str, Any]) -> int:
    partition = str(_fields(told.get(PARTITION)).get("PartitionId", ""))
    if not partition.isdigit():
        message = f"{topic.name}: the host does not say of which partition the batch is"
        raise Undeclared(message)
    return int(partition)


def _fields(said: object) -> Mapping[str, Any]:
    return said if isinstance(said, Mapping) else {}


def _epoch_ms(text: object) -> int:
    """A time in ISO 8601, UTC where it says nothing else; 0: none is said."""
    if not text:
        return 0
    when = datetime.fromisoformat(str(text))
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
