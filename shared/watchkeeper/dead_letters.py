"""Dead letters for operators: which are open, and where one goes back to. Taking them is up to a runtime.

A letter is open until it was redriven or discarded. That is remembered in a row per letter, written after what it
stands for: a crash in between leaves the letter open, so it is redriven again rather than lost (at least once). Where
all letters of a partition up to some offset are taken, the group `operators` commits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.ids import shard_of
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import Pack
from watchkeeper.ports import Message, Stored
from watchkeeper.records import SCHEMA_VERSION, Alert, DeadLetter, Origin, Reading
from watchkeeper.topology import TOPICS, TableSpec
from watchkeeper.wire import decode, encode, read_record

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from watchkeeper.topology import Topic

OPERATORS = "operators"  # the group that takes dead letters
HTTP = "http"  # what ingest calls the topic of a request


class TakenLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operator has dealt with a dead letter."""

    letter: str
    how: Literal["redriven", "discarded"]
    ts: int
    v: int = SCHEMA_VERSION


TAKEN = TableSpec("taken-letters", TakenLetter, "operators / letter")  # no stage's: operators write it


class Found(NamedTuple):
    """A letter and its place on the topic of dead letters."""

    partition: int
    offset: int
    letter: DeadLetter


class Back(NamedTuple):
    """A letter goes back as this message, on the topic it came from. `readings` are accepted a second time by it."""

    topic: str
    message: Message
    readings: int = 0


def read_letter(partition: int, stored: Stored) -> Found:
    """A letter from its message. DecodeError: it is none."""
    try:
        return Found(partition, stored.offset, read_record(stored.value, DeadLetter, "a dead letter"))
    except DecodeError as error:
        message = f"dead-letter/{partition}, offset {stored.offset}: {error}"
        raise DecodeError(message) from error


def open_letters(found: Iterable[Found], taken: Container[str]) -> Iterator[Found]:
    """Those that nobody has taken, each id once, where it came first."""
    seen: set[str] = set()
    for item in found:
        if item.letter.id not in taken and item.letter.id not in seen:
            seen.add(item.letter.id)
            yield item


def taken_up_to(found: Iterable[Found], taken: Container[str]) -> dict[int, int]:
    """By partition, the offset up to which all letters are taken; partitions whose first one is open are left out.

    `found` are those of each partition in order, from the first that is not committed.
    """
    offsets: dict[int, int] = {}
    stopped: set[int] = set()
    for partition, offset, letter in found:
        if letter.id not in taken:
            stopped.add(partition)
        elif partition not in stopped:
            offsets[partition] = offset
    return offsets


def way_back(letter: DeadLetter, shards: int, now: int) -> Back | RawMessage:
    """A message for the topic it came from, or, for a single reading that came in a request, a request to ingest.

    DecodeError: it has no way back.
    """
    if letter.topic in TOPICS:
        return _message(letter, TOPICS[letter.topic], shards)
    if letter.stage == "ingest" and letter.topic == HTTP:
        received = letter.received or letter.ts
        return RawMessage(letter.body, received, letter.tenant, letter.device, request=letter.id)
    if letter.stage == "clean" and not letter.topic:
        return RawMessage(_as_sent(letter), now, letter.tenant, letter.device, request=letter.id)
    message = (
        f"{letter.id}: nothing is known of {letter.topic or 'no topic'!r}, where it came from; it can be discarded"
    )
    raise DecodeError(message)


def _message(letter: DeadLetter, topic: Topic, shards: int) -> Back:
    if topic.carries == "raw":
        received = str(letter.received or letter.ts)
        headers = {"device": letter.device, "tenant": letter.tenant, "received": received}
        return Back(topic.name, Message(shard_of(letter.tenant, letter.device, shards), letter.body, headers))
    try:
        record = decode(topic, Stored(letter.offset, 0, letter.body, {}))
    except DecodeError:  # the partition is that of its shard, since there are at least as many of these
        return Back(topic.name, Message(letter.partition, letter.body))
    # What has been made from the same message as others would be skipped as taken: those after it have been. With an
    # origin of its own it is taken, and once only, however often it is redriven.
    origin = Origin("redrive", letter.id, 0, 0)
    if isinstance(record, Pack):
        body = record.from_origin(origin).encode()
        return Back(topic.name, Message(record.shard, body), len(record))
    if isinstance(record, RawMessage):
        message = f"{letter.id}: a raw message on {topic.name}"
        raise DecodeError(message)
    shard = 0 if isinstance(record, Alert) else shard_of(record.tenant, record.device, shards)
    return Back(topic.name, Message(shard, encode(msgspec.structs.replace(record, origin=origin))))


def _as_sent(letter: DeadLetter) -> bytes:
    """A reading that clean has quarantined, as its device would send it; its time is its own, or it were not early."""
    try:
        reading = msgspec.json.decode(letter.body, type=Reading)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"{letter.id}: not a reading: {error}; it can be discarded"
        raise DecodeError(message) from error
    sent = {"device": reading.device, "ts": reading.ts, "values": reading.values}
    sent |= {"tags": reading.tags} if reading.tags else {}
    return msgspec.json.encode(sent | ({"site": reading.site} if reading.site else {}))
