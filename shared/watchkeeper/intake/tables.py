"""Tables of readings: CSV as spreadsheets, loggers and programs write it, a row each."""

from __future__ import annotations

import codecs
import contextlib
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
LINES_PER_ROW = 20  # of a slice: a quote that is not closed within so many is a mistake
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


def read_table_slice(body: bytes, device: str = "") -> Iterator[SentReading | Bad]:
    """The rows of a slice of a table (UTF-8, its first row again in front), however many; a broken one is bad alone.

    DecodeError: the first row does not name the columns.
    """
    end = end_of_row(body, 0, len(body)) or len(body)
    try:
        head = body[:end].decode()
        separator = _separator(head[:SNIFFED])
        names = [name.strip() for name in next(csv.reader([head], delimiter=separator, strict=True), [])]
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"the first row is not CSV in UTF-8, or in UTF-16 with a byte order mark: {error}"
        raise DecodeError(message) from error
    _check_names(names, device)
    for row in _rows(body[end:], separator):
        if row:
            yield row if isinstance(row, Bad) else _reading(names, row, separator, device)


def end_of_row(table: bytes | bytearray, start: int, limit: int) -> int | None:
    """Where the row ends that `start` lies in, behind its line break; None: not before `limit`.

    A line break within quotes ends no row (RFC 4180); quotes are counted from the beginning of `table`.
    """
    quotes = table.count(b'"', 0, start)
    while (found := table.find(b"\n", start, limit)) >= 0:
        quotes += table.count(b'"', start, found)
        if quotes % 2 == 0:
            return found + 1
        start = found + 1
    return None


def _rows(rest: bytes, separator: str) -> Iterator[list[str] | Bad]:
    """The cells of each row. Where something may be wrong they are read one by one, and a broken one is bad alone."""
    if b'"' not in rest:
        with contextlib.suppress(UnicodeDecodeError, csv.Error):
            yield from list(csv.reader(io.StringIO(rest.decode(), newline=""), delimiter=separator, strict=True))
            return
    lines = list(io.StringIO(rest.decode(errors="surrogateescape"), newline=""))
    at = 0
    while at < len(lines):
        reader = csv.reader(lines[at : at + LINES_PER_ROW], delimiter=separator, strict=True)
        taken = 1
        try:
            row = next(reader, [])
            taken = reader.line_num
            "".join(row).encode()
        except (csv.Error, UnicodeEncodeError) as error:
            # A quote that is never closed would swallow the rows behind it: its line alone is bad.
            yield Bad(lines[at].rstrip("\r\n").encode(errors="surrogateescape"), f"not CSV in UTF-8: {_why(error)}")
        else:
            yield row
        at += taken


def _why(error: csv.Error | UnicodeEncodeError) -> str:
    return "a byte that is none" if isinstance(error, UnicodeEncodeError) else str(error)


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
