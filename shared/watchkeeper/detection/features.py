"""The unit-free features of a reading that the Isolation Forest is trained on and scored on: one row per reading."""

import numpy as np

from watchkeeper.detection.baseline import YOUNG, Observed
from watchkeeper.detection.series import F64, I64

FEATURE_NAMES = (
    "residual_max",
    "residual_mean",
    "shift_max",
    "shift_mean",
    "louder_max",
    "louder_min",
    "rate_max",
    "rate_mean",
)
LIMIT = 1e6


def features(seen: Observed, row: I64, starts: I64, rows: int) -> F64:
    """Features float64 (rows, 8) of readings, from the distances of their series.

    row  int64 (n), ascending: the reading each entry belongs to; starts: the first entry of each that has one
    Entries of series still young count as 0, as does a reading without any entry.
    """
    out = np.zeros((rows, len(FEATURE_NAMES)))
    if not row.size:
        return out
    which = row[starts]
    measured = np.bincount(row, minlength=rows)[which]
    warm = seen.n >= YOUNG
    residual, shift = (np.minimum(part, LIMIT) * warm for part in seen.z[:2])
    rate = np.minimum(seen.rate(), LIMIT) * warm
    louder = seen.louder * warm
    for column, greatest in ((0, residual), (2, shift), (4, louder), (6, rate)):
        out[which, column] = np.maximum.reduceat(greatest, starts)
    out[which, 5] = np.minimum.reduceat(louder, starts)
    for column, mean in ((1, residual), (3, shift), (7, rate)):
        out[which, column] = np.bincount(row, weights=mean, minlength=rows)[which] / measured
    return out
