"""The unit-free features of a reading that the Isolation Forest is trained on and scored on: one row per reading."""

import numpy as np

from watchkeeper.detection.baseline import SEEN
from watchkeeper.detection.series import F64, I64, Bools

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


def features(seen: F64, row: I64, rows: int, warm: Bools) -> F64:
    """Features float64 (rows, 8) of readings, from the distances of their series.

    seen  float64 (OBSERVED, n) of baseline.observe, row by row
    row   int64 (n), ascending: the reading each entry belongs to
    warm  bool (n): entries of series still warming count as 0, as does a reading without any entry
    """
    out = np.zeros((rows, len(FEATURE_NAMES)))
    if not row.size:
        return out
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    which = row[starts]
    measured = np.bincount(row, minlength=rows)[which]
    column = 0
    for name in ("z_residual", "z_shift"):
        value = np.minimum(seen[SEEN[name]], LIMIT) * warm
        out[which, column] = np.maximum.reduceat(value, starts)
        out[which, column + 1] = np.bincount(row, weights=value, minlength=rows)[which] / measured
        column += 2
    louder = seen[SEEN["louder"]] * warm
    out[which, 4] = np.maximum.reduceat(louder, starts)
    out[which, 5] = np.minimum.reduceat(louder, starts)
    rate = np.minimum(seen[SEEN["rate"]], LIMIT) * warm
    out[which, 6] = np.maximum.reduceat(rate, starts)
    out[which, 7] = np.bincount(row, weights=rate, minlength=rows)[which] / measured
    return out
