"""Readings of the final series replaced row by row: each that is as in one copy becomes what it is in the other.

No reading is added or taken away, and one that is in neither copy (it has arrived since) stays as it is. Segments are
written anew beside the old ones; the manifest moves from these to those by one compare-and-swap, so that a crash
leaves the one or the other, and a second run finds its work done.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from watchkeeper.errors import Conflict, StateError
from watchkeeper.pipeline import STAGES
from watchkeeper.reprocessing.matching import found_in, in_order, names_of
from watchkeeper.series.merging import FULL
from watchkeeper.series.query import readings
from watchkeeper.series.section import Effort, Section
from watchkeeper.series.segment import Segment, SegmentRef, write
from watchkeeper.states import States
from watchkeeper.topology import FINAL_DATA_STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.packs import Ints
    from watchkeeper.ports import Blobs
    from watchkeeper.series.manifest import StoreState
    from watchkeeper.series.query import Rows
    from watchkeeper.series.section import DeviceKey

TRIES = 200
PAUSE_S = 0.02


class _Renewed(NamedTuple):
    """What a segment has become, and how many of the span's readings were found in it."""

    ref: SegmentRef
    found: int


@dataclasses.dataclass(slots=True)
class Swap:
    """The readings of one shard in [start, end), from how they are in `old` to how they are in `new`.

    `expected` is how many readings `old` holds.
    """

    blobs: Blobs
    shard: int
    start: int
    end: int
    old: Blobs
    new: Blobs
    expected: int
    _renewed: dict[SegmentRef, _Renewed] = dataclasses.field(default_factory=dict)
    _written: set[str] = dataclasses.field(default_factory=set)
    _changed: dict[str, str] = dataclasses.field(default_factory=dict)

    def run(self) -> None:
        """Do it, however often the store stage writes meanwhile.

        Conflict: the readings are no longer as they were replayed, and nothing has changed; or the shard is written
        so often that it cannot be done now.
        """
        states = States(STAGES["store"], FINAL_DATA_STORAGE.name, self.blobs)
        for _ in range(TRIES):
            envelope = states.load([self.shard])[self.shard]
            try:
                self._renew(envelope.state)
                if self._changed:
                    states.save({self.shard: envelope})
            except NotAsReplayedError:
                self.blobs.delete(sorted(self._written))
                raise
            except (Conflict, _VanishedError):
                states.forget()
                time.sleep(PAUSE_S)
                continue
            kept = set(self._changed.values())
            self.blobs.delete([*self._changed, *(key for key in self._written if key not in kept)])
            return
        self.blobs.delete(sorted(self._written))
        message = f"shard {self.shard} is written too often to replace anything in it now; try again later"
        raise Conflict(message)

    def _renew(self, state: StoreState) -> None:
        """Change the manifest, in memory."""
        self._changed = {}
        found = 0
        devices = []
        for known in state.devices():
            if known.newest is not None:
                renewed = self._chain(known.newest, (known.tenant, known.device))
                found += renewed.found
                if renewed.ref != known.newest:
                    devices.append(msgspec.structs.replace(known, newest=renewed.ref))
        segments = [self._segment(ref, None) for ref in state.segments]
        found += sum(renewed.found for renewed in segments)
        if found < self.expected:
            raise NotAsReplayedError(
                f"{self.expected - found} of {self.expected} readings of shard {self.shard} are no longer as they were "
                "when they were replayed, and nothing in it was replaced; discard this reprocessing and begin anew"
            )
        for device in devices:
            state.know(device)
        state.segments = [renewed.ref for renewed in segments]

    def _chain(self, newest: SegmentRef, device: DeviceKey) -> _Renewed:
        """A device's newest segment, which names the older ones."""
        segment = self._load(newest)
        before = [self._segment(ref, device) for ref in segment.before]
        older, found = [each.ref for each in before], sum(each.found for each in before)
        own = _Rewriting(self, segment, newest)
        if newest.overlaps(self.start, self.end):
            own.run()
        if older == segment.before and not own.changed:
            return _Renewed(newest, found + own.found)
        return _Renewed(self._put(own, newest, older, alone=True), found + own.found)

    def _segment(self, ref: SegmentRef, device: DeviceKey | None) -> _Renewed:
        """An older segment, or one of the whole shard; what was renewed in an earlier try is not renewed again."""
        if not ref.overlaps(self.start, self.end):
            return _Renewed(ref, 0)
        if ref.level > FULL:
            return self._page(ref, device)
        if ref not in self._renewed:
            segment = self._load(ref)
            own = _Rewriting(self, segment, ref)
            own.run()
            new = self._put(own, ref, segment.before, alone=device is not None) if own.changed else ref
            self._renewed[ref] = _Renewed(new, own.found)
        renewed = self._renewed[ref]
        if renewed.ref != ref:
            self._changed[ref.key(self.shard)] = renewed.ref.key(self.shard)
        return renewed

    def _page(self, ref: SegmentRef, device: DeviceKey | None) -> _Renewed:
        """A page has no rows of its own, only the names of segments or of other pages."""
        page = self._load(ref)
        before = [self._segment(each, device) for each in page.before]
        older, found = [each.ref for each in before], sum(each.found for each in before)
        unchanged = older == page.before
        return _Renewed(ref if unchanged else self._put(_Rewriting(self, page, ref), ref, older, alone=True), found)

    def _put(self, own: _Rewriting, ref: SegmentRef, before: Sequence[SegmentRef], *, alone: bool) -> SegmentRef:
        effort = Effort.DEFLATE if ref.level == FULL else Effort.NARROW if alone and ref.level > 1 else Effort.RAW
        made = write(
            own.sections, own.segment.tagsets, own.rulesets,
            level=ref.level, sequence=ref.sequence, before=before, effort=effort,
        )  # fmt: skip
        key = made.ref.key(self.shard)
        self.blobs.put(key, made.data)
        self._written.add(key)
        self._changed[ref.key(self.shard)] = key
        return made.ref

    def _load(self, ref: SegmentRef) -> Segment:
        key = ref.key(self.shard)
        blob = self.blobs.get_many([key]).get(key)
        if blob is None:
            raise _VanishedError(key)
        return Segment(blob.data, key)


