"""Which stored readings are the same: by a name made from all that is known of each but its tags and rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.ids import content_hashes, mix
from watchkeeper.series.query import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from watchkeeper.packs import Bools, Floats, Ints

_UNLIKE = np.uint64(0x9E3779B97F4A7C15)


def in_order(rows: Rows) -> Rows:
    """By time, then receipt, then arrival: the order in which both copies have the same readings."""
    order = np.lexsort((rows.received, rows.ts))
    if (np.diff(order) > 0).all():
        return rows
    at = np.empty_like(order)
    at[order] = np.arange(len(order))
    return Rows(
        rows.metrics,
        rows.ts[order],
        rows.received[order],
        rows.values[:, order],
        rows.flags[order],
        rows.score[order],
        {int(at[row]): ids for row, ids in rows.rules.items()},
        {int(at[row]): tags for row, tags in rows.tags.items()},
    )


def names_of(
    metrics: tuple[str, ...],
    values: Floats,
    ts: Ints,
    received: Ints,
    flags: Ints,
    score: Floats,
) -> NDArray[np.uint64]:
    """64 bits for each reading that stand for all that is known of it but its tags and rules.

    Those that are the same in all that are numbered, so that each has a name of its own.
    """
    bits = np.where(np.isnan(score), 0, score.view(np.int64))
    names = content_hashes(metrics, np.ascontiguousarray(values))
    for column in (ts, received, flags, bits):
        names = mix(names ^ mix(column.astype(np.int64).view(np.uint64) ^ _UNLIKE))
    order = np.argsort(names, kind="stable")
    run = np.arange(len(names)) - np.maximum.accumulate(
        np.where(np.diff(names[order], prepend=~names[order][:1]) != 0, np.arange(len(names)), 0)
    )
    repeated = np.empty(len(names), np.uint64)
    repeated[order] = run
    return np.where(repeated == 0, names, mix(names ^ mix(repeated)))


def found_in(live: NDArray[np.uint64], names: NDArray[np.uint64]) -> tuple[Ints, Bools]:
    """Where each live reading is among the named ones, and whether it is."""
    order = np.argsort(names)
    at = np.minimum(np.searchsorted(names[order], live), len(names) - 1)
    place: Ints = order[at]
    return place, names[place] == live
