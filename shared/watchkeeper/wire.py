"""Records as the bytes that topics carry, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import Pack
from watchkeeper.topology import RECORDS

if TYPE_CHECKING:
    from watchkeeper.ports import Stored
    from watchkeeper.records import Alert, Anomaly
    from watchkeeper.topology import Topic


def decode(topic: Topic, message: Stored) -> Pack | Anomaly | Alert | RawMessage:
    """The record a message of a topic carries. DecodeError: it is not one."""
    if topic.carries == "raw":
        return _raw(message)
    if topic.carries == "pack":
        return Pack.decode(message.value)
    try:
        return _decoders[topic.carries].decode(message.value)  # type: ignore[return-value]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        text = f"not a record of {topic.name}: {error}"
        raise DecodeError(text) from error


def encode(record: Pack | Anomaly | Alert) -> bytes:
    """The bytes a record travels as."""
    return record.encode() if isinstance(record, Pack) else msgspec.json.encode(record)


def _raw(message: Stored) -> RawMessage:
    head = message.headers
    try:
        received = int(head.get("received", "0"))
    except ValueError as error:
        text = f"the header 'received' is {head['received'][:40]!r}; epoch milliseconds are expected"
        raise DecodeError(text) from error
    return RawMessage(message.value, received, head.get("tenant", "default"), head.get("device", ""))


_decoders = {carries: msgspec.json.Decoder(kind) for carries, kind in RECORDS.items() if kind is not Pack}
