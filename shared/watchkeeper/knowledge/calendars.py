"""Business calendars: which moments belong to given weekdays, hours and dates, by the clocks of a time zone."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import numpy as np

from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, did_you_mean, quote
from watchkeeper.knowledge.yaml_nodes import Node
from watchkeeper.packs import Bools, Ints

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS = ("days", "hours", "dates", "holidays", "time_zone")
MINUTE_MS, DAY_MINUTES = 60_000, 1440
LONGEST_DATES = 3660  # dates in one calendar; a range counts each of its days

_QUARTER_MS = 900_000  # since 1972 clocks are turned at quarters of an hour of UTC only
_FIRST, _LAST = (round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (1900, 2200))
_EPOCH = date(1970, 1, 1)
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")


class Calendar(msgspec.Struct, frozen=True):
    """Moments: on `days` (0 is Monday) and `dates` but not on `holidays` (days since 1970), within `hours`.

    `hours` are stretches in minutes since midnight, the end excluded; one whose end is not after its beginning lasts
    into the next day, and belongs to the day on which it began. `dates` None: any. `time_zone` empty: the device's.
    """

    days: tuple[int, ...] = tuple(range(7))
    hours: tuple[tuple[int, int], ...] = ((0, DAY_MINUTES),)
    dates: tuple[int, ...] | None = None
    holidays: tuple[int, ...] = ()
    time_zone: str = ""

    def covers(self, ts: Ints, zone: str = "UTC") -> Bools:
        """Which of the moments `ts` (epoch ms) belong to it; `zone` is used where the calendar has none of its own."""
        local = ts + offsets(ts, self.time_zone or zone)
        day, minute = local // (DAY_MINUTES * MINUTE_MS), local // MINUTE_MS % DAY_MINUTES
        inside = np.zeros(len(ts), np.bool_)
        for begin, end in self.hours:
            if begin < end:
                inside |= (begin <= minute) & (minute < end) & self._on(day)
            else:
                inside |= (begin <= minute) & self._on(day)
                inside |= (minute < end) & self._on(day - 1)
        return inside

    def rests(self, local: Ints) -> Bools:
        """Which moments, in epoch ms by local clocks, are on days that it leaves out, whatever the hour."""
        return ~self._on(local // (DAY_MINUTES * MINUTE_MS))

    def _on(self, day: Ints) -> Bools:
        on = np.isin((day + 3) % 7, self.days)  # 1970-01-01 was a Thursday
        if self.dates is not None:
            on &= np.isin(day, self.dates)
        return on & ~np.isin(day, self.holidays) if self.holidays else on


WORKING_WEEK = Calendar(days=(0, 1, 2, 3, 4))
"""When a device is at work of which nobody has said it."""


def offsets(ts: Ints, zone: str) -> Ints:
    """How far the clocks of a time zone are ahead of UTC at these moments, in ms, changes of summer time included."""
    if zone == "UTC":
        return np.zeros(len(ts), np.int64)
    quarters, place = np.unique(np.clip(ts, _FIRST, _LAST) // _QUARTER_MS, return_inverse=True)
    return np.array([_offset(zone, quarter) for quarter in quarters.tolist()], np.int64)[place]


@lru_cache(65_536)
def _offset(zone: str, quarter: int) -> int:
    ahead = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, ZoneInfo(zone)).utcoffset()
    return round((ahead or timedelta()).total_seconds() * 1000)


def read_calendar(node: Node, complain: Complain) -> Calendar:
    """The calendar in `{days: mon-fri, hours: 08:00-18:00, holidays: [2026-12-25], time_zone: Europe/Berlin}`.

    Every key may be left out, but not all of them. `days`, `hours`, `dates` and `holidays` are one value or a list;
    days and dates may be ranges (`sat-mon`, `2026-12-24..2027-01-01`).
    """
    fields = Fields(node, complain, optional=KEYS)
    reader = _Reader(fields, complain)
    if isinstance(node.value, dict) and not any(key in fields for key in KEYS):
        complain(node.at, f"a calendar needs at least one of {', '.join(KEYS)}")
    days = tuple(sorted({day for item in fields.one_or_more("days") for day in reader.days(item)}))
    return Calendar(
        days=days or Calendar().days,
        hours=tuple(reader.hours(item) for item in fields.one_or_more("hours")) or Calendar().hours,
        dates=reader.dates("dates") if "dates" in fields else None,
        holidays=reader.dates("holidays"),
        time_zone=read_time_zone(fields, complain),
    )


def read_time_zone(fields: Fields, complain: Complain, key: str = "time_zone") -> str:
    """The time zone under `key`; empty where there is none, or none of that name."""
    name = fields.text(key)
    if not name:
        return ""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, available_timezones()) or " (write it as Europe/Berlin)"
        complain(fields.at(key), f"unknown time zone {quote(name)}{hint}")
        return ""
    return name


class _Reader:
    def __init__(self, fields: Fields, complain: Complain) -> None:
        self.fields, self.complain = fields, complain

    def days(self, node: Node) -> tuple[int, ...]:
        word = node.value if isinstance(node.value, str) else ""
        first, dash, last = (part.strip().lower() for part in word.partition("-"))
        ends = [first, last] if dash else [first]
        for end in ends:
            if end not in DAYS:
                hint = did_you_mean(end, DAYS) or f" (one of {', '.join(DAYS)}, or a range such as mon-fri)"
                self.complain(node.at, f"not a weekday: {quote(end) if word else node.describe()}{hint}")
                return ()
        begin, length = DAYS.index(ends[0]), (DAYS.index(ends[-1]) - DAYS.index(ends[0])) % 7
        return tuple((begin + more) % 7 for more in range(length + 1))

    def hours(self, node: Node) -> tuple[int, int]:
        match = _HOURS.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
        numbers = [int(part) for part in match.groups()] if match else [99] * 4
        begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
        if max(numbers[1], numbers[3]) > 59 or begin >= DAY_MINUTES or end > DAY_MINUTES:
            self.complain(node.at, f"hours are written as 08:00-18:00, not {node.describe()}")
            return 0, DAY_MINUTES
        if begin == end:
            self.complain(node.at, f"hours that begin and end at the same time: {node.describe()}")
        return begin, end

    def dates(self, key: str) -> tuple[int, ...]:
        found: set[int] = set()
        for node in self.fields.one_or_more(key):
            first, dots, last = str(node.value).partition("..")
            begin, end = self._date(first), self._date(last if dots else first)
            if math.isnan(begin + end) or begin > end or len(found) + end - begin >= LONGEST_DATES:
                example = "2026-12-25 or 2026-12-24..2027-01-01"
                self.complain(node.at, f"each of '{key}' must be a date such as {example}, not {node.describe()}")
                continue
            found.update(range(int(begin), int(end) + 1))
        return tuple(sorted(found))

    @staticmethod
    def _date(text: str) -> float:
        """Days since 1970; NaN: not a date."""
        try:
            return (date.fromisoformat(text.strip()) - _EPOCH).days
        except ValueError:
            return math.nan
