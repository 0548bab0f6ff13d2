"""How good the readings of each device and metric are, counted by the hour or the day as they come.

A reading counts in the span that its device had reached when it came, so a span is over once a later one has begun:
its row is written once, and says the same however the stream was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.records import MetricQuality

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.cleaning.metric_set import MetricSet
    from watchkeeper.packs import Bools, Ints


class Noted(NamedTuple):
    """What was noticed of n readings of m metrics: late (n); valid, stuck and filled (m, n)."""

    late: Bools
    valid: Bools
    stuck: Bools
    filled: Bools


class Closed(NamedTuple):
    """A span that is over: the row of the set, when it began (epoch ms), and its counts (2 + 4m)."""

    row: int
    start: int
    counts: Ints


def count(held: MetricSet, rows: Ints, spans: Ints, noted: Noted | None) -> list[Closed]:
    """Count n readings into the spans of their devices, and answer the spans that are over.

    `rows` (n) are rows of the set, device by device; `spans` (n) is when the span began that the device had reached,
    which within a device never goes back. `noted` is in the same order; None: all of them are good.
    """
    other = np.ones(len(rows), bool)
    np.logical_or(rows[1:] != rows[:-1], spans[1:] != spans[:-1], out=other[1:])
    begins = np.flatnonzero(other)
    sums = _sums(noted, np.diff(np.append(begins, len(rows))), begins, len(held.metrics))
    row, span = rows[begins], spans[begins]
    if (held.cell[row] == span).all():
        held.counts[row] += sums
        return []
    return list(_roll(held, row, span, sums))


def _roll(held: MetricSet, rows: Ints, spans: Ints, sums: Ints) -> Iterator[Closed]:
    for number, (row, span) in enumerate(zip(rows.tolist(), spans.tolist(), strict=True)):
        before = int(held.cell[row])
        if before < span:
            if before:
                yield Closed(row, before, held.counts[row].copy())
            held.cell[row], held.counts[row] = span, 0
        held.counts[row] += sums[number]


def _sums(noted: Noted | None, lengths: Ints, begins: Ints, m: int) -> Ints:
    result = np.zeros((len(begins), 2 + 4 * m), np.int64)
    result[:, 0] = lengths
    if noted is None:
        result[:, 2 : 2 + m] = result[:, 2 + 3 * m :] = lengths[:, None]
        return result
    good = noted.valid & ~noted.late & ~noted.stuck & ~noted.filled
    every = np.concatenate([noted.late[None], noted.valid, noted.stuck, noted.filled, good])
    result[:, 1:] = np.add.reduceat(every, begins, axis=1, dtype=np.int64).T
    return result


def by_metric(metrics: tuple[str, ...], counts: Ints) -> dict[str, MetricQuality]:
    """The counts of a span by metric."""
    kinds = counts[2:].reshape(4, len(metrics)).T.tolist()
    return {name: MetricQuality(*numbers) for name, numbers in zip(metrics, kinds, strict=True)}
