"""Finds the segments that hold something of a device, and reads them in their order of arrival."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from watchkeeper.errors import StateError
from watchkeeper.series.manifest import STORE_CODEC, StoreState
from watchkeeper.series.merging import FULL
from watchkeeper.series.segment import Segment, SegmentRef
from watchkeeper.states import read_envelope, state_key
from watchkeeper.topology import FINAL_DATA_STORAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watchkeeper.ports import Blobs
    from watchkeeper.series.section import DeviceKey

STAGE = "store"
Answer = TypeVar("Answer")
EARLIEST, LATEST = -(1 << 62), 1 << 62
_TRIES = 6
_ROWS_AT_ONCE = 500_000


class _VanishedError(Exception):
    """A segment was merged away between reading its name and reading it."""


@dataclasses.dataclass(slots=True)
class Reader:
    """One reading of a shard's manifest, and the segments it names."""

    blobs: Blobs
    shard: int
    state: StoreState

    def in_order(self, device: DeviceKey, start: int, end: int) -> Iterator[Segment]:
        """The segments that may hold readings of the device in [start, end), a few in memory at a time."""
        group: list[SegmentRef] = []
        for ref in self.refs(device, start, end):
            if group and sum(each.rows for each in group) + ref.rows > _ROWS_AT_ONCE:
                yield from self.load(group)
                group = []
            group.append(ref)
        yield from self.load(group)

    def refs(self, device: DeviceKey, start: int, end: int) -> list[SegmentRef]:
        """The names of those segments, in the order of arrival."""
        known = self.state.device(device)
        if known is None:
            return []
        own: list[SegmentRef] = []
        if known.newest:
            own = [*self._unpaged(self.load([known.newest])[0].before, start, end), known.newest]
        return [ref for ref in (*own, *self.state.segments) if ref.overlaps(start, end)]

    def load(self, refs: Sequence[SegmentRef]) -> list[Segment]:
        """These segments, in this order."""
        keys = [ref.key(self.shard) for ref in refs]
        stored = self.blobs.get_many(keys) if keys else {}
        for key in keys:
            if key not in stored:
                raise _VanishedError(key)
        return [Segment(stored[key].data, key) for key in keys]

    def _unpaged(self, refs: Sequence[SegmentRef], start: int, end: int) -> Iterator[SegmentRef]:
        for ref in refs:
            if ref.level <= FULL:
                yield ref
            elif ref.overlaps(start, end):
                yield from self._unpaged(self.load([ref])[0].before, start, end)


def reading(blobs: Blobs, shard: int, ask: Callable[[Reader], Answer]) -> Answer:
    """The answer of `ask`, which is asked again whenever segments are merged away under its hands.

    StateError: something is damaged, or named and not stored. Unavailable: as the port says.
    """
    missing = ""
    for _ in range(_TRIES):
        try:
            return ask(Reader(blobs, shard, _manifest(blobs, shard)))
        except _VanishedError as error:
            missing = str(error)
    message = f"{missing} is in the manifest and not stored, after {_TRIES} tries"
    raise StateError(message)


def _manifest(blobs: Blobs, shard: int) -> StoreState:
    key = state_key(STAGE, FINAL_DATA_STORAGE.name, shard)
    stored = blobs.get_many([key]).get(key)
    return STORE_CODEC.decode(read_envelope(stored.data, key)[1]) if stored else STORE_CODEC.empty()
