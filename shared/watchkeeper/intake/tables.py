"""Tables of readings: CSV, a row each."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from watchkeeper.errors import DecodeError
from watchkeeper.intake.sent import Bad, SentReading, limit

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME_COLUMNS = ("ts", "timestamp", "datetime", "time")


def read_table(body: bytes) -> Iterator[SentReading | Bad]:
    """The rows of a CSV body, in order. DecodeError: it is none, or its first row does not name the columns."""
    try:
        rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        rest = list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"not CSV in UTF-8: {error}"
        raise DecodeError(message) from error
    names = [name.strip() for name in header]
    if "device" not in names or len(set(names)) != len(names):
        message = f"the first row must name the columns once each, 'device' among them; it is {','.join(names)[:200]!r}"
        raise DecodeError(message)
    times = [name for name in names if name in TIME_COLUMNS]
    if len(times) > 1:
        message = f"columns {' and '.join(map(repr, times))} both name the time; keep one of them"
        raise DecodeError(message)
    limit(len(rest))
    for row in rest:
        if row:
            yield _csv_row(names, row)


def _csv_row(names: list[str], row: list[str]) -> SentReading | Bad:
    raw = ",".join(row).encode()
    if len(row) != len(names):
        return Bad(raw, f"{len(row)} cells for {len(names)} columns")
    cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
    sent = SentReading({}, cells.pop("device"), site=cells.pop("site", ""))
    for name, cell in cells.items():
        if name in TIME_COLUMNS:
            sent.ts = int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 20 else cell or None
        elif name.startswith("tag."):
            if cell:
                sent.tags[name.removeprefix("tag.")] = cell
        else:
            try:
                sent.values[name] = float(cell) if cell else None
            except ValueError:
                return Bad(raw, f"column {name!r}: {cell[:40]!r} is not a number")
    return sent
