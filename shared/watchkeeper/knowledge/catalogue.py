"""The device catalogue: which class a device is of, and what is expected of its readings."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from fnmatch import translate
from functools import cached_property, lru_cache

import msgspec

from watchkeeper.knowledge.calendars import WORKING_WEEK, Calendar
from watchkeeper.knowledge.derived import Derived
from watchkeeper.knowledge.units import Conversion
from watchkeeper.records import Importance

GENERIC = "generic"
"""The class of every device that no other class claims."""

ITSELF = "watchkeeper"
"""The class of Watchkeeper's own devices: rules for every class do not mean them, and the model is silent on them."""

_PROFILES_KEPT = 65_536
INTERVAL_MS = 60_000  # of a device of which nobody has said how often it reports
GAP_INTERVALS, GAP_LEAST_MS = 10, 5 * 60_000


class Fill(StrEnum):
    """What stands in for a value that cannot be used."""

    NONE = "none"
    LAST = "last"
    LINEAR = "linear"


class Clock(StrEnum):
    """What to do about a device whose clock is off by a steady amount."""

    TRUST = "trust"
    CORRECT = "correct"


class MetricSpec(msgspec.Struct, frozen=True):
    """One metric: a value below `low`, above `high` or equal to one of `missing` is not used.

    What is missing is filled for `fill_ms` after the last good value (None: as long as a gap). A value that has not
    changed for `stuck_ms` is that of a stuck sensor (0: it never is).
    """

    name: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    missing: tuple[float, ...] = ()
    fill: Fill = Fill.NONE
    fill_ms: int | None = None
    stuck_ms: int = 0


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What may be said of a class and of a single device; None means: not said here.

    `conversions` are by metric, for what is sent in another unit than it is kept in.
    """

    importance: Importance | None = None
    interval_ms: int | None = None
    gap_ms: int | None = None
    keep_ms: int | None = None
    clock: Clock | None = None
    time_zone: str | None = None
    calendar: Calendar | None = None
    owner: str | None = None
    notes: str | None = None
    conversions: Mapping[str, Conversion] = {}


class DeviceOverride(Shared, frozen=True):
    """What a catalogue file says of a single device, and which others it feeds and is fed by."""

    site: str | None = None
    feeds: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()


class DeviceClass(Shared, frozen=True):
    """One catalogue file: a class, the id patterns it claims, its metrics by name, and those computed from others.

    What is derived is among the `metrics` too.
    """

    name: str
    description: str = ""
    match: tuple[str, ...] = ()
    metrics: Mapping[str, MetricSpec] = {}
    derived: tuple[Derived, ...] = ()
    devices: Mapping[str, DeviceOverride] = {}


class DeviceProfile(msgspec.Struct, frozen=True):
    """What is known of one device. `metrics` and `derived` are those of its class, empty for a generic device.

    `gap_ms`: a longer silence is a gap. `keep_ms`: what is older is deleted (0: nothing is). `feeds` and `fed_by` are
    its neighbours, whichever file says so.
    """

    device: str
    class_name: str
    site: str | None
    importance: Importance
    interval_ms: int
    metrics: Mapping[str, MetricSpec]
    time_zone: str = "UTC"
    gap_ms: int = GAP_LEAST_MS
    keep_ms: int = 0
    clock: Clock = Clock.TRUST
    calendar: Calendar | None = None
    owner: str = ""
    notes: str = ""
    conversions: Mapping[str, Conversion] = {}
    derived: tuple[Derived, ...] = ()
    feeds: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, dict=True):
    """All classes, in the order of their files.

    A device belongs to the class that lists it under `devices`, else to the first class with a matching pattern;
    the generic class comes last whatever its file is called, and exists even without a file.
    """

    classes: tuple[DeviceClass, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of every class, the generic one last."""
        return tuple(each.name for each in self._in_order)

    def device_class(self, name: str) -> DeviceClass | None:
        """The class called `name`."""
        return next((each for each in self._in_order if each.name == name), None)

    def profile(self, device: str) -> DeviceProfile:
        """What is known of `device`; every device has a profile."""
        return self._profile(device)

    @cached_property
    def clocks(self) -> list[tuple[str, Calendar]]:
        """Time zones with the calendars of their working days: those of the devices asked about so far, see `clock`."""
        return []

    @cached_property
    def clock(self) -> Callable[[str], int]:
        """By the name of a device the number of its time zone and calendar among `clocks`; quick, for whole packs."""
        return lru_cache(_PROFILES_KEPT)(self._clock_of)

    def _clock_of(self, device: str) -> int:
        profile = self.profile(device)
        clock = profile.time_zone, profile.calendar or WORKING_WEEK
        if clock not in self.clocks:
            self.clocks.append(clock)
        return self.clocks.index(clock)

    @cached_property
    def _in_order(self) -> tuple[DeviceClass, ...]:
        special = tuple(each for each in self.classes if each.name != GENERIC)
        generic = tuple(each for each in self.classes if each.name == GENERIC)
        return special + (generic or (DeviceClass(GENERIC),))

    @cached_property
    def _profile(self) -> Callable[[str], DeviceProfile]:
        return lru_cache(_PROFILES_KEPT)(self._make_profile)

    @cached_property
    def _listed(self) -> dict[str, DeviceClass]:
        return {device: each for each in self._in_order for device in each.devices}

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], DeviceClass], ...]:
        """One pattern for each class: thousands of them are no slower to ask than one."""
        claims = ((each, "|".join(map(translate, each.match))) for each in self._in_order if each.match)
        return tuple((re.compile(pattern), each) for each, pattern in claims)

    @cached_property
    def _edges(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """What each device feeds, and what feeds it."""
        feeds: dict[str, list[str]] = {}
        fed_by: dict[str, list[str]] = {}
        for upstream, downstream in sorted(edges_of(self.classes)):
            feeds.setdefault(upstream, []).append(downstream)
            fed_by.setdefault(downstream, []).append(upstream)
        return feeds, fed_by

    def _make_profile(self, device: str) -> DeviceProfile:
        of = self._listed.get(device) or self._matching(device)
        own = of.devices.get(device, DeviceOverride())
        interval_ms = own.interval_ms or of.interval_ms or INTERVAL_MS
        feeds, fed_by = self._edges
        return DeviceProfile(
            device=device,
            class_name=of.name,
            site=own.site,
            importance=own.importance or of.importance or Importance.NORMAL,
            interval_ms=interval_ms,
            metrics=of.metrics,
            time_zone=own.time_zone or of.time_zone or "UTC",
            gap_ms=own.gap_ms or of.gap_ms or max(GAP_INTERVALS * interval_ms, GAP_LEAST_MS),
            keep_ms=own.keep_ms or of.keep_ms or 0,
            clock=own.clock or of.clock or Clock.TRUST,
            calendar=own.calendar or of.calendar,
            owner=own.owner or of.owner or "",
            notes=own.notes or of.notes or "",
            conversions={**of.conversions, **own.conversions} if own.conversions else of.conversions,
            derived=of.derived,
            feeds=tuple(feeds.get(device, ())),
            fed_by=tuple(fed_by.get(device, ())),
        )

    def _matching(self, device: str) -> DeviceClass:
        claims = (each for pattern, each in self._patterns if pattern.match(device))
        return next(claims, self._in_order[-1])


def edges_of(classes: Iterable[DeviceClass]) -> set[tuple[str, str]]:
    """Who feeds whom, as (upstream, downstream), by either's word."""
    found: set[tuple[str, str]] = set()
    for each in classes:
        for device, own in each.devices.items():
            found.update((device, other) for other in own.feeds)
            found.update((other, device) for other in own.fed_by)
    return found
