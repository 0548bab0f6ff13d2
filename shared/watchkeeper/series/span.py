"""A shard's readings of a stretch of time, all devices together, as they lie in the final series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.series.assembly import Assembly
from watchkeeper.series.reader import Reader, reading

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs


def stored_span(blobs: Blobs, shard: int, start: int, end: int) -> Assembly:
    """All readings of a shard in [start, end), epoch ms; its `sections` have them device by device.

    Only they are kept in memory, beside the segment that is being read. StateError: something stored is damaged.
    """
    return reading(blobs, shard, lambda reader: _gathered(reader, start, end))


def stored_times(blobs: Blobs, shard: int, start: int, end: int) -> list[tuple[int, int]]:
    """First and last event times of the segments of a shard that may hold readings in [start, end), epoch ms."""
    return reading(blobs, shard, lambda reader: sorted(_times(reader, start, end)))


def _times(reader: Reader, start: int, end: int) -> set[tuple[int, int]]:
    keys = [(known.tenant, known.device) for known in reader.state.devices()]
    refs = {ref for key in keys for ref in reader.refs(key, start, end)}
    return {(ref.first, ref.last) for ref in refs}


def _gathered(reader: Reader, start: int, end: int) -> Assembly:
    """A device's own segments are older than those of the whole shard, so each device's readings stay in order."""
    assembly = Assembly()
    shared = {ref for ref in reader.state.segments if ref.overlaps(start, end)}
    for known in reader.state.devices():
        key = (known.tenant, known.device)
        if known.site:
            assembly.sites[key] = known.site
        for ref in reader.refs(key, start, end):
            if ref not in shared:
                assembly.add_segment(reader.load([ref])[0], key, (start, end))
    for ref in reader.state.segments:
        if ref in shared:
            assembly.add_segment(reader.load([ref])[0], span=(start, end))
    return assembly
