"""What was measured since the last cut, in memory: gauges, counts and times by name."""

import math
import threading
from typing import SupportsFloat

LONGEST_NAME = 120  # the server takes 128; `.ms.max` and `.count` are added to a timer's
MOST_NAMES = 1_000  # names made from user ids or addresses must not fill the application's memory
MOST_VALUES = 256  # in one reading


class Tally:
    """Takes values from any thread. ValueError, TypeError: a name or a value that Watchkeeper could not take."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler or a finaliser of the same thread may measure something as well.
        self._lock = threading.RLock()
        self._names: set[str] = set()
        self._gauges: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._times: dict[str, tuple[float, float, int]] = {}

    def gauge(self, name: str, value: float) -> None:
        """The latest value in an interval is the one that is sent."""
        number = self._checked(name, value)
        with self._lock:
            self._gauges[name] = number

    def increment(self, name: str, by: float) -> None:
        """Values of an interval are added up."""
        number = self._checked(name, by)
        with self._lock:
            self._counts[name] = self._counts.get(name, 0.0) + number

    def time(self, name: str, milliseconds: float) -> None:
        """Mean, greatest and number of an interval are sent."""
        number = self._checked(name, milliseconds)
        with self._lock:
            total, greatest, count = self._times.get(name, (0.0, -math.inf, 0))
            self._times[name] = (total + number, max(greatest, number), count + 1)

    def cut(self, *, regular: bool) -> list[dict[str, float]]:
        """What was measured, at most 256 values a piece, and begin anew.

        At the end of a regular interval what was counted before and not in this one is 0: that is known.
        """
        with self._lock:
            gauges, self._gauges = self._gauges, {}
            counts, times = self._counts, self._times
            self._counts = dict.fromkeys(counts, 0.0)
            self._times = dict.fromkeys(times, (0.0, -math.inf, 0))
        values = dict(gauges)
        values.update((name, value) for name, value in counts.items() if value or regular)
        for name, (total, greatest, count) in times.items():
            if count:
                values |= {f"{name}.ms": total / count, f"{name}.ms.max": greatest}
            if count or regular:
                values[f"{name}.count"] = float(count)
        finite = [(name, value) for name, value in values.items() if math.isfinite(value)]
        return [dict(finite[start : start + MOST_VALUES]) for start in range(0, len(finite), MOST_VALUES)]

    def _checked(self, name: str, value: SupportsFloat | str | bytes) -> float:
        if name not in self._names:
            self._learn(name)
        if isinstance(value, (str, bytes)):
            raise TypeError(f"{name}: {value!r} is no number")
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"{name}: {number} is no value; leave it out instead")
        return number

    def _learn(self, name: object) -> None:
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{name!r} is no name of a metric: 1 to {LONGEST_NAME} printable characters are")
        with self._lock:
            if len(self._names) >= MOST_NAMES:
                raise ValueError(f"{name}: there are {MOST_NAMES} names already; what varies belongs in no name")
            self._names.add(name)