class NotAsReplayedError(StateError):
    """What is to be replaced is not there as it was."""


class _VanishedError(Exception):
    """A segment was merged away after the manifest was read."""


class _Rewriting:
    """A segment on its way: its sections, one a device where something changes, and the sets of rules they name."""

    def __init__(self, swap: Swap, segment: Segment, ref: SegmentRef) -> None:
        self.swap, self.segment, self.ref = swap, segment, ref
        self.sections: list[Section] = [] if ref.level > FULL else list(segment.sections())
        self.found, self.changed = 0, False
        self._rules = {ids: place for place, ids in enumerate(segment.rulesets)}

    @property
    def rulesets(self) -> list[tuple[str, ...]]:
        return list(self._rules)

    def run(self) -> None:
        made: list[Section] = []
        for section in self.sections:
            parts, low, any_changed = [], 0, False
            for place, count in enumerate(section.counts.tolist()):
                part = section.part(place, place + 1, low, low + count)
                renewed = self._device(part)
                any_changed = any_changed or renewed is not part
                parts.append(renewed)
                low += count
            made += parts if any_changed else [section]
            self.changed = self.changed or any_changed
        self.sections = made

    def _device(self, part: Section) -> Section:
        """A device's rows with those replaced that are in the span and as in the old copy."""
        swap = self.swap
        rows = np.flatnonzero((part.ts >= swap.start) & (part.ts < swap.end))
        if not len(rows):
            return part
        span = int(part.ts[rows].min()), int(part.ts[rows].max()) + 1
        old = in_order(readings(swap.old, swap.shard, *part.devices[0], *span))
        new = in_order(readings(swap.new, swap.shard, *part.devices[0], *span))
        if not np.array_equal(old.ts, new.ts) or not np.array_equal(old.received, new.received):
            message = f"the copies of {part.devices[0][1]} do not agree; discard this reprocessing and begin anew"
            raise StateError(message)
        if not len(old.ts):
            return part
        live = names_of(
            part.metrics, part.values[:, rows], part.ts[rows], part.received[rows], part.flags[rows], part.score[rows]
        )
        names, renewed = (
            names_of(each.metrics, each.values, each.ts, each.received, each.flags, each.score) for each in (old, new)
        )
        place, is_old = found_in(live, names)
        is_new = found_in(live, renewed)[1]
        self.found += int((is_old | is_new).sum())
        if not is_old.any():
            return part
        return self._replaced(part, rows[is_old], new, place[is_old])

    def _replaced(self, part: Section, rows: Ints, new: Rows, place: Ints) -> Section:
        """`part` with its `rows` as they are at `place` in `new`; the same object where nothing differs."""
        extra = [
            name
            for name, column in zip(new.metrics, new.values, strict=True)
            if name not in part.metrics and not np.isnan(column[place]).all()
        ]
        metrics = (*part.metrics, *extra)
        values = np.concatenate([part.values, np.full((len(extra), len(part.ts)), np.nan)])
        values[:, rows] = np.nan
        for name, column in zip(new.metrics, new.values, strict=True):
            if name in metrics:
                values[metrics.index(name), rows] = column[place]
        flags, score, rules = part.flags.copy(), part.score.copy(), part.rules.copy()
        flags[rows], score[rows], rules[rows] = new.flags[place], new.score[place], -1
        if new.rules:
            numbers = {at: self._rules.setdefault(ids, len(self._rules)) for at, ids in new.rules.items()}
            rules[rows] = [numbers.get(at, -1) for at in place.tolist()]
        if (
            not extra
            and np.array_equal(values, part.values, equal_nan=True)
            and np.array_equal(flags, part.flags)
            and np.array_equal(rules, part.rules)
            and np.array_equal(score, part.score, equal_nan=True)
        ):
            return part
        return dataclasses.replace(part, metrics=metrics, values=values, flags=flags, score=score, rules=rules)
