"""Everything that is wrong with a knowledge base, collected, so that its author hears of all of it at once."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from watchkeeper.errors import KnowledgeError
from watchkeeper.wording import did_you_mean, quote

__all__ = ["Complain", "Mark", "Problem", "Problems", "did_you_mean", "quote"]


class Mark(NamedTuple):
    """A place in a file: its line and column, counted from 1."""

    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


Complain = Callable[[Mark, str], None]
"""Reports one problem of one file: where it is, and what is wrong."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong, and where: line and column are counted from 1."""

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}"


class Problems:
    """A growing list of problems, raised as one error at the end."""

    def __init__(self) -> None:
        self._found: set[Problem] = set()

    def of(self, file: str) -> Complain:
        """A function that reports problems of `file`."""
        name = file if file.isprintable() else repr(file)
        return lambda at, text: self._found.add(Problem(name, *at, text))

    def raise_if_any(self) -> None:
        """Raises KnowledgeError, one line a problem, ordered by file, line and column."""
        if self._found:
            raise KnowledgeError("\n".join(map(str, sorted(self._found))))
