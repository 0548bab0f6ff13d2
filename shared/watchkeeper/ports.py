"""What a runtime must supply: synchronous, a few methods each; conformance suites hold every adapter to them.

Any method may raise Unavailable (the dependency is down, nothing is known to have happened).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from watchkeeper.outcome import ABSENT, ANYWAY, Any_

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from watchkeeper.records import Alert, Severity

__all__ = [
    "ABSENT",
    "ANYWAY",
    "Blob",
    "Blobs",
    "Completion",
    "Key",
    "LanguageModel",
    "Message",
    "Meter",
    "Ports",
    "Receiver",
    "Row",
    "SelectiveReceiver",
    "Stored",
    "Stream",
    "Tables",
    "takes",
]


class Message(NamedTuple):
    """What is appended: the shard it belongs to, its bytes, and what is said about them."""

    shard: int
    value: bytes
    headers: Mapping[str, str] = {}


class Stored(NamedTuple):
    """What is read back: a message at its offset."""

    offset: int
    shard: int
    value: bytes
    headers: Mapping[str, str]


class Key(NamedTuple):
    """Where a row is: rows of one partition are ordered by `sort`."""

    partition: str
    sort: str


class Row(NamedTuple):
    """A stored row and its version, which every write changes."""

    key: Key
    value: bytes
    version: str


class Blob(NamedTuple):
    """A stored object and its version, which every write changes."""

    data: bytes
    version: str


class Stream(Protocol):
    """Topics of durable, ordered messages."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; a shard lives in partition `shard % partitions`."""
        ...

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append in order; when it returns they are durable."""
        ...

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        """Up to `limit` messages with offsets above `after`, in order."""
        ...

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """The group has taken everything up to this offset."""
        ...

    def committed(self, group: str, topic: str, partition: int) -> int:
        """What the group has committed; −1: nothing yet."""
        ...


class Tables(Protocol):
    """Rows by key. Some tables' rows end (`topology.LIFETIMES_S`): some time later they are not there any more."""

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows that are there."""
        ...

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        """Write a row and answer its new version. Conflict: `expect` (ABSENT or a version) does not hold."""
        ...

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        """Write rows, whatever was there, in any order. Unavailable: some of them may have been written."""
        ...

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        """Rows of a partition with `low` <= sort < `high` (empty: unbounded), ordered by sort."""
        ...


class Blobs(Protocol):
    """Objects by key, where a write costs the same whatever its size."""

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        """The objects that are there."""
        ...

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        """Only the versions of the objects that are there."""
        ...

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        """Write an object and answer its new version. Conflict: `expect` (ABSENT or a version) does not hold."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""
        ...

    def list(self, prefix: str) -> list[str]:
        """The keys that start so, sorted."""
        ...


class Meter(Protocol):
    """What was counted and used, by day (UTC) and stage."""

    def add(self, day: str, stage: str, amounts: Mapping[str, float]) -> None:
        """Add to the day's amounts."""
        ...

    def total(self, first_day: str, last_day: str) -> dict[str, dict[str, float]]:
        """By stage and name, the sums from the first day to the last, both included (ISO dates)."""
        ...


class Completion(NamedTuple):
    """A language model's answer and what it used."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int


class LanguageModel(Protocol):
    """A language model behind a timeout and a circuit breaker."""

    def complete(self, system: str, prompt: str, schema: Mapping[str, object]) -> Completion:
        """The answer to a prompt, as JSON by the schema. Unavailable, or ModelError where it refuses."""
        ...


class Receiver(Protocol):
    """Where alerts go."""

    name: str

    def send(self, alert: Alert) -> None:
        """Deliver one alert; Unavailable: it may work later."""
        ...


@runtime_checkable
class SelectiveReceiver(Receiver, Protocol):
    """One that is for alerts of some severities only."""

    severities: frozenset[Severity]


def takes(receiver: Receiver, severity: Severity) -> bool:
    """Whether alerts of a severity go to a receiver: all do, unless it says otherwise."""
    return not isinstance(receiver, SelectiveReceiver) or severity in receiver.severities


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """What a runtime supplies to the stages, and one unit of work over it.

    `transaction` makes what happens inside one unit where the adapters can (a database), and does nothing where they
    cannot; the order of effects in `run` is right either way.
    """

    stream: Stream
    tables: Tables
    blobs: Blobs
    meter: Meter
    transaction: TransactionFactory
    language_model: LanguageModel | None = None
    receivers: Mapping[str, Receiver] = dataclasses.field(default_factory=dict)


class TransactionFactory(Protocol):
    """Begins a unit of work."""

    def __call__(self) -> AbstractContextManager[object]:
        """A context that commits on leaving and undoes on an exception, as far as it can."""
        ...
