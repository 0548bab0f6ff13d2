"""An Isolation Forest (Liu, Ting, Zhou, 2008) served from flat arrays, equal to scikit-learn's `score_samples`.

Stored breadth first, six bytes a node: `feature` (int16, -1 for a leaf) and `cut` (float32: the threshold of an inner
node, the training samples of a leaf). The children of the i-th inner node of a tree are its nodes 2i+1 and 2i+2.
"""

from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import F64
from watchkeeper.errors import ModelError

CHUNK = 512
_EULER = 0.5772156649015329


class _Nodes(NamedTuple):
    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    cut: NDArray[np.float32]
    child: NDArray[np.int32]
    path: F64
    depth: int


class Forest(msgspec.Struct, frozen=True, dict=True):
    """sizes: int32 nodes of each tree; feature: int16 and cut: float32, one a node; all little-endian bytes."""

    columns: int
    samples: int
    sizes: bytes
    feature: bytes
    cut: bytes

    def score(self, x: F64) -> F64:
        """`IsolationForest.score_samples`: (rows, columns) finite -> (rows), in -1..0, lower is stranger."""
        x32 = np.ascontiguousarray(x, np.float32)
        if x32.ndim != 2 or x32.shape[1] != self.columns:
            raise ModelError(f"the forest was trained on {self.columns} features, not on an array of {x32.shape}")
        out = np.empty(len(x32))
        for start in range(0, len(x32), CHUNK):
            out[start : start + CHUNK] = self._paths(x32[start : start + CHUNK])
        scale = self._nodes.roots.size * float(average_path(np.array([self.samples]))[0])
        # Trees of one sample have no paths to compare: scikit-learn calls every reading average.
        depth: F64 = out / scale if scale else np.ones_like(out)
        return -(2.0**-depth)

    def _paths(self, x: NDArray[np.float32]) -> F64:
        nodes = self._nodes
        flat = x.reshape(-1)
        base = (np.arange(len(x), dtype=np.int32) * self.columns)[:, None]
        at = np.repeat(nodes.roots[None, :], len(x), axis=0)
        for _ in range(nodes.depth):
            right = flat[nodes.feature[at] + base] > nodes.cut[at]
            at = nodes.child[at] + right
        total: F64 = nodes.path[at].sum(axis=1)
        return total

    @cached_property
    def _nodes(self) -> _Nodes:
        try:
            return _unfold(self)
        except (ValueError, IndexError, OverflowError) as error:
            raise ModelError(f"the forest's arrays do not fit together: {error}") from error

    @property
    def depth(self) -> int:
        """Levels below the root of the deepest tree; ModelError if the arrays form no trees."""
        return self._nodes.depth


def average_path(samples: NDArray[Any]) -> F64:
    """Average path length of an unsuccessful search among n samples: equation 1 of Liu et al."""
    n = np.asarray(samples, np.float64)
    many = np.maximum(n, 3.0)
    length: F64 = 2.0 * (np.log(many - 1.0) + _EULER) - 2.0 * (many - 1.0) / many
    return np.where(n > 2, length, np.where(n == 2, 1.0, 0.0))


def _unfold(forest: Forest) -> _Nodes:
    sizes = np.frombuffer(forest.sizes, "<i4").astype(np.int64)
    feature = np.frombuffer(forest.feature, "<i2").astype(np.int32)
    cut = np.frombuffer(forest.cut, "<f4").astype(np.float32)
    if not sizes.size or (sizes < 1).any() or sizes.sum() != feature.size or feature.size != cut.size:
        raise ValueError("sizes of trees and nodes differ")
    if forest.samples < 1 or (feature >= forest.columns).any() or (feature < -1).any() or np.isnan(cut).any():
        raise ValueError("a node names an unknown feature")
    ends = np.cumsum(sizes)
    roots = ends - sizes
    inner = feature >= 0
    rank: NDArray[np.int64] = np.cumsum(inner) - inner
    tree = np.repeat(np.arange(sizes.size), sizes)
    index = np.arange(feature.size)
    child = np.where(inner, roots[tree] + 1 + 2 * (rank - rank[roots][tree]), index)
    if (inner & ((child <= index) | (child + 1 >= ends[tree]))).any():
        raise ValueError("a node's children lie outside its tree")
    depth = np.zeros(feature.size)
    level, deepest = roots[inner[roots]], 0
    while level.size:
        deepest += 1
        below = np.concatenate((child[level], child[level] + 1))
        depth[below] = deepest
        level = below[inner[below]]
    leaf_cut = np.where(inner, 1.0, cut)
    if (leaf_cut < 1).any() or not np.isfinite(leaf_cut).all():
        raise ValueError("a leaf holds no samples")
    path = depth + average_path(leaf_cut)
    stay = np.where(inner, cut, np.float32(np.inf)).astype(np.float32)
    return _Nodes(roots.astype(np.int32), np.maximum(feature, 0), stay, child.astype(np.int32), path, deepest)
