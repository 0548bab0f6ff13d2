"""Text from elsewhere, made safe to show: on one line, without control characters, not too long."""

from __future__ import annotations

import unicodedata

# Control, format (it can reverse the direction of writing), half of a pair, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_EXCERPT = 200


def one_line(text: str) -> str:
    """`text` with every run of white space as one space, and without whatever a terminal would act upon."""
    words = " ".join(text.split())
    return "".join(sign for sign in words if unicodedata.category(sign) not in _HIDDEN)


def excerpt(text: str, limit: int = _EXCERPT) -> str:
    """The beginning of `text` on one line."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
