"""Hubs as the service keeps them: partitions in which events have a number, an offset and a time."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
import zlib
from typing import Any, NamedTuple

ADDRESS = re.compile(
    r"(?P<hub>[^/]+)(?:/ConsumerGroups/(?P<group>[^/]+))?(?:/Partitions/(?P<partition>\d+))?", re.IGNORECASE
)
POSITION = re.compile(r"amqp\.annotation\.x-opt-(?P<what>[a-z-]+) (?P<sign>>=?) '(?P<value>[^']*)'")


class Event(NamedTuple):
    """An event of a partition. `time_ms`: when it came."""

    number: int
    time_ms: int
    message: Any

    @property
    def offset(self) -> str:
        """Text, and not the number, as with the service."""
        return str(self.number * 64)


@dataclasses.dataclass
class Hub:
    """Events by partition."""

    name: str
    partitions: list[list[Event]]
    _turns: itertools.count = dataclasses.field(default_factory=itertools.count)

    def append(self, partition: int | None, key: str, message: Any) -> Event:
        """Without a partition: where the key leads, or the next one."""
        if partition is None:
            number = zlib.crc32(key.encode()) if key else next(self._turns)
            partition = number % len(self.partitions)
        events = self.partitions[partition]
        events.append(Event(len(events), int(time.time() * 1000), message))
        return events[-1]


class Place(NamedTuple):
    """What a link is to: a hub, and perhaps one of its partitions and a group."""

    hub: Hub
    group: str
    partition: int | None

    @property
    def events(self) -> list[Event]:
        """Of its partition."""
        assert self.partition is not None
        return self.hub.partitions[self.partition]


class Namespace:
    """Hubs by name, whatever its case."""

    def __init__(self) -> None:
        self._hubs: dict[str, Hub] = {}

    def make(self, name: str, partitions: int) -> None:
        """A hub that is empty."""
        self._hubs[name.lower()] = Hub(name, [[] for _ in range(partitions)])

    def hub(self, name: str) -> Hub | None:
        """The hub of a name."""
        return self._hubs.get(name.lower())

    def place(self, path: str) -> Place | None:
        """Where an address leads; None: nowhere."""
        found = ADDRESS.fullmatch(path.strip("/"))
        hub = self.hub(found["hub"]) if found else None
        if found is None or hub is None:
            return None
        partition = None if found["partition"] is None else int(found["partition"])
        if partition is not None and partition >= len(hub.partitions):
            return None
        return Place(hub, found["group"] or "", partition)


def start_of(events: list[Event], selector: str) -> int:
    """How many events lie before what a reader's filter asks for. ValueError: it is no filter of ours."""
    found = POSITION.fullmatch(selector)
    if not found:
        raise ValueError(f"not a filter: {selector!r}")
    value, inclusive = found["value"], found["sign"] == ">="
    if value == "@latest":
        return len(events)
    of = {
        "sequence-number": lambda e: e.number,
        "offset": lambda e: int(e.offset),
        "enqueued-time": lambda e: e.time_ms,
    }
    return sum(1 for event in events if of[found["what"]](event) < int(value) + (0 if inclusive else 1))
