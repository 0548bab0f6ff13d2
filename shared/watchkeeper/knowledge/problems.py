"""Everything that is wrong with a knowledge base, collected, so that its author hears of all of it at once."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches

import msgspec

from watchkeeper.errors import KnowledgeError

Complain = Callable[[int, str], None]
"""Reports one problem of one file: its line, counted from 1, and what is wrong."""

_LONGEST_QUOTE = 60


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong, and where."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Problems:
    """A growing list of problems, raised as one error at the end."""

    def __init__(self) -> None:
        self._found: set[Problem] = set()

    def of(self, file: str) -> Complain:
        """A function that reports problems of `file`."""
        name = file if file.isprintable() else repr(file)
        return lambda line, text: self._found.add(Problem(name, line, text))

    def raise_if_any(self) -> None:
        """Raises KnowledgeError, one line a problem, ordered by file and line."""
        if self._found:
            raise KnowledgeError("\n".join(map(str, sorted(self._found))))


def quote(text: str) -> str:
    """`text` in quotes, on one line, cut if it is very long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'pressure'?)`, or nothing where no known word is near."""
    if len(word) > _LONGEST_QUOTE:
        return ""
    near = get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
