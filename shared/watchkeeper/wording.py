"""Words for messages about mistakes: what stood there, and what may have been meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_QUOTE = 60


def quote(text: str) -> str:
    """`text` in quotes, on one line, cut if it is very long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'pressure'?)`, or nothing where no known word is near."""
    if len(word) > _LONGEST_QUOTE:
        return ""
    near = get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
