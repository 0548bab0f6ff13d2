"""Segments are merged as they grow in number, so that a reading is rewritten a few times in its life, never more.

The shard's segments are merged sixteen at a time, until together they are worth dividing; then all of them become
one segment for each device. A device's segments are merged sixteen of a level at a time, or all of them
when that fills one; a full one is never written again, and sixty-four of those are kept under one name, a page. What is
older than a device's readings are kept is let go of then, segment by segment.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import Conflict, StateError
from watchkeeper.series.assembly import Assembly
from watchkeeper.series.section import Effort, Section
from watchkeeper.series.segment import Segment, SegmentRef, Written, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watchkeeper.ports import Blobs
    from watchkeeper.series.manifest import KnownDevice, StoreState

FAN_IN = 16
DIVIDE_ROWS = 16_384
FULL_ROWS = 65_536
FULL = 100
"""The level of full segments; 101 and up are pages."""
PAGE = 64
_ROWS_AT_ONCE = 4 * FULL_ROWS


@dataclasses.dataclass(slots=True)
class Merging:
    """The segments of one shard in one batch: what to write, and what is no longer referred to.

    `kept_since` answers for a device the event time (epoch ms) before which its segments may go; by default none may.
    """

    shard: int
    state: StoreState
    blobs: Blobs
    kept_since: Callable[[str], int] = lambda _: 0
    written: dict[str, bytes] = dataclasses.field(default_factory=dict)
    expired: list[str] = dataclasses.field(default_factory=list)

    def append(self, sections: Sequence[Section], assembly: Assembly) -> None:
        """Add the rows of a batch as a segment of the shard, and merge what is due. Conflict: see `_load`."""
        state = self.state
        added = write(sections, assembly.tagsets, assembly.rulesets, level=0, sequence=state.sequence)
        state.sequence += 1
        state.segments.append(self._keep(added))
        while self._due(state.segments):
            if sum(ref.rows for ref in state.segments) >= DIVIDE_ROWS:
                self._divide()
                return
            run = state.segments[-FAN_IN:]
            assembly = self._assemble(run)
            merged = [section for _, section in assembly.sections(by_time=True)]
            level, sequence = run[-1].level + 1, run[-1].sequence
            kept = self._keep(
                write(merged, assembly.tagsets, assembly.rulesets, level=level, sequence=sequence)
            )  # fmt: skip
            state.segments[-FAN_IN:] = [kept]

    @staticmethod
    def _due(segments: Sequence[SegmentRef]) -> bool:
        return len(segments) >= FAN_IN and segments[-FAN_IN].level == segments[-1].level

    def _divide(self) -> None:
        """All of the shard's segments, in their order of arrival, become one for each device."""
        sequence = self.state.segments[-1].sequence
        assembly = self._assemble(self.state.segments)
        self.state.segments = []
        parts = [part for _, section in assembly.sections(by_time=True) for part in _each_device(section)]
        for group in self._groups(parts):
            known = [self._known(part) for part in group]
            newest = self._load([device.newest for device in known if device.newest])
            for part, device in zip(group, known, strict=True):
                older: list[SegmentRef] = []
                if device.newest:
                    older = self._kept([*newest[device.newest].before, device.newest], self.kept_since(device.device))
                self._add(device, part, older, assembly, sequence)

    def _add(
        self, device: KnownDevice, part: Section, older: list[SegmentRef], assembly: Assembly, sequence: int
    ) -> None:
        """Add a device's rows to its own segments, merging upwards for as long as a level is due."""
        level, taken = 1, len(older)
        growing = next((place for place, ref in enumerate(older) if ref.level < FULL), taken)
        if len(part.ts) + sum(ref.rows for ref in older[growing:]) >= FULL_ROWS:
            level, taken = FULL, growing
        else:
            while sum(ref.level == level for ref in older) >= FAN_IN - 1:
                taken = next(place for place, ref in enumerate(older) if ref.level == level)
                level += 1
        if taken < len(older):
            merged = self._assemble(older[taken:])
            merged.add_segment(Segment(write([part], assembly.tagsets, assembly.rulesets, level=1, sequence=0).data))
            ((_, part),) = merged.sections(by_time=True)
            assembly = merged
        before = self._paged(older[:taken], sequence)
        effort = Effort.RAW if level == 1 else Effort.DEFLATE if level == FULL else Effort.NARROW
        added = write(
            [part], assembly.tagsets, assembly.rulesets,
            level=level, sequence=sequence, before=before, effort=effort,
        )  # fmt: skip
        self.state.know(msgspec.structs.replace(device, newest=self._keep(added)))

    def _kept(self, refs: list[SegmentRef], since: int) -> list[SegmentRef]:
        """Those that are not wholly older, and pages of such; the others are expired."""
        kept = []
        for ref in refs:
            if ref.first >= since or (ref.level <= FULL and ref.last >= since):
                kept.append(ref)
                continue
            inside = self._load([ref])[ref].before if ref.level > FULL else []
            left = self._kept(inside, since)
            if left and left == inside:
                kept.append(ref)
                continue
            self.expired.append(ref.key(self.shard))
            if left:
                kept.append(self._keep(write([], [], [], level=ref.level, sequence=ref.sequence, before=left)))
        return kept

    def _paged(self, refs: list[SegmentRef], sequence: int) -> list[SegmentRef]:
        """The same segments under fewer names, where there are many full ones."""
        level = FULL
        while sum(ref.level == level for ref in refs) >= PAGE:
            full = [ref for ref in refs if ref.level == level]
            page = self._keep(write([], [], [], level=level + 1, sequence=sequence, before=full))
            refs = [ref for ref in refs if ref.level > level] + [page] + [ref for ref in refs if ref.level < level]
            level += 1
        return refs

    def _known(self, part: Section) -> KnownDevice:
        device = self.state.device(part.devices[0])
        if device is None:
            message = f"segments of shard {self.shard} hold a device its manifest does not know: {part.devices[0]}"
            raise StateError(message)
        return device

    def _groups(self, parts: list[Section]) -> Iterator[list[Section]]:
        """Devices whose newest segments fit into memory together."""
        group: list[Section] = []
        rows = 0
        for part in parts:
            newest = self._known(part).newest
            rows += newest.rows if newest else 0
            if group and rows > _ROWS_AT_ONCE:
                yield group
                group, rows = [], newest.rows if newest else 0
            group.append(part)
        if group:
            yield group

    def _keep(self, written: Written) -> SegmentRef:
        self.written[written.ref.key(self.shard)] = written.data
        return written.ref

    def _assemble(self, refs: Sequence[SegmentRef]) -> Assembly:
        """The rows of segments that are merged away by this."""
        assembly = Assembly()
        for segment in self._load(refs).values():
            assembly.add_segment(segment)
        for ref in refs:
            key = ref.key(self.shard)
            if self.written.pop(key, None) is None:
                self.expired.append(key)
        return assembly

    def _load(self, refs: Sequence[SegmentRef]) -> dict[SegmentRef, Segment]:
        """Segments, in this order. Conflict: one is gone, as when another worker merged it: the state is read anew."""
        keys = {ref: ref.key(self.shard) for ref in refs}
        stored = self.blobs.get_many([key for key in keys.values() if key not in self.written])
        missing = [key for key in keys.values() if key not in self.written and key not in stored]
        if missing:
            message = f"{missing[0]} is in the manifest and not stored"
            raise Conflict(message)
        return {
            ref: Segment(self.written[key] if key in self.written else stored[key].data, key)
            for ref, key in keys.items()
        }


def _each_device(section: Section) -> Iterator[Section]:
    low = 0
    for place, count in enumerate(section.counts.tolist()):
        yield section.part(place, place + 1, low, low + count)
        low += count
