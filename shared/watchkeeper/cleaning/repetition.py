"""Which readings have come before: same id, same content. The same id with other content is a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.ids import mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from watchkeeper.packs import Bools


class Repetition(NamedTuple):
    """For each reading: has it come before, and if not, does it correct one that has?"""

    repeated: Bools
    corrects: Bools


def repetition(
    ids: NDArray[np.uint64],
    contents: NDArray[np.uint64],
    seen_ids: NDArray[np.uint64],
    seen_contents: NDArray[np.uint64],
) -> Repetition:
    """Compare a column of readings, in order, with those seen before it and with one another."""
    pairs, seen_pairs = mix(ids ^ mix(contents)), mix(seen_ids ^ mix(seen_contents))
    repeated = np.isin(pairs, seen_pairs) | _again(pairs)
    return Repetition(repeated, (np.isin(ids, seen_ids) | _again(ids)) & ~repeated)


def _again(column: NDArray[np.uint64]) -> Bools:
    """Values that stand further up in the column already."""
    again = np.ones(len(column), bool)
    again[np.unique(column, return_index=True)[1]] = False
    return again
