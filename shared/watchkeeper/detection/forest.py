"""An Isolation Forest (Liu, Ting, Zhou, 2008) served from flat arrays, equal to scikit-learn's `score_samples`.

Stored breadth first, six bytes a node: `feature` (int16, -1 for a leaf) and `cut` (float32: the threshold of an inner
node, the training samples of a leaf). The children of the i-th inner node of a tree are its nodes 2i+1 and 2i+2.

Served without walking: each leaf is a bit, and what one feature's value leaves of all leaves can be looked up. What
all features leave of a tree is the one leaf that is reached (after Lucchese et al., QuickScorer, SIGIR 2015).
"""

from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import F64, I64
from watchkeeper.errors import ModelError

CHUNK = 128
BITS = 64
_EULER = 0.5772156649015329
Words = NDArray[np.uint64]


class _Column(NamedTuple):
    """A feature, its cuts float32 (k), ascending, and the leaves that are left (k + 1, words) below, between, above."""

    number: int
    cuts: NDArray[np.float32]
    left: Words


class _Nodes(NamedTuple):
    """Of each node: its tree, feature and cut, its left child, and how deep a leaf is; the inner nodes by level."""

    tree: I64
    feature: NDArray[np.int32]
    cut: NDArray[np.float32]
    child: I64
    path: F64
    levels: list[I64]


class _Trees(NamedTuple):
    """All trees' leaves as bits of words: each tree has one of the first, and the `further` its next ones.

    whole: the words of all leaves; paths (words, BITS + 1), flat: how deep each leaf is, 0 for none
    further: for those with more leaves, the words from start to stop, and the trees whose they are
    """

    trees: int
    whole: Words
    columns: list[_Column]
    paths: F64
    begins: I64
    further: list[tuple[int, int, I64]]
    depth: int
    usual: float  # the path through all trees of a reading that is as deep as in trees of chance


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
        columns = self._trees.columns
        ranks = np.empty((len(columns), len(x32)), np.int64)
        for rank, column in zip(ranks, columns, strict=True):
            rank[:] = column.cuts.searchsorted(x32[:, column.number])
        out = np.empty(len(x32))
        for start in range(0, len(x32), CHUNK):
            out[start : start + CHUNK] = self._paths(ranks[:, start : start + CHUNK])
        # Trees of one sample have no paths to compare: scikit-learn calls every reading average.
        depth: F64 = out / self._trees.usual if self._trees.usual else np.ones_like(out)
        return -(2.0**-depth)

    def _paths(self, ranks: I64) -> F64:
        trees = self._trees
        left = trees.whole[None].repeat(ranks.shape[1], axis=0)
        for column, rank in zip(trees.columns, ranks, strict=True):
            left &= column.left.take(rank, axis=0)
        left -= np.uint64(1)  # of the one bit that is left, those below it; of none, all
        paths = trees.paths.take(np.bitwise_count(left) + trees.begins)
        for start, stop, of in trees.further:
            paths[:, of] += paths[:, start:stop]
        total: F64 = paths[:, : trees.trees].sum(axis=1)
        return total

    @cached_property
    def _trees(self) -> _Trees:
        try:
            return _unfold(self)
        except (ValueError, IndexError, OverflowError) as error:
            raise ModelError(f"the forest's arrays do not fit together: {error}") from error

    @property
    def depth(self) -> int:
        """Levels below the root of the deepest tree; ModelError if the arrays form no trees."""
        return self._trees.depth


def average_path(samples: NDArray[Any]) -> F64:
    """Average path length of an unsuccessful search among n samples: equation 1 of Liu et al."""
    n = np.asarray(samples, np.float64)
    many = np.maximum(n, 3.0)
    length: F64 = 2.0 * (np.log(many - 1.0) + _EULER) - 2.0 * (many - 1.0) / many
    return np.where(n > 2, length, np.where(n == 2, 1.0, 0.0))


