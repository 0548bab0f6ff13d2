"""Tables of readings: CSV as spreadsheets, loggers and programs write it, a row each."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from typing import TYPE_CHECKING

from watchkeeper.errors import DecodeError
from watchkeeper.intake import sent
from watchkeeper.intake.sent import Bad, SentReading, limit

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME_COLUMNS = ("ts", "timestamp", "datetime", "time")
KNOWN_COLUMNS = frozenset({"device", "site", *TIME_COLUMNS})
SEPARATORS = (",", ";", "\t", "|")
SNIFFED = 65_536  # characters in which the separator of the first row is looked for


def read_table(body: bytes, device: str = "") -> Iterator[SentReading | Bad]:
    """The rows of a CSV body, in order; `device` is that of rows which name none.

    DecodeError: it is no CSV, or its first row does not name the columns.
    """
    try:
        text = _text(body)
        separator = _separator(text[:SNIFFED])
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names = [name.strip() for name in next(rows, [])]
        # Counted before they are looked at: ten megabytes may be millions of rows.
        rest = list(itertools.islice(rows, sent.MAX_READINGS + 1))
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"not CSV in UTF-8, or in UTF-16 with a byte order mark: {error}"
        raise DecodeError(message) from error
    _check_names(names, device)
    limit(len(rest))
    for row in rest:
        if row:
            yield _reading(names, row, separator, device)


def _text(body: bytes) -> str:
    wide = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return body.decode("utf-16" if wide else "utf-8-sig")


def _separator(head: str) -> str:
    """The one under which most of the columns we know are there, then the one that makes most columns.

    A metric may be called "flow; m3/h", and a `,` may stand in the name of every column of a table with `;`.
    """

    def columns(mark: str) -> tuple[int, int]:
        names = [name.strip() for name in next(csv.reader(io.StringIO(head, newline=""), delimiter=mark), [])]
        return len(KNOWN_COLUMNS.intersection(names)), len(names)

    return max(SEPARATORS, key=columns)


def _check_names(names: list[str], device: str) -> None:
    shown = ",".join(names)[:200]
    if not names or len(set(names)) != len(names):
        message = f"the first row must name the columns once each; it is {shown!r}"
        raise DecodeError(message)
    if "device" not in names and not device:
        message = f"no column of the first row, {shown!r}, is 'device'; have one, or name the device in the query, as "
        raise DecodeError(message + "?device=NAME")
    times = [name for name in names if name in TIME_COLUMNS]
    if len(times) > 1:
        message = f"columns {' and '.join(map(repr, times))} both name the time; keep one of them"
        raise DecodeError(message)


def _reading(names: list[str], row: list[str], separator: str, device: str) -> SentReading | Bad:
    raw = separator.join(row).encode()
    if len(row) != len(names):
        return Bad(raw, f"{len(row)} cells for {len(names)} columns")
    cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
    reading = SentReading({}, cells.pop("device", "") or device, site=cells.pop("site", ""))
    for name, cell in cells.items():
        if name in TIME_COLUMNS:
            reading.ts = int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 20 else cell or None
        elif name.startswith("tag."):
            if cell:
                reading.tags[name.removeprefix("tag.")] = cell
        else:
            try:
                reading.values[name] = float(cell) if cell else None
            except ValueError:
                # Where `;` separates, it mostly does so because the comma is the decimal sign.
                number = None if separator == "," else _with_decimal_comma(cell)
                if number is None:
                    return Bad(raw, f"column {name!r}: {cell[:40]!r} is not a number")
                reading.values[name] = number
    return reading


def _with_decimal_comma(cell: str) -> float | None:
    try:
        return float(cell.replace(",", ".")) if cell.count(",") == 1 else None
    except ValueError:
        return None
