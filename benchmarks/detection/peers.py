"""Other people's detectors on the same series, each causal, run by the Python of .venv-boards.

usage: peers.py NAME SERIES.npz SCORES.npz

SERIES.npz holds float64 (n, m) arrays by name; SCORES.npz gets a score (n) for each, and `seconds`. Every row is scored
by what came before it: what must be fitted is fitted on the first WARM rows, and again every REFIT rows on the past.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
WARM, REFIT, PAST, WINDOW = 400, 500, 4000, 24


def fitted(features: Callable[[F64], F64], fit: Callable[[F64], Callable[[F64], F64]], *, again: bool) -> Detector:
    """A detector that is fitted on rows of features of the past."""

    def score(x: F64) -> F64:
        rows, out = features(x), np.zeros(len(x))
        for start in range(WARM, len(x), REFIT):
            if again or start == WARM:
                judge = fit(rows[max(0, start - PAST) : start])
            out[start : start + REFIT] = judge(rows[start : start + REFIT])
        return out

    return score


def windowed(x: F64) -> F64:
    """Of each metric: its value, change, and the mean, spread and range of its last WINDOW values."""
    padded = np.concatenate([np.repeat(x[:1], WINDOW - 1, axis=0), x])
    last = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    change = np.diff(padded[WINDOW - 2 :], axis=0)
    return np.concatenate([x, change, last.mean(-1), last.std(-1), np.ptp(last, axis=-1)], axis=1)


def isolation_forest(rows: F64) -> Callable[[F64], F64]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, random_state=0).fit(rows)
    return lambda x: -forest.score_samples(x)


def ecod(rows: F64) -> Callable[[F64], F64]:
    from pyod.models.ecod import ECOD

    model = ECOD().fit(rows)
    return model.decision_function


def half_space_trees(x: F64) -> F64:
    from river.anomaly import HalfSpaceTrees
    from river.preprocessing import MinMaxScaler

    scale, trees = MinMaxScaler(), HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=0)
    out = np.zeros(len(x))
    for at, row in enumerate(x.tolist()):
        named = dict(enumerate(row))
        scale.learn_one(named)
        scaled = scale.transform_one(named)
        out[at] = trees.score_one(scaled)
        trees.learn_one(scaled)
    return out


def robust_z(x: F64) -> F64:
    """The greatest distance from the median of the last 200 values, in median absolute deviations."""
    out = np.zeros(len(x))
    for at in range(WARM, len(x)):
        past = x[at - 200 : at]
        middle = np.median(past, axis=0)
        spread = 1.4826 * np.median(np.abs(past - middle), axis=0) + 1e-9 * (1.0 + np.abs(middle))
        out[at] = (np.abs(x[at] - middle) / spread).max()
    return out / (out + 10.0)


def matrix_profile(x: F64) -> F64:
    """The distance of the last WINDOW values to the nearest of the last WARM before, mean of all metrics."""
    import stumpy

    out = np.zeros(len(x))
    for column in np.ascontiguousarray(x.T):
        stream = stumpy.stumpi(column[:WARM].copy(), WINDOW, egress=True)
        for at in range(WARM, len(x)):
            stream.update(column[at])
            out[at] += stream.left_P_[-1]
    return np.nan_to_num(out / x.shape[1], posinf=0.0)


Detector = Callable[[F64], F64]
DETECTORS: dict[str, Detector] = {
    "scikit-learn IsolationForest": fitted(lambda x: x, isolation_forest, again=False),
    "scikit-learn IsolationForest, windowed": fitted(windowed, isolation_forest, again=True),
    "River HalfSpaceTrees": half_space_trees,
    "PyOD ECOD": fitted(lambda x: x, ecod, again=True),
    "rolling robust z": robust_z,
    "stumpy stumpi": matrix_profile,
}


def main(name: str, source: str, target: str) -> None:
    detector = DETECTORS[name]
    series = dict(np.load(source))
    detector(next(iter(series.values()))[: WARM + 50])  # what is compiled or imported at the first call is not counted
    started = time.process_time()
    scores = {key: detector(x) for key, x in series.items()}
    np.savez(target, seconds=time.process_time() - started, **scores)


if __name__ == "__main__":
    main(*sys.argv[1:])
