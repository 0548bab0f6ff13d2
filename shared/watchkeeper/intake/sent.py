"""A reading as it is sent, in whatever form, and what may be wrong with it."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from math import isfinite
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from watchkeeper.errors import DecodeError

Form: TypeAlias = Literal["json", "ndjson", "msgpack", "csv"]

MAX_READINGS = 100_000  # in one body
MAX_METRICS = 256
MAX_TAGS = 64
EARLIEST_MS = 946_684_800_000  # 2000-01-01; anything before is a time in another unit
LATEST_MS = 7_258_118_400_000  # 2200-01-01
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
METRIC = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
TAG_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
TAG_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,256}")


class SentReading(msgspec.Struct, forbid_unknown_fields=True):
    """A reading as it is sent. `ts`: ISO 8601 (without a zone: UTC), epoch ms, or absent."""

    values: dict[str, float | None]
    device: str = ""
    ts: int | float | str | None = None
    tags: dict[str, str | int | float | bool] = {}
    site: str = ""

    def tags_as_text(self) -> tuple[tuple[str, str], ...]:
        """The tags in the order they were sent, each value as JSON would write it."""
        return tuple([(name, _as_text(value)) for name, value in self.tags.items()]) if self.tags else ()


def _as_text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


class Bad(NamedTuple):
    """A reading that cannot be taken: its bytes, and why."""

    body: bytes
    reason: str


def limit(count: int) -> None:
    """DecodeError: there are more readings than one body may hold."""
    if count > MAX_READINGS:
        message = f"more than {MAX_READINGS} readings in one body; send it in parts"
        raise DecodeError(message)


def time_of(ts: float | str | None) -> int | None:
    """Epoch ms of a sent time, None for none. DecodeError: it is no time, or not one between 2000 and 2200."""
    if ts is None:
        return None
    if isinstance(ts, str):
        try:
            moment = datetime.fromisoformat(ts)
            ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            message = f"ts {ts[:40]!r} is neither ISO 8601 nor epoch milliseconds"
            raise DecodeError(message) from error
    else:
        ms = int(ts) if isinstance(ts, int) or isfinite(ts) else -1
    if not EARLIEST_MS <= ms < LATEST_MS:
        hint = " (is it in seconds? milliseconds are expected)" if 0 < ms * 1000 < LATEST_MS else ""
        message = f"ts {str(ts)[:40]} is not between the years 2000 and 2200{hint}"
        raise DecodeError(message)
    return ms


def fault_of(sent: SentReading) -> str:
    """What is wrong with a reading's names and numbers; empty where nothing is."""
    try:
        _check_names(tuple(sent.values))
        for value in sent.values.values():
            if value is not None and not isfinite(value):
                name = next(name for name, other in sent.values.items() if other is value)
                return f"value of {name!r} is {value}; a finite number or null is expected"
        if sent.tags:
            _check_tags(tuple(sent.tags.items()))
    except _FaultError as fault:
        return str(fault)
    if sent.site and device_fault(sent.site):
        return f"site {sent.site[:40]!r}: letters, digits and . _ : @ - are expected, at most 128"
    return ""


class _FaultError(Exception):
    """What is wrong with names. Raised, so that the caches below keep only what is right, and of a bounded size."""


@functools.lru_cache(maxsize=1024)
def _check_names(names: tuple[str, ...]) -> None:
    if not names:
        raise _FaultError("no values")
    if len(names) > MAX_METRICS:
        raise _FaultError(f"{len(names)} values; at most {MAX_METRICS} in a reading")
    for name in names:
        if not METRIC.fullmatch(name):
            raise _FaultError(f"metric name {name[:40]!r}: 1 to 128 printable characters are expected")


@functools.lru_cache(maxsize=1024)
def _check_tags(tags: tuple[tuple[str, str | float], ...]) -> None:
    if len(tags) > MAX_TAGS:
        raise _FaultError(f"{len(tags)} tags; at most {MAX_TAGS} in a reading")
    for name, value in tags:
        text = _as_text(value)
        if not TAG_NAME.fullmatch(name):
            raise _FaultError(f"tag name {name[:40]!r}: 1 to 64 printable characters are expected")
        if not TAG_VALUE.fullmatch(text):
            raise _FaultError(f"tag {name!r} is {text[:40]!r}; at most 256 printable characters are expected")


def device_fault(device: str) -> str:
    """What is wrong with a device id; empty where nothing is."""
    try:
        _check_name(device)
    except _FaultError:
        shown = repr(device[:40])
        return f"device {shown}: 1 to 128 letters, digits and . _ : @ - are expected, and a letter or digit first"
    return ""


@functools.lru_cache(maxsize=65_536)
def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise _FaultError
