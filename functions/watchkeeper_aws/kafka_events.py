"""Events of MSK's event source mapping: records of partitions, in base64, as the port's messages.

Format: https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchkeeper.errors import Undeclared
from watchkeeper.ports import Stored
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.cloud.stream_trigger import Delivery


def deliveries(event: Mapping[str, Any], prefix: str = "") -> Iterator[Delivery]:
    """An event's partitions, each in the order of its offsets. Undeclared: a topic is none of the pipeline's."""
    for where, records in event["records"].items():
        if not records:
            continue
        name = str(records[0].get("topic") or where.rpartition("-")[0]).removeprefix(prefix)
        if name not in TOPICS:
            message = f"records of {where!r}: no topic of the pipeline; the function is mapped to a wrong one"
            raise Undeclared(message)
        ordered = sorted(records, key=lambda record: record["offset"])
        messages = [message_of(record) for record in ordered]
        partition = int(records[0].get("partition", where.rpartition("-")[2]))
        yield Delivery(TOPICS[name], partition, messages, int(ordered[-1].get("timestamp", 0)))


def message_of(record: Mapping[str, Any]) -> Stored:
    """One record. What should be base64 and is not is kept as it is, so that it becomes a dead letter, whole."""
    key = _bytes(record.get("key"))
    shard = int(key) if key.isdigit() and len(key) < 10 else 0
    return Stored(int(record["offset"]), shard, _bytes(record.get("value")), _headers(record.get("headers") or ()))


def _bytes(text: str | None) -> bytes:
    if not text:
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "surrogatepass")


def _headers(said: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, str]:
    """Values come as numbers, one for each byte, negative ones too."""
    return {
        name: bytes(number & 0xFF for number in value).decode("utf-8", "replace")
        for header in said
        for name, value in header.items()
    }
