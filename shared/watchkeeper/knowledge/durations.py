"""Durations as people write them (`30s`, `5m`) and as the pipeline counts them (whole milliseconds)."""

import re

from watchkeeper.errors import KnowledgeError

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s?(ms|s|m|h|d)")


def parse_duration(text: str) -> int:
    """Milliseconds in `text`: a number and one unit of ms, s, m, h or d (`1.5h`). Raises KnowledgeError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise KnowledgeError(f"not a duration: {text!r} (write a number and ms, s, m, h or d, such as 30s)")
    return round(float(match[1]) * _MILLISECONDS[match[2]])


def format_duration(ms: int) -> str:
    """The shortest exact way to write `ms`, such that `parse_duration(format_duration(ms)) == ms` for ms >= 0."""
    if ms == 0:
        return "0s"
    unit = next(unit for unit, size in _MILLISECONDS.items() if ms % size == 0)
    return f"{ms // _MILLISECONDS[unit]}{unit}"
