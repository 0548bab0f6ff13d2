"""Training, offline: history through the scoring code, its features through scikit-learn, the forest into arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.forest import Forest
from watchkeeper.detection.model import Model, tail_of
from watchkeeper.detection.scorer import measured_features
from watchkeeper.detection.series import F64, I64, Bools
from watchkeeper.detection.state import DetectorState
from watchkeeper.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from sklearn.ensemble import IsolationForest

MOST_ROWS = 200_000
VALUES_AT_ONCE = 1_000_000
"""What is measured together, in about 200 MB, unless one device has more."""


class History(NamedTuple):
    """One device's past: ts int64 (n) epoch ms, values float64 (n, m) with NaN where absent, bool (n) to leave out."""

    ts: I64
    values: F64
    metrics: tuple[str, ...]
    anomalous: Bools | None = None


def training_features(histories: Iterable[History], *, config: DetectorConfig = DEFAULT) -> F64:
    """Features (rows, 8) of all warmed-up readings that are not known to be anomalous."""
    return np.concatenate([np.zeros((0, len(FEATURE_NAMES))), *_each(histories, config)])


def train(
    feature_matrix: F64,
    *,
    seed: int,
    trees: int = 100,
    max_samples: int = 256,
    version: str = "untitled",
    trained_at: int = 0,
) -> Model:
    """A model from features (rows, 8), the same for the same seed; ModelError if there are fewer than 2 rows.

    Of more than 200,000 rows a seeded sample is taken; a tree sees `max_samples`, the rest only shapes the tail.
    """
    from sklearn.ensemble import IsolationForest  # takes more than a second, and most processes never train

    rows = len(feature_matrix)
    if rows < 2 or feature_matrix.shape[1] != len(FEATURE_NAMES):
        raise ModelError(f"cannot train on an array of {feature_matrix.shape}: needs 2 rows of {len(FEATURE_NAMES)}")
    sample = feature_matrix
    if rows > MOST_ROWS:
        sample = feature_matrix[np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False)]
    fitted = IsolationForest(n_estimators=trees, max_samples=min(max_samples, len(sample)), random_state=seed)
    fitted.fit(sample)
    forest = forest_of(fitted)
    return Model(version, trained_at, forest, FEATURE_NAMES, rows, tail_of(-forest.score(sample)))


def forest_of(fitted: IsolationForest) -> Forest:
    """A fitted scikit-learn forest as flat arrays; scores stay equal to 1e-12."""
    sizes: list[int] = []
    features: list[int] = []
    cuts: list[F64] = []
    for estimator, columns in zip(fitted.estimators_, fitted.estimators_features_, strict=True):
        tree = estimator.tree_
        order = _breadth_first(tree.children_left, tree.children_right)
        leaf = tree.children_left[order] < 0
        sizes.append(order.size)
        features.extend(np.where(leaf, -1, np.asarray(columns)[np.maximum(tree.feature[order], 0)]).tolist())
        cuts.append(np.where(leaf, tree.n_node_samples[order], _round_down(tree.threshold[order])))
    return Forest(
        columns=int(fitted.n_features_in_),
        samples=int(fitted.max_samples_),
        sizes=np.array(sizes, "<i4").tobytes(),
        feature=np.array(features, "<i2").tobytes(),
        cut=np.concatenate(cuts).astype("<f4").tobytes(),
    )


def _each(histories: Iterable[History], config: DetectorConfig) -> Iterator[F64]:
    for some in _at_once(histories):
        of = np.repeat(np.arange(len(some)), [past.ts.size for past in some])
        ts, values = np.concatenate([past.ts for past in some]), np.concatenate([past.values for past in some])
        names = [str(number) for number in range(len(some))]
        found, keep = measured_features(DetectorState.empty(), names, of, ts, some[0].metrics, values, config)
        left_out = [np.zeros(past.ts.size, bool) if past.anomalous is None else past.anomalous for past in some]
        yield found[keep & ~np.concatenate(left_out)]


def _at_once(histories: Iterable[History]) -> Iterator[list[History]]:
    """Devices that follow each other and have the same metrics: measured together, they take a tenth of the time."""
    some: list[History] = []
    room = 0
    for past in histories:
        if some and (past.metrics != some[0].metrics or past.values.size > room):
            yield some
            some = []
        room = (room if some else VALUES_AT_ONCE) - past.values.size
        some.append(past)
    if some:
        yield some


def _breadth_first(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    order = [0]
    for node in order:
        if left[node] >= 0:
            order += (int(left[node]), int(right[node]))
    return np.array(order)


def _round_down(threshold: F64) -> F64:
    """The greatest float32 not above each threshold: float32 inputs fall on the same side of it."""
    near = threshold.astype(np.float32)
    low: F64 = np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
    return low
