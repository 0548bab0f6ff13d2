"""What expressions are computed over and come to: columns with one entry per reading."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from watchkeeper.packs import Bools, Floats, Ints

Kind: TypeAlias = Literal["number", "boolean", "text"]


class Truth(NamedTuple):
    """Three-valued logic (Kleene, 1952): true where `yes`, false where `no`, unknown where neither; never both."""

    yes: Bools
    no: Bools


class Words(NamedTuple):
    """Texts: `codes` are indices into `words`; a code of −1 and a word that is None both mean that there is none."""

    codes: Ints
    words: tuple[str | None, ...]

    def holds(self, test: Callable[[str], bool]) -> Truth:
        """A test of each text; asked once per word, however many readings there are."""
        yes = np.array([word is not None and test(word) for word in self.words] + [False], np.bool_)
        known = np.array([word is not None for word in self.words] + [False], np.bool_)
        return Truth(yes[self.codes], (known & ~yes)[self.codes])

    def present(self) -> Bools:
        """Where there is a text."""
        return np.array([word is not None for word in self.words] + [False], np.bool_)[self.codes]


NO_WORDS = Words(np.full((), -1, np.int64), ())


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """`length` readings: metrics by name, as floats (NaN: missing), and tags by name. What is not there is missing."""

    length: int
    metrics: Mapping[str, Floats]
    tags: Mapping[str, Words] = dataclasses.field(default_factory=dict)