def _unfold(forest: Forest) -> _Trees:
    nodes = _nodes(forest)
    inner = nodes.feature >= 0
    leaves = np.flatnonzero(~inner)
    of, count = nodes.tree[leaves], int(nodes.tree[-1]) + 1
    held = np.bincount(of)
    number = np.arange(leaves.size) - (np.cumsum(held) - held)[of]
    place = _places(held)
    word, bit = place[number // BITS, of], number % BITS
    words = int(place.max()) + 1
    paths, whole = np.zeros((words, BITS + 1)), np.zeros(words, np.uint64)
    paths[word, bit] = nodes.path[leaves]
    below = np.zeros((len(place), inner.size), np.uint64)  # the leaves that are below each node
    below[number // BITS, leaves] = np.uint64(1) << bit.astype(np.uint64)
    for level in reversed(nodes.levels):
        below[:, level] = below[:, nodes.child[level]] | below[:, nodes.child[level] + 1]
    roots, further = np.searchsorted(nodes.tree, np.arange(count)), []
    for turn, row in enumerate(place):
        trees = np.flatnonzero(row >= 0)
        whole[row[trees]] = below[turn, roots[trees]]
        further.append((int(row[trees[0]]), int(row[trees[-1]]) + 1, trees))
    columns = [_column(nodes, each, below, place, whole) for each in np.unique(nodes.feature[inner]).tolist()]
    begins = np.arange(words) * (BITS + 1)
    usual = count * float(average_path(np.array([forest.samples]))[0])
    return _Trees(count, whole, columns, paths.reshape(-1), begins, further[1:], len(nodes.levels), usual)


def _places(held: I64) -> I64:
    """Words for trees of so many leaves: (turns, trees), −1 where a tree needs no more. The first are in order."""
    needed = -(-held // BITS)
    place = np.full((int(needed.max()), held.size), -1)
    start = 0
    for turn, row in enumerate(place):
        of = np.flatnonzero(needed > turn)
        row[of] = start + np.arange(of.size)
        start += of.size
    return place


def _column(nodes: _Nodes, number: int, below: Words, place: I64, whole: Words) -> _Column:
    """What each value of a feature leaves: of a node that is passed on the right, nothing below its left child."""
    own = np.flatnonzero(nodes.feature == number)
    cuts, rank = np.unique(nodes.cut[own], return_inverse=True)
    right, left = np.tile(whole, (2, cuts.size + 1, 1))
    for turn, words in enumerate(place):
        word = words[nodes.tree[own]]
        has = word >= 0
        child = nodes.child[own[has]]
        np.bitwise_and.at(right, (rank[has] + 1, word[has]), ~below[turn, child])
        np.bitwise_and.at(left, (rank[has], word[has]), ~below[turn, child + 1])
    np.bitwise_and.accumulate(right, axis=0, out=right)
    right &= np.bitwise_and.accumulate(left[::-1], axis=0)[::-1]
    return _Column(number, cuts, right)


def _nodes(forest: Forest) -> _Nodes:
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
    rank: I64 = np.cumsum(inner) - inner
    tree = np.repeat(np.arange(sizes.size), sizes)
    index = np.arange(feature.size)
    child = np.where(inner, roots[tree] + 1 + 2 * (rank - rank[roots][tree]), index)
    if (inner & ((child <= index) | (child + 1 >= ends[tree]))).any():
        raise ValueError("a node's children lie outside its tree")
    depth = np.zeros(feature.size)
    levels: list[I64] = []
    level = roots[inner[roots]]
    while level.size:
        levels.append(level)
        below = np.concatenate((child[level], child[level] + 1))
        depth[below] = len(levels)
        level = below[inner[below]]
    leaf_cut = np.where(inner, 1.0, cut)
    if (leaf_cut < 1).any() or not np.isfinite(leaf_cut).all():
        raise ValueError("a leaf holds no samples")
    return _Nodes(tree, feature, cut, child, depth + average_path(leaf_cut), levels)
