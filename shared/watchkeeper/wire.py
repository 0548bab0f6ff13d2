"""Records as the bytes that topics carry, and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import SCORE_DIGITS, Pack
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


class Lately:
    """Packs that this worker has sent lately, by their bytes: if it takes one itself, it need not decode it again.

    What is taken out is what decoding would have given, and is given out once: a batch that comes again is decoded.
    """

    def __init__(self, kept: int = 64) -> None:
        """`kept` packs at most; the oldest are forgotten first."""
        self._kept = kept
        self._packs: dict[bytes, Pack] = {}

    def keep(self, value: bytes, record: Pack | Anomaly | Alert) -> None:
        """Remember what was sent as these bytes."""
        if isinstance(record, Pack):
            self._packs[value] = record.with_tables(
                [dataclasses.replace(table, score=table.score.round(SCORE_DIGITS)) for table in record.tables]
            )
            if len(self._packs) > self._kept:
                del self._packs[next(iter(self._packs))]

    def decode(self, topic: Topic, message: Stored) -> Pack | Anomaly | Alert | RawMessage:
        """See `decode` above."""
        held = self._packs.pop(message.value, None)
        return decode(topic, message) if held is None else held


def _raw(message: Stored) -> RawMessage:
    head = message.headers
    try:
        received = int(head.get("received", "0"))
    except ValueError as error:
        text = f"the header 'received' is {head['received'][:40]!r}; epoch milliseconds are expected"
        raise DecodeError(text) from error
    return RawMessage(message.value, received, head.get("tenant", "default"), head.get("device", ""))


_decoders = {carries: msgspec.json.Decoder(kind) for carries, kind in RECORDS.items() if kind is not Pack}
