"""What services say of themselves, as readings: what Prometheus text and OTLP have in common.

A service's series are metrics of a device, labels and all: `http_requests_total{code="200"}`. Those of one device and
time make one reading, or several where there are more than a reading may hold.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import re
from typing import TYPE_CHECKING

from watchkeeper.ids import text_id
from watchkeeper.intake import sent
from watchkeeper.intake.sent import MAX_METRICS, MAX_TAGS, Bad, SentReading, limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_SERIES = 2_048  # of one device at one time; more of them is a label that should not be one
LONGEST_NAME = 128
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
FOREIGN = re.compile(r"[^A-Za-z0-9._:@-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def device_id(*parts: str) -> str:
    """A device's id from the names of a service and its instance; what an id may not have becomes `-`."""
    text = FOREIGN.sub("-", ":".join(part for part in parts if part)).lstrip("._:@-")
    return text if len(text) <= LONGEST_NAME else f"{text[:111]}-{text_id(*parts)}"


def metric_name(name: str, labels: Mapping[str, str]) -> str:
    """A series' name as Prometheus writes it, labels in order; what is too long is cut, and told apart by a digest."""
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()) if value)
    text = CONTROL.sub(" ", f"{name}{{{inner}}}" if inner else name)
    return text if len(text) <= LONGEST_NAME else f"{text[:111]}#{text_id(name, inner)}"


def quantiles(bounds: Sequence[float], counts: Sequence[float]) -> dict[str, float]:
    """Estimates from a histogram: `counts` (n + 1) of what lies up to each of the n upper bounds, and above the last.

    Linear within a bucket, as Prometheus' histogram_quantile: the first begins at 0 where its bound is positive, and
    what lies above the last bound is taken to be there.
    """
    up_to = list(itertools.accumulate(counts))
    if not bounds or not up_to or not up_to[-1] > 0:
        return {}
    found = {}
    for name, share in QUANTILES.items():
        rank = share * up_to[-1]
        place = bisect.bisect_left(up_to, rank)
        if place >= len(bounds):
            found[name] = bounds[-1]
            continue
        low = bounds[place - 1] if place else min(0.0, bounds[0])
        within = (rank - up_to[place] + counts[place]) / counts[place]
        found[name] = low + (bounds[place] - low) * within
    return found


@dataclasses.dataclass(slots=True)
class Said:
    """What one body has said so far, in the order in which it was said."""

    bad: list[Bad] = dataclasses.field(default_factory=list)
    values: dict[tuple[str, int | None], dict[str, float]] = dataclasses.field(default_factory=dict)
    tags: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def add(self, device: str, ts: int | None, name: str, value: float) -> None:
        """A value, epoch ms or no time of its own. What is not finite is a value that is missing, and left out."""
        if not math.isfinite(value):
            return
        held = self.values.setdefault((device, ts), {})
        if name not in held and len(held) >= MOST_SERIES:
            why = f"more than {MOST_SERIES} series of {device!r} at one time: is one of its labels an id?"
            self.bad.append(Bad(name.encode(errors="replace"), why))
        else:
            held[name] = value

    def tag(self, device: str, name: str, text: str) -> None:
        """Something that is true of a device, for all of its readings in this body."""
        tags = self.tags.setdefault(device, {})
        if text and (name in tags or len(tags) < MAX_TAGS):
            tags[CONTROL.sub(" ", name)[:64]] = CONTROL.sub(" ", text)[:256]

    def readings(self) -> list[SentReading | Bad]:
        """One for each device and time, or several, a millisecond apart if they have times. DecodeError: too many."""
        made = list(itertools.islice(self._readings(), sent.MAX_READINGS + 1))
        limit(len(made) + len(self.bad))
        return [*made, *self.bad]

    def _readings(self) -> Iterator[SentReading]:
        for (device, ts), values in self.values.items():
            # In the order of their names: the same series stand together each time, and make the same sets.
            items = sorted(values.items())
            for part, start in enumerate(range(0, len(items), MAX_METRICS)):
                tags: dict[str, str | int | float | bool] = {**self.tags.get(device, {})}
                when = None if ts is None else ts + part
                yield SentReading(dict(items[start : start + MAX_METRICS]), device, when, tags)
