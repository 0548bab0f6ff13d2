"""Payloads as the host of Azure Functions sends them, around messages of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.emulators.functions_worker import datum, event_batch
from watchkeeper.topology import TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.ports import Stored

ENQUEUED = 1_790_000_000_000


def batch_of(
    topic: str, partition: int, messages: Sequence[Stored], group: str = "clean"
) -> tuple[Any, dict[str, Any]]:
    """A batch of one partition, and its metadata."""
    raw = TOPICS[topic].carries == "raw"
    told = {
        "PropertiesArray": [_from_device(message) if raw else _from_stage(message) for message in messages],
        "SystemPropertiesArray": [_system(message, raw=raw) for message in messages],
        "PartitionContext": {
            "FullyQualifiedNamespace": "hubs.servicebus.windows.net",
            "EventHubName": topic,
            "ConsumerGroup": group,
            "PartitionId": str(partition),
        },
    }
    metadata = {name: datum(json.dumps(value), "json") for name, value in told.items()}
    return event_batch([message.value for message in messages]), metadata


def _from_stage(message: Stored) -> dict[str, str]:
    return {**message.headers, "shard": str(message.shard)}


def _from_device(message: Stored) -> dict[str, str]:
    """What a device may write itself, and what routing adds."""
    tenant = message.headers.get("tenant")
    return {"device": "somebody-else", "iothub-connection-device-id": "somebody-else"} | (
        {"tenant": tenant} if tenant else {}
    )


def _system(message: Stored, *, raw: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "SequenceNumber": message.offset,
        "Offset": str(message.offset * 256),
        "PartitionKey": None,
        "EnqueuedTimeUtc": _iso(ENQUEUED),
    }
    if raw:
        told |= {
            "iothub-connection-device-id": message.headers.get("device", ""),
            "iothub-connection-auth-method": '{"scope":"device","type":"x509Certificate","issuer":"external"}',
            "iothub-message-source": "Telemetry",
        }
        if "received" in message.headers:
            told["iothub-enqueuedtime"] = _iso(int(message.headers["received"]))
    return told


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
