"""Readings from many places, packs or segments, put together as sections: by shard, by device, in order of arrival."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.series.section import DeviceKey, Section
from watchkeeper.series.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.packs import Bools, Floats, Ints, Pack


class _Piece(NamedTuple):
    """Rows with the same metrics, as `Section` has them; `device` is a number of the assembly's own."""

    device: Ints
    ts: Ints
    received: Ints
    flags: Ints
    tags: Ints
    rules: Ints
    score: Floats


@dataclasses.dataclass(slots=True)
class Assembly:
    """What was added, in the order of arrival. `sites` are the last ones the devices named."""

    devices: dict[DeviceKey, int] = dataclasses.field(default_factory=dict)
    shards: list[int] = dataclasses.field(default_factory=list)
    sites: dict[DeviceKey, str] = dataclasses.field(default_factory=dict)
    pieces: list[_Piece] = dataclasses.field(default_factory=list)
    values: list[Floats] = dataclasses.field(default_factory=list)
    metrics: dict[tuple[str, ...], int] = dataclasses.field(default_factory=dict)
    sets: list[int] = dataclasses.field(default_factory=list)
    _tags: dict[tuple[tuple[str, str], ...], int] = dataclasses.field(default_factory=dict)
    _rules: dict[tuple[str, ...], int] = dataclasses.field(default_factory=dict)

    @property
    def tagsets(self) -> list[dict[str, str]]:
        """What the sections' `tags` point into."""
        return [dict(items) for items in self._tags]

    @property
    def rulesets(self) -> list[tuple[str, ...]]:
        """What the sections' `rules` point into."""
        return list(self._rules)

    def add_pack(self, pack: Pack) -> None:
        """All readings of a pack."""
        keys = [(who.tenant, who.device) for who in pack.devices]
        numbers = self._numbers(keys, pack.shard)
        self.sites.update((key, who.site) for key, who in zip(keys, pack.devices, strict=True) if who.site)
        tags = self._tag_places(pack.tagsets)
        for table in pack.tables:
            rows = len(table)
            rules = np.full(rows, -1)
            for row, ids in table.rules.items():
                rules[row] = self._rules.setdefault(tuple(ids), len(self._rules))
            score = table.score if len(table.score) else np.full(rows, np.nan)
            device, tag = numbers[table.device], tags[table.tags] if pack.tagsets else table.tags
            piece = _Piece(device, table.ts, table.received, table.flags, tag, rules, score)
            self._add(piece, table.metrics, table.values)

    def add_segment(
        self, segment: Segment, device: DeviceKey | None = None, span: tuple[int, int] | None = None
    ) -> None:
        """All rows of a segment, or those of one device, or in a span [start, end) of epoch ms. StateError: damaged."""
        tags = self._tag_places(segment.tagsets)
        rules = np.array([*(self._rules.setdefault(ids, len(self._rules)) for ids in segment.rulesets), -1], np.int64)
        part = segment.find(device) if device else None
        for section in ([part.section()] if part else ()) if device else segment.sections():
            numbers = np.repeat(self._numbers(section.devices, 0), section.counts)
            own_tags, own_rules = tags[section.tags], rules[section.rules]
            times = section.ts, section.received
            piece = _Piece(numbers, *times, section.flags, own_tags, own_rules, section.score)
            wanted = (piece.ts >= span[0]) & (piece.ts < span[1]) if span else None
            if wanted is None or wanted.all():
                self._add(piece, section.metrics, section.values)
            elif wanted.any():
                picked = _Piece(*(column[wanted] for column in piece))  # type: ignore[arg-type]
                self._add(picked, section.metrics, section.values[:, wanted])

    def sections(self, *, by_time: bool) -> Iterator[tuple[int, Section]]:
        """Shard by shard, the devices with the same metrics; a device is in one section only.

        A device's rows are in the order of arrival, or with `by_time` in the order of time and then arrival.
        """
        if not self.pieces:
            return
        columns = _Piece(*map(np.concatenate, zip(*self.pieces, strict=True)))
        names, values = self._matrix(len(columns.ts))
        keys = list(self.devices)
        shards = np.array(self.shards, np.int64)
        ranked = np.argsort(shards, kind="stable")
        rank = np.empty_like(ranked)
        rank[ranked] = np.arange(len(ranked))
        for metrics, members in self._groups(columns.device):
            rows = np.flatnonzero(members[columns.device]) if len(self.metrics) > 1 else np.arange(len(columns.ts))
            ranks = rank[columns.device[rows]]
            order = np.lexsort((columns.ts[rows], ranks)) if by_time else np.argsort(ranks, kind="stable")
            rows, ranks = rows[order], ranks[order]
            starts = np.flatnonzero(np.diff(ranks, prepend=-1))
            numbers = ranked[ranks[starts]]
            whole = Section(
                metrics,
                [keys[number] for number in numbers.tolist()],
                np.diff(starts, append=len(rows)),
                columns.ts[rows],
                columns.received[rows],
                columns.flags[rows],
                columns.tags[rows],
                columns.rules[rows],
                columns.score[rows],
                values[np.array([names[name] for name in metrics], np.int64)[:, None], rows],
            )
            yield from _by_shard(whole, shards[numbers], starts)

    def _numbers(self, keys: list[DeviceKey], shard: int) -> Ints:
        known = self.devices
        numbers = [known.setdefault(key, len(known)) for key in keys]
        self.shards += [shard] * (len(known) - len(self.shards))
        return np.array(numbers, np.int64)

    def _tag_places(self, tagsets: list[dict[str, str]]) -> Ints:
        places = [self._tags.setdefault(tuple(sorted(tags.items())), len(self._tags)) for tags in tagsets]
        return np.array([*places, -1], np.int64)  # the last one stands for −1, none

    def _add(self, piece: _Piece, metrics: tuple[str, ...], values: Floats) -> None:
        self.pieces.append(piece)
        self.values.append(values)
        self.sets.append(self.metrics.setdefault(metrics, len(self.metrics)))

    def _matrix(self, rows: int) -> tuple[dict[str, int], Floats]:
        """All values, a row for every metric there is, NaN where a reading does not have it."""
        places = {name: place for place, name in enumerate(sorted({name for names in self.metrics for name in names}))}
        if len(self.metrics) == 1:
            order = list(next(iter(self.metrics)))
            return {name: place for place, name in enumerate(order)}, np.concatenate(self.values, axis=1)
        matrix = np.full((len(places), rows), np.nan)
        sets = [[places[name] for name in names] for names in self.metrics]
        low = 0
        for which, values in zip(self.sets, self.values, strict=True):
            high = low + values.shape[1]
            matrix[sets[which], low:high] = values
            low = high
        return places, matrix

    def _groups(self, device: Ints) -> Iterator[tuple[tuple[str, ...], Bools]]:
        """Each set of metrics that some devices have in all, and which devices those are (a boolean for each)."""
        if len(self.metrics) == 1:
            yield tuple(sorted(next(iter(self.metrics)))), np.ones(len(self.devices), np.bool_)
            return
        has = np.zeros((len(self.devices), len(self.metrics)), np.bool_)
        has[device, np.repeat(self.sets, [values.shape[1] for values in self.values])] = True
        patterns, which = np.unique(has, axis=0, return_inverse=True)
        named = list(self.metrics)
        for index, pattern in enumerate(patterns):
            metrics = sorted({name for place in np.flatnonzero(pattern) for name in named[place]})
            yield tuple(metrics), which.reshape(-1) == index


def _by_shard(whole: Section, shards: Ints, starts: Ints) -> Iterator[tuple[int, Section]]:
    first = np.flatnonzero(np.diff(shards, prepend=-1))
    bounds = [*first.tolist(), len(shards)]
    rows = [*starts[first].tolist(), len(whole.ts)]
    for place, shard in enumerate(shards[first].tolist()):
        yield shard, whole.part(bounds[place], bounds[place + 1], rows[place], rows[place + 1])
