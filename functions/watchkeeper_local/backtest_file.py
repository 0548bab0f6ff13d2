"""A CSV file as one series: every line keeps its place, also one that cannot be read."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.errors import ConfigError
from watchkeeper_local.sources.csv_cells import parse_number, parse_time

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper.detection.series import F64, I64

SEPARATORS = (",", ";", "\t", "|")
TIME_NAMES = ("timestamp", "datetime", "ts")
NEVER_READ = frozenset({"anomaly", "changepoint", "label"})
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "inf", "-inf", "infinity", "-infinity"})


class Series(NamedTuple):
    """Rows of a file: `stamps` as they stood there, `ts` epoch ms, `values` (n, m) with NaN where absent.

    `bad`: line and reason of each row that could not be read whole; what of it could be is used.
    """

    stamps: list[str]
    ts: I64
    metrics: tuple[str, ...]
    values: F64
    bad: list[tuple[int, str]]


def read_series(path: Path) -> Series:
    """Read a file. ConfigError: it has no header with a time and a metric, or cannot be read at all."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
            separator = max(SEPARATORS, key=first.count)
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
            rows = list(_lines(csv.reader(file, delimiter=separator)))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    lower = [name.lower() for name in header]
    time = next((lower.index(name) for name in TIME_NAMES if name in lower), 0)
    columns = [at for at, name in enumerate(lower) if at != time and name and name not in NEVER_READ]
    if len({header[at] for at in columns}) != len(columns):
        message = f"{path}:1: two columns have the same name"
        raise ConfigError(message)
    if not columns:
        message = f"{path}:1: names no column besides the time ({', '.join(header)}); is the first line the header?"
        raise ConfigError(message)
    return _series(path, header, time, columns, rows, separator)


def _lines(reader: object) -> list[tuple[int, list[str] | str]]:
    """Rows with their lines; a row that the CSV module cannot read as why."""
    found: list[tuple[int, list[str] | str]] = []
    while True:
        try:
            row = next(reader)  # type: ignore[call-overload]
        except StopIteration:
            return found
        except csv.Error as error:
            found.append((reader.line_num + 1, str(error)))  # type: ignore[attr-defined]
        else:
            if row:
                found.append((reader.line_num + 1, row))  # type: ignore[attr-defined]


def _series(
    path: Path,
    header: list[str],
    time: int,
    columns: list[int],
    rows: list[tuple[int, list[str] | str]],
    separator: str,
) -> Series:
    n = len(rows)
    values = np.full((n, len(columns)), np.nan)
    ts = np.zeros(n, np.int64)
    stamps, bad = [], []
    numbers, text = np.zeros(len(columns), np.int64), np.zeros(len(columns), np.int64)
    wrong: list[tuple[int, int, str]] = []
    before = 0
    for at, (line, row) in enumerate(rows):
        if isinstance(row, str):
            bad.append((line, row))
            stamps.append("")
            ts[at] = before
            continue
        stamp = row[time].strip() if time < len(row) else ""
        when = parse_time(stamp)
        stamps.append(stamp)
        ts[at] = before = before if when is None else when
        if when is None:
            bad.append((line, f"{stamp!r} is no time; ISO 8601 or a number of seconds since 1970 is"))
            continue
        if len(row) != len(header):
            bad.append((line, f"{len(row)} cells where the header has {len(header)}"))
        for place, column in enumerate(columns):
            cell = row[column].strip() if column < len(row) else ""
            if cell.lower() in MISSING:
                continue
            number = parse_number(cell, separator)
            if number is None:
                text[place] += 1
                wrong.append((line, place, cell))
            else:
                numbers[place] += 1
                values[at, place] = number
    numeric = numbers >= np.maximum(text, 1)
    bad += [(line, f"{cell!r} of {header[columns[p]]} is no number") for line, p, cell in wrong if numeric[p]]
    kept = np.flatnonzero(numeric)
    if n and not kept.size:
        message = f"{path}: no column besides the time holds numbers"
        raise ConfigError(message)
    names = tuple(header[columns[place]] for place in kept.tolist())
    return Series(stamps, ts, names, np.ascontiguousarray(values[:, kept]), sorted(bad))
