"""Tables for people who read them in a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their head, each column as wide as what is in it."""
    lines = [head, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def moment(ms: int) -> str:
    """A time as people read it, UTC; what is no time of this world stays a number."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def one_line(text: str, longest: int = 70) -> str:
    """Text of others in one line, without what would move the cursor."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def day_of(ms: int) -> str:
    """The day (UTC) that the meter counts a time under."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
