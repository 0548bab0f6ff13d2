"""Records as the bytes that topics carry and tables hold, and back."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, TypeVar

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.migration import Upgrades, migrated
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import SCORE_DIGITS, Pack
from watchkeeper.records import SCHEMA_VERSION
from watchkeeper.topology import RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.ports import Stored
    from watchkeeper.records import Alert, Anomaly
    from watchkeeper.topology import Topic

Record = TypeVar("Record", bound=msgspec.Struct)
RECORD_UPGRADES: Mapping[type[msgspec.Struct], Upgrades] = {}
"""By kind of record and earlier version, what makes of its fields, a dict, those of the version after it."""


def decode(topic: Topic, message: Stored) -> Pack | Anomaly | Alert | RawMessage:
    """The record a message of a topic carries. DecodeError: it is not one."""
    if topic.carries == "raw":
        return _raw(message)
    if topic.carries == "pack":
        return Pack.decode(message.value)
    record: Anomaly | Alert = read_record(message.value, RECORDS[topic.carries], f"a record of {topic.name}")  # type: ignore[type-var,assignment]
    return record


def read_record(data: bytes, kind: type[Record], what: str = "") -> Record:
    """A record from JSON of this or an earlier version. Fields that are not known are left out.

    DecodeError: it is none, or of a later version, which may mean by the same field something else.
    """
    what = what or f"a {kind.__name__}"
    try:
        found = _head.decode(data).v
        if found != SCHEMA_VERSION:
            upgrades = RECORD_UPGRADES.get(kind, {})
            content = migrated(msgspec.json.decode(data), found, SCHEMA_VERSION, upgrades, what, DecodeError)
            data = msgspec.json.encode(content | {"v": SCHEMA_VERSION})
        record: Record = _decoder(kind).decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        text = f"not {what}: {error}"
        raise DecodeError(text) from error
    return record


def encode(record: Pack | Anomaly | Alert) -> bytes:
    """The bytes a record travels as."""
    return record.encode() if isinstance(record, Pack) else msgspec.json.encode(record)


class Lately:
    """Packs that this worker has sent lately, by their bytes: if it takes one itself, it need not decode it again.

    What is taken out is what decoding would have given, and is given out once: a batch that comes again is decoded.
    """

    def __init__(self, kept: int = 64) -> None:
        """`kept` packs at most, the oldest are forgotten first; 0: none, where others take what is sent."""
        self._kept = kept
        self._packs: dict[bytes, Pack] = {}

    def keep(self, value: bytes, record: Pack | Anomaly | Alert) -> None:
        """Remember what was sent as these bytes."""
        if self._kept and isinstance(record, Pack):
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


@functools.cache
def _decoder(kind: type[Record]) -> msgspec.json.Decoder[Record]:
    return msgspec.json.Decoder(kind)


class _Head(msgspec.Struct):
    """What says the version of a record; where none is said it is the first."""

    v: int = 1


_head = msgspec.json.Decoder(_Head)
