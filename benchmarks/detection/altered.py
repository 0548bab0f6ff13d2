"""Altered copies of series, and what was said of them brought back to the rows of the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper_local.backtest_file import Series

if TYPE_CHECKING:
    from boards import Verdict
    from numpy.typing import NDArray

WEEKS_MS = 11 * 7 * 86_400_000


class Altered(NamedTuple):
    """A copy, and for each of its rows the row of the original that it was made from."""

    series: Series
    origin: NDArray[np.int64]


def _with(
    series: Series, rows: NDArray[np.int64], values: NDArray[np.float64] | None = None, later: int = 0
) -> Altered:
    taken = series.values if values is None else values
    stamps = [series.stamps[row] for row in rows.tolist()]
    return Altered(Series(stamps, series.ts[rows] + later, series.metrics, taken[rows], []), rows)


def cropped(series: Series) -> Altered:
    """Without its first 7 %."""
    return _with(series, np.arange(int(0.07 * len(series.ts)), len(series.ts)))


def shifted(series: Series) -> Altered:
    """Eleven weeks later."""
    return _with(series, np.arange(len(series.ts)), later=WEEKS_MS)


def rescaled(series: Series) -> Altered:
    """In other units: a thousand times as great, and from another zero."""
    return _with(series, np.arange(len(series.ts)), series.values * 1000.0 + 54321.0)


def permuted(series: Series) -> Altered:
    """Its metrics under each other's names, in another order."""
    order = np.random.default_rng(5).permutation(series.values.shape[1])
    return _with(series, np.arange(len(series.ts)), np.ascontiguousarray(series.values[:, order]))


def torn(series: Series) -> Altered:
    """With gaps of five rows, 2 % in all, and with 2 % of the rows twice."""
    n, chance = len(series.ts), np.random.default_rng(6)
    times = np.ones(n, np.int64)
    for start in chance.integers(0, n, n // 250).tolist():
        times[start : start + 5] = 0
    times[chance.random(n) < 0.02] *= 2
    return _with(series, np.repeat(np.arange(n), times))


WAYS: dict[str, Callable[[Series], Altered]] = {
    "cropped": cropped, "shifted in time": shifted, "rescaled": rescaled, "sensors permuted": permuted,
    "gaps and duplicates": torn,
}  # fmt: skip


def back(
    copies: Mapping[str, Altered], verdicts: Mapping[str, Verdict], series: Mapping[str, Series]
) -> dict[str, Verdict]:
    """Verdicts on the originals' rows: the first of a row's copies, nothing where it has none."""
    found = {}
    for name, verdict in verdicts.items():
        rows, first = np.unique(copies[name].origin, return_index=True)
        parts = [np.zeros(len(series[name].ts)) for _ in verdict]
        for whole, part in zip(parts, verdict, strict=True):
            whole[rows] = part[first]
        found[name] = type(verdict)(*parts)
    return found
