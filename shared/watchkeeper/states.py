"""State of a stage: one blob per stage, input topic and shard, written by compare-and-swap, cached by its version."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.codec import Format
from watchkeeper.errors import StateError
from watchkeeper.outcome import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.ports import Blobs
    from watchkeeper.topology import Stage

ENVELOPE_VERSION = 1


class _Wire(msgspec.Struct, array_like=True):
    v: int
    taken: dict[str, tuple[int, int]]
    body: bytes


ENVELOPE = Format(_Wire, ENVELOPE_VERSION, "a state")


@dataclasses.dataclass(slots=True)
class Envelope:
    """A shard's state: what the stage keeps, and the highest origin taken per source."""

    taken: dict[str, tuple[int, int]]
    state: Any
    version: str | None  # ABSENT: not stored yet


def state_key(stage: str, topic: str, shard: int) -> str:
    """Where a state is."""
    return f"state/{stage}/{topic}/{shard:05d}"


@dataclasses.dataclass(slots=True)
class States:
    """The states a worker holds of one stage and topic.

    A cached state is used only while its version is still the stored one, so a worker that comes back to a shard never
    goes on from an old state.
    """

    stage: Stage
    topic: str
    blobs: Blobs
    cache: dict[int, Envelope] = dataclasses.field(default_factory=dict)

    def load(self, shards: Sequence[int]) -> dict[int, Envelope]:
        """The states of these shards, as stored now. StateError: one cannot be read."""
        keys = {shard: state_key(self.stage.name, self.topic, shard) for shard in shards}
        versions = self.blobs.versions(list(keys.values()))
        stale = [s for s, key in keys.items() if s not in self.cache or self.cache[s].version != versions.get(key)]
        stored = self.blobs.get_many([keys[shard] for shard in stale])
        for shard in stale:
            blob = stored.get(keys[shard])
            if blob is None:
                self.cache[shard] = Envelope({}, self._codec.empty() if self._codec else None, ABSENT)
            else:
                taken, body = read_envelope(blob.data, keys[shard])
                self.cache[shard] = Envelope(taken, self._codec.decode(body) if self._codec else None, blob.version)
        return {shard: self.cache[shard] for shard in shards}

    def save(self, changed: Mapping[int, Envelope]) -> None:
        """Write states. Conflict: another worker has written one since it was loaded."""
        for shard, envelope in changed.items():
            body = self._codec.encode(envelope.state) if self._codec else b""
            data = ENVELOPE.encode(_Wire(ENVELOPE_VERSION, envelope.taken, body))
            envelope.version = self.blobs.put(state_key(self.stage.name, self.topic, shard), data, envelope.version)

    def forget(self) -> None:
        """Drop what is cached: a stage may have changed it without its effects being committed."""
        self.cache.clear()

    @property
    def _codec(self) -> Any:  # noqa: ANN401 - states are of the stage's own type
        return self.stage.codec


def read_envelope(data: bytes, where: str) -> tuple[dict[str, tuple[int, int]], bytes]:
    """What was taken, and the stage's own bytes. StateError: no envelope, or a later version's."""
    try:
        wire = ENVELOPE.decode(data)
    except StateError as error:
        message = f"{where}: {error}"
        raise StateError(message) from error
    return wire.taken, wire.body
