"""Sensors that are stuck: a value that stays the same for longer than its metric may, for a whole column at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.packs import Bools, Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watchkeeper.records import Phase

TELL_MS = 3_600_000  # an open episode speaks up so often, event time


class Edge(NamedTuple):
    """At a row an episode opens, goes on or clears: `since` is when it opened, the value has stood still `from_`."""

    row: int
    phase: Phase
    value: float
    since: int
    from_: int


def follow(
    slot: Ints, ts: Ints, column: Floats, memory: Floats, after: Ints, silence: Ints
) -> tuple[Bools, list[Edge]]:
    """Which readings have a value that is stuck, and the edges, slot by slot in order.

    `slot` (n,) is an index into `memory` (slots, 5), which holds the value, since when it has been the same, since when
    an episode is open, how many hours of it were told (NaN: none), and when the value was last seen; it is brought up
    to date. `after` (n,): for how many ms a value may stay the same. A hole of more than `silence` (n,) ms begins anew:
    what the value did in it nobody knows. Missing values say nothing.
    """
    stuck = np.zeros(len(slot), bool)
    rows = np.flatnonzero(~np.isnan(column))
    if not len(rows):
        return stuck, []
    own = np.unique(slot[rows])
    held = own[~np.isnan(memory[own, 0])]
    s = np.concatenate([held, slot[rows]])
    order = np.argsort(s, kind="stable")
    s, v = s[order], np.concatenate([memory[held, 0], column[rows]])[order]
    t = np.concatenate([memory[held, 1], ts[rows]])[order]
    seen = np.concatenate([memory[held, 4], ts[rows]])[order]
    never = np.full(len(held), np.iinfo(np.int64).max)
    limit, quiet = (np.concatenate([never, column_of[rows]])[order] for column_of in (after, silence))
    begins = np.ones(len(s), bool)
    begins[1:] = (s[1:] != s[:-1]) | (v[1:] != v[:-1]) | (seen[1:] - seen[:-1] > quiet[1:])
    since = t[np.maximum.accumulate(np.where(begins, np.arange(len(s)), 0))]
    suspects = np.union1d(s[t - since >= limit], held[~np.isnan(memory[held, 2])])
    ends = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)
    plain = ends[~np.isin(s[ends], suspects)]
    for place, known in ((0, v), (1, since), (4, seen)):
        memory[s[plain], place] = known[plain]
    edges: list[Edge] = []
    for each in suspects.tolist():
        mine = rows[slot[rows] == each]
        columns = zip(*(c[mine].tolist() for c in (ts, column, after, silence)), strict=True)
        edges += _follow(mine, columns, memory[each], stuck)
    return stuck, edges


def _follow(rows: Ints, columns: Iterable[tuple[int, float, int, int]], memory: Floats, stuck: Bools) -> Iterator[Edge]:
    """One slot whose value is stuck, or was: reading by reading. Changes `memory` and `stuck`."""
    value, since, opened, told, seen = memory.tolist()
    for row, (t, v, limit, quiet) in zip(rows.tolist(), columns, strict=True):
        if v != value:
            if not np.isnan(opened):
                yield Edge(row, "clear", v, int(opened), int(since))
            value, since, opened, told = v, t, np.nan, np.nan
        elif np.isnan(opened):
            since = t if t - seen > quiet else since
            if t - since >= limit:
                opened, told = t, 0
                yield Edge(row, "open", v, t, int(since))
        elif (t - opened) // TELL_MS > told:
            told = (t - opened) // TELL_MS
            yield Edge(row, "update", v, int(opened), int(since))
        seen = t
        stuck[row] = not np.isnan(opened)
    memory[:] = value, since, opened, told, seen
