"""The device catalogue: which class a device is of, and what is expected of its readings."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

import msgspec

from watchkeeper.records import Importance

GENERIC = "generic"
"""The class of every device that no other class claims."""

ITSELF = "watchkeeper"
"""The class of Watchkeeper's own devices: rules for every class do not mean them, and the model is silent on them."""

_PROFILES_KEPT = 65_536


class Fill(StrEnum):
    """What stands in for a value that cannot be used."""

    NONE = "none"
    LAST = "last"


class MetricSpec(msgspec.Struct, frozen=True):
    """One metric: a value below `low`, above `high` or equal to one of `missing` is not used."""

    name: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    missing: tuple[float, ...] = ()
    fill: Fill = Fill.NONE


class DeviceOverride(msgspec.Struct, frozen=True):
    """What a catalogue file says of a single device; None means as its class."""

    site: str | None = None
    importance: Importance | None = None
    interval_ms: int | None = None


class DeviceClass(msgspec.Struct, frozen=True):
    """One catalogue file: a class, the id patterns it claims, and its metrics by name."""

    name: str
    description: str = ""
    match: tuple[str, ...] = ()
    interval_ms: int = 60_000
    importance: Importance = Importance.NORMAL
    metrics: Mapping[str, MetricSpec] = {}
    devices: Mapping[str, DeviceOverride] = {}


class DeviceProfile(msgspec.Struct, frozen=True):
    """What is known of one device. `metrics` is shared by its class and empty for a generic device."""

    device: str
    class_name: str
    site: str | None
    importance: Importance
    interval_ms: int
    metrics: Mapping[str, MetricSpec]
    time_zone: str = "UTC"


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

    def _make_profile(self, device: str) -> DeviceProfile:
        of = self._listed.get(device) or self._matching(device)
        own = of.devices.get(device, DeviceOverride())
        return DeviceProfile(
            device=device,
            class_name=of.name,
            site=own.site,
            importance=own.importance or of.importance,
            interval_ms=own.interval_ms or of.interval_ms,
            metrics=of.metrics,
        )

    def _matching(self, device: str) -> DeviceClass:
        claims = (each for each in self._in_order if any(fnmatchcase(device, pattern) for pattern in each.match))
        return next(claims, self._in_order[-1])
