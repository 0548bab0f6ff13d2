"""Any CSV file as readings of devices, line by line, in bounded memory; a bad line costs itself and no other."""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TextIO

import msgspec

from watchkeeper_local.sources.csv_cells import CLOCK, parse_number, parse_time
from watchkeeper_local.sources.reading import SourceReading

SEPARATORS = (",", ";", "\t", "|")
TIME_NAMES = ("timestamp", "datetime", "ts", "time", "date")
DEVICE_NAMES = ("device", "device_id", "deviceid", "host", "hostname", "sensor", "sensor_id", "machine", "machine_id")
IGNORED_NAMES = frozenset({"anomaly", "changepoint", "label"})
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})

TIME_FORMS = "ISO 8601, or seconds or milliseconds since 1970, up to 2100"
LONGEST_LINE = 1 << 20
LINES_PER_ROW = 20
SAMPLE_ROWS = 50


class CsvReading(msgspec.Struct, frozen=True):
    """A line that is a reading; `line` counts from 1 and is where the row begins."""

    line: int
    reading: SourceReading


class CsvError(msgspec.Struct, frozen=True):
    """A line that is none, and why; `str()` gives `file:line: reason`."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class RowError(ValueError):
    """Why a row is no reading; it leaves this module only as a CsvError."""


class _Table:
    """What the header says about the columns; which hold times, metrics and tags is settled by the first rows."""

    def __init__(self, path: Path, header: list[str], separator: str) -> None:
        names = [cell.strip() for cell in header]
        lower = [name.lower() for name in names]
        self.separator = separator
        self.width = len(names)
        self.fallback = path.stem
        self.device = next((lower.index(name) for name in DEVICE_NAMES if name in lower), None)
        self.site = lower.index("site") if "site" in lower else None
        self.time: tuple[int, ...] | None = None
        self.named_times = [lower.index(name) for name in TIME_NAMES if name in lower]
        taken = {self.device, self.site}
        self.others = {
            index: name
            for index, name in enumerate(names)
            # A column without a name is the row number that spreadsheets and pandas add.
            if name and index not in taken and lower[index] not in IGNORED_NAMES
        }
        if len(set(self.others.values())) < len(self.others):
            raise RowError("two columns of the header have the same name")
        if all(parse_number(cell, separator) is not None for cell in names if cell):
            raise RowError("the first line must name the columns, and it holds only numbers")
        self.numeric: dict[int, bool] = {}

    def learn(self, sample: list[list[str]]) -> None:
        """Settle by majority where the time is and which columns are numbers: one torn row must not decide it."""
        rows = [cells for cells in sample if len(cells) == self.width]
        found = Counter(place for cells in rows if (place := self._find_time(cells)) is not None)
        if found:
            self.time = found.most_common(1)[0][0]
        for index in self.others:
            seen = [cells[index].strip() for cells in rows if cells[index].strip().lower() not in MISSING]
            if seen:
                numbers = sum(parse_number(cell, self.separator) is not None for cell in seen)
                self.numeric[index] = 2 * numbers > len(seen)

    def reading(self, cells: list[str]) -> SourceReading:
        """The row as a reading; RowError says why it is none."""
        if len(cells) != self.width:
            raise RowError(f"{len(cells)} cells where the header has {self.width}")
        if self.time is None and (found := self._find_time(cells)) is not None:
            self.time = found
        if self.time is None:
            names = ", ".join(TIME_NAMES)
            raise RowError(f"no time here: no column named {names} holds one, nor another ({TIME_FORMS})")
        ts = parse_time("T".join(cells[index].strip() for index in self.time))
        if ts is None:
            shown = " ".join(cells[index] for index in self.time)
            raise RowError(f"{shown[:40]!r} is no time ({TIME_FORMS})")
        device = self.fallback if self.device is None else cells[self.device].strip()
        if not device:
            raise RowError("the device column is empty")
        values, tags = self._values_and_tags(cells)
        if not values:
            raise RowError("no column holds a number")
        reading: SourceReading = {"device": device, "ts": ts, "values": values}
        if tags:
            reading["tags"] = tags
        if self.site is not None and cells[self.site].strip():
            reading["site"] = cells[self.site].strip()
        return reading

    def _values_and_tags(self, cells: list[str]) -> tuple[dict[str, float], dict[str, str]]:
        skipped = self.time or ()
        values: dict[str, float] = {}
        tags: dict[str, str] = {}
        for index, name in self.others.items():
            cell = cells[index].strip()
            if index in skipped or cell.lower() in MISSING:
                continue
            number = parse_number(cell, self.separator)
            if not self.numeric.setdefault(index, number is not None):
                # A second time column would be a tag that never repeats.
                if index not in self.named_times:
                    tags[name] = cell
            elif number is None:
                raise RowError(f"column {name!r}: {cell[:40]!r} is no finite number")
            else:
                values[name] = number
        return values, tags

    def _find_time(self, cells: list[str]) -> tuple[int, ...] | None:
        """The columns the time is in: a named one, `date` and `time` together, or the first that parses as a time."""
        clocks = [index for index in self.others if CLOCK.fullmatch(cells[index].strip())]
        # Where no name helps, text goes before numbers: a byte counter may look like seconds since 1970.
        unnamed = sorted(self.others, key=lambda index: parse_number(cells[index], self.separator) is not None)
        for index in self.named_times or unnamed:
            day = cells[index].strip()
            if parse_time(day) is not None:
                # A date alone would give a whole day one time.
                joined = [(index, clock) for clock in clocks if parse_time(f"{day}T{cells[clock].strip()}") is not None]
                return joined[0] if joined else (index,)
        return None


def read_csv(path: Path | str) -> Iterator[CsvReading | CsvError]:
    """The readings and the bad lines of a file, in its order; OSError if the file cannot be read.

    The separator is sniffed from the header (, ; tab |). The device is the column `device`, `host`, `sensor` or the
    like, else the file's name without its ending. A number may have a decimal comma where the separator is not one.
    """
    file = Path(path)
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        rows = ((line, row) for line, row in _rows(text) if row.strip())
        for line, header in itertools.islice(rows, 1):
            try:
                separator = max(SEPARATORS, key=lambda mark: len(_split(header, mark)))
                table = _Table(file, _split(header, separator), separator)
            except (RowError, csv.Error) as error:
                yield CsvError(str(file), line, str(error))
                return
            sample = list(itertools.islice(rows, SAMPLE_ROWS))
            table.learn(list(_whole(sample, separator)))
            for number, row in itertools.chain(sample, rows):
                try:
                    yield CsvReading(number, table.reading(_split(row, separator)))
                except (RowError, csv.Error) as error:
                    yield CsvError(str(file), number, str(error))


def _whole(rows: list[tuple[int, str]], separator: str) -> Iterator[list[str]]:
    for _, row in rows:
        with contextlib.suppress(csv.Error):
            yield _split(row, separator)


def _split(row: str, separator: str) -> list[str]:
    return next(csv.reader([row], delimiter=separator, strict=True), [])


def _rows(text: TextIO) -> Iterator[tuple[int, str]]:
    """Rows with the number of their first line: RFC 4180 allows line breaks within quotes.

    A quote that is never closed would swallow the lines after it, so a row that does not end well after a few of them
    is given as its first line alone, for the parser to refuse, and reading goes on at the second.
    """
    waiting: list[str] = []
    number = 1
    while True:
        waiting = waiting or [_line(text)]
        row, taken = waiting[0], 1
        if not row:
            return
        state = _quoting(row)
        while state is _Quoting.OPEN and taken < LINES_PER_ROW:
            if taken == len(waiting):
                waiting.append(_line(text))
            if not waiting[taken]:
                break
            row += waiting[taken]
            taken += 1
            state = _quoting(row)
        if state is not _Quoting.CLOSED:
            row, taken = waiting[0], 1
        yield number, row
        del waiting[:taken]
        number += taken


def _line(text: TextIO) -> str:
    """The next line with its ending, or nothing at the end; of an overlong one only its beginning is kept."""
    line = text.readline(LONGEST_LINE)
    rest = line
    while len(rest) == LONGEST_LINE and not rest.endswith(("\n", "\r")):
        rest = text.readline(LONGEST_LINE)
    return line


class _Quoting(Enum):
    CLOSED = 1
    OPEN = 2
    BROKEN = 3


def _quoting(row: str) -> _Quoting:
    """Whether the row ends within a quoted cell, or has a quote where none may be, whichever the separator is."""
    if '"' not in row:
        return _Quoting.CLOSED
    try:
        _split(row.translate(_AS_COMMAS), ",")
    except csv.Error as error:
        return _Quoting.OPEN if str(error) == "unexpected end of data" else _Quoting.BROKEN
    return _Quoting.CLOSED


_AS_COMMAS = str.maketrans(dict.fromkeys(SEPARATORS, ","))
