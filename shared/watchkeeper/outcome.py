"""What goes into a stage and what it returns: effects, as values. `run` commits them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Final

from watchkeeper.packs import Pack
from watchkeeper.records import Alert, Anomaly

if TYPE_CHECKING:
    import msgspec

    from watchkeeper.intake.sent import Form
    from watchkeeper.records import DeadLetter, Delivery, Origin
    from watchkeeper.topology import TableSpec, Topic


@dataclasses.dataclass(frozen=True, slots=True)
class RawMessage:
    """What a device or client sent, not yet understood.

    `device` is the authenticated one, empty where the body names devices itself (HTTP). `request` names an HTTP
    request and `shard` is the one of the device, where there is one.
    `unnamed` is the device of the rows of a table that name none. `once`: its client has named the request, and the
    same one again is to be answered without being taken again.
    """

    body: bytes
    received: int
    tenant: str
    device: str = ""
    format: Form = "json"
    request: str = ""
    unnamed: str = ""
    once: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Delivered:
    """A record and where it came from: what a stage takes. Packs of a shard may have been taken together."""

    origin: Origin
    record: Pack | Anomaly | Alert | RawMessage


class Any_:  # noqa: N801 - a sentinel's type
    """See `ANYWAY`."""


ANYWAY: Final = Any_()
ABSENT: Final = None


@dataclasses.dataclass(frozen=True, slots=True)
class Put:
    """A record to write. `expect`: ANYWAY, ABSENT (must not be there), or the version it must have.

    A refused put is a Conflict: nothing that comes after it is done, and the batch comes again and reads anew.
    """

    table: TableSpec
    partition: str
    sort: str
    record: msgspec.Struct
    expect: str | Any_ | None = ANYWAY


@dataclasses.dataclass(frozen=True, slots=True)
class BlobPut:
    """An immutable object to write, or, with a version, a pointer to move."""

    key: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Emit:
    """A record to append to a topic.

    `origin` is that of what it was made from, for a record that can have one of its own (None: a timer or a request;
    a pack's readings bring theirs): `run` numbers those of one origin and stamps them.
    """

    topic: Topic
    shard: int
    record: Pack | Anomaly | Alert
    origin: Origin | None = None


@dataclasses.dataclass(slots=True)
class Outcome:
    """All effects of a batch, committed in this order: blobs, puts, emits, dead, state; then `sends` and `expired`.

    `notes` are puts that say that the rest was done, so they come last of what is durable.

    `states` are the shards whose state changed. `sends` leave for the world once all else is durable; `expired` blobs
    are no longer referred to. `counts` are readings (accepted, stored, deduplicated, shed, dead) and whatever else a
    stage counts.
    """

    blobs: list[BlobPut] = dataclasses.field(default_factory=list)
    puts: list[Put] = dataclasses.field(default_factory=list)
    emits: list[Emit] = dataclasses.field(default_factory=list)
    dead: list[DeadLetter] = dataclasses.field(default_factory=list)
    states: set[int] = dataclasses.field(default_factory=set)
    notes: list[Put] = dataclasses.field(default_factory=list)
    sends: list[Delivery] = dataclasses.field(default_factory=list)
    expired: list[str] = dataclasses.field(default_factory=list)
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
