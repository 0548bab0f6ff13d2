"""What stands in the cells of CSV files: numbers, and times in ISO 8601 or counted since 1970."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?")

_SHORT_HOUR = re.compile(r"([T ])(\d:)")

# 2001-09-09 to 2100: a smaller number is a counter, a duration or a date such as 20240131, and must pass for no time.
FIRST_S, LAST_S = 1e9, 4_102_444_800
UNITS_PER_S = (1, 1_000, 1_000_000, 1_000_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_number(cell: str, separator: str) -> float | None:
    """The finite number in a cell, or None; a comma is a decimal sign where it does not separate cells."""
    # Python's own digit groups (1_000) are nobody else's.
    if "_" in cell:
        return None
    try:
        number = float(cell.replace(",", ".") if separator != "," and cell.count(",") == 1 else cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse_time(cell: str) -> int | None:
    """Epoch milliseconds of a cell, or None if it holds no time between 1970 and 2100.

    Without a zone a time is UTC. Numbers are seconds since 1970, or milli-, micro- or nanoseconds, told by their size.
    """
    try:
        number = float(cell)
    except ValueError:
        return _iso(cell)
    if "_" in cell:
        return None
    units = next((units for units in UNITS_PER_S if FIRST_S * units <= number < LAST_S * units), None)
    return None if units is None else round(number * 1000 / units)


def _iso(cell: str) -> int | None:
    try:
        when = datetime.fromisoformat(_SHORT_HOUR.sub(r"\g<1>0\2", cell))
    except ValueError:
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    milliseconds = round((aware - EPOCH).total_seconds() * 1000)
    return milliseconds if 0 <= milliseconds < LAST_S * 1000 else None
