"""Stored readings as packs again, in the order in which they once came as far as that is known."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Flag
from watchkeeper.series.span import stored_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Ints
    from watchkeeper.ports import Blobs
    from watchkeeper.reprocessing.plan import StageName
    from watchkeeper.series.assembly import Assembly
    from watchkeeper.series.section import Section

ROWS = 2_000  # readings that go through the stages at once
_BY_MODEL = Flag.WARMING | Flag.ANOMALOUS
_FROM_BEFORE = {
    # What clean says of a reading it says again, but for what only the raw value or its first coming could tell.
    "clean": int(Flag.NO_TIME | Flag.CORRECTION | Flag.INVALID | Flag.FILLED),
    "rule_check": ~int(_BY_MODEL),
    "ml_score": ~int(_BY_MODEL),
}


class Stretch(NamedTuple):
    """Readings as they are stored, and the same as the first stage is to take them: row by row in the same order."""

    stored: Pack
    given: Pack


def stretches(
    blobs: Blobs, shard: int, start: int, end: int, stage: StageName, bundle: Bundle, *, tenant: str = ""
) -> Iterator[Stretch]:
    """The readings of a shard (`tenant`: only its own) in [start, end), in the order of arrival as far as it is known.

    Arrival is known by the time of receipt. A stretch ends where a device speaks after a silence that a rule is
    about, since that is heard between packs only.
    """
    assembly = stored_span(blobs, shard, start, end)
    for _, section in assembly.sections(by_time=True):
        order = _arrival(section)
        if tenant:
            own = np.repeat([of == tenant for of, _ in section.devices], section.counts)
            order = order[own[order]]
        for rows in _cut(section, order, bundle):
            tables = [
                _table(section, assembly, part, metrics)
                for metrics, part in (_patterns(section, rows) if stage == "clean" else [(section.metrics, rows)])
            ]
            pack = _pack(shard, section, assembly, tables)
            yield Stretch(pack, pack.with_tables([_given(table, stage) for table in tables]))


def _arrival(section: Section) -> Ints:
    """The rows in the order of receipt; those of one device and time keep the order they are stored in."""
    if not len(section.ts):
        return np.empty(0, np.int64)
    device = np.repeat(np.arange(len(section.devices)), section.counts)
    new = np.ones(len(device), np.bool_)
    new[1:] = (np.diff(device) != 0) | (np.diff(section.ts) != 0)
    place, received = np.cumsum(new), section.received - section.received.min()
    apart = int(received.max()) + 1
    not_before = np.maximum.accumulate(received + place * apart) - place * apart
    return np.argsort(not_before, kind="stable")


def _cut(section: Section, order: Ints, bundle: Bundle) -> Iterator[Ints]:
    device = np.repeat(np.arange(len(section.devices)), section.counts)[order]
    received = section.received[order]
    by_device = np.argsort(device, kind="stable")
    quiet = np.zeros(len(order), np.int64)
    quiet[by_device[1:]] = np.diff(received[by_device])
    quiet[by_device[np.flatnonzero(np.diff(device[by_device], prepend=-1))]] = 0
    patience = np.array([_patience(bundle, name) for _, name in section.devices], np.int64)
    ends = {*np.flatnonzero(quiet >= patience[device]).tolist(), *range(0, len(order), ROWS), len(order)}
    bounds = sorted(ends)
    yield from (order[low:high] for low, high in itertools.pairwise(bounds))


def _patience(bundle: Bundle, device: str) -> int:
    """The shortest silence of a device, in ms, that a rule is about."""
    rules = bundle.rules.for_class(bundle.catalogue.profile(device).class_name)
    return min((rule.no_data_ms for rule in rules if rule.kind == "no_data"), default=np.iinfo(np.int64).max)


def _patterns(section: Section, rows: Ints) -> Iterator[tuple[tuple[str, ...], Ints]]:
    """Rows by the metrics they have, as they once came; those that have none are said to have all.

    Where several rows have the same metrics their order stays.
    """
    has = ~np.isnan(section.values[:, rows])
    patterns, which = np.unique(has, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        metrics = [name for name, there in zip(section.metrics, pattern, strict=True) if there]
        yield tuple(metrics) or section.metrics, rows[which.reshape(-1) == number]


def _table(section: Section, assembly: Assembly, rows: Ints, metrics: tuple[str, ...]) -> Table:
    device = np.repeat(np.arange(len(section.devices)), section.counts)[rows]
    places = [section.metrics.index(name) for name in metrics]
    rulesets, sets = assembly.rulesets, section.rules[rows]
    return Table.build(
        metrics,
        device,
        section.ts[rows],
        section.received[rows],
        section.values[np.array(places, np.int64)[:, None], rows],
        flags=section.flags[rows],
        tags=section.tags[rows],
        score=section.score[rows],
        rules={row: list(rulesets[sets[row]]) for row in np.flatnonzero(sets >= 0).tolist()},
    )


def _pack(shard: int, section: Section, assembly: Assembly, tables: list[Table]) -> Pack:
    devices = [Device(*key, assembly.sites.get(key, "")) for key in section.devices]
    return Pack(shard, devices, tables, tagsets=assembly.tagsets)


def _given(table: Table, stage: StageName) -> Table:
    """A table without the verdicts that are to be made anew."""
    return dataclasses.replace(
        table,
        flags=table.flags & _FROM_BEFORE[stage],
        score=np.empty(0),
        rules=table.rules if stage == "ml_score" else {},
    )
