"""Carries readings to Watchkeeper as people do: over HTTP or MQTT, as fast as it goes or at a pace."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Self

from watchkeeper.errors import ConfigError
from watchkeeper_local.sources.endpoint import parse_endpoint
from watchkeeper_local.sources.reading import SourceReading
from watchkeeper_local.sources.send_http import HttpSender
from watchkeeper_local.sources.send_mqtt import MqttSender
from watchkeeper_local.sources.sent import BATCH, Sent

TICK_S = 0.2


class Sender(Protocol):
    """Either sender: `send` returns when every reading is acknowledged; Unavailable or ConfigError name the URL."""

    def send(self, readings: Iterable[SourceReading]) -> Sent: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *raised: object) -> None: ...


def open_sender(url: str, *, api_key: str | None = None, ca_file: str | None = None) -> Sender:
    """The sender for a URL: http(s)://… or mqtt(s)://…; `ca_file` is a PEM file of authorities to trust as well."""
    if parse_endpoint(url).scheme.startswith("http"):
        return HttpSender(url, api_key=api_key, ca_file=ca_file)
    return MqttSender(url, ca_file=ca_file)


def pace(
    readings: Iterable[SourceReading],
    speed: str | float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[SourceReading]]:
    """The readings in batches of up to 1,000, each given when it is due.

    Use it as `for batch in pace(…): sender.send(batch)`. `speed` is "max" or how many times real time, say "60": the
    distances between event times are shortened by it. Readings due within the same fifth of a second go together; what
    is out of order goes at once. ConfigError for another speed.
    """
    factor = math.inf if speed == "max" else _factor(speed)
    start = clock()
    first: int | None = None
    batch: list[SourceReading] = []
    for reading in readings:
        first = reading["ts"] if first is None else first
        due = start + math.ceil((reading["ts"] - first) / 1000 / factor / TICK_S) * TICK_S
        if batch and (len(batch) == BATCH or due > clock()):
            yield batch
            batch = []
        if (wait := due - clock()) > 0:
            sleep(wait)
        batch.append(reading)
    if batch:
        yield batch


def _factor(speed: str | float) -> float:
    try:
        factor = float(speed)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise ConfigError(f'speed {speed!r}: write "max" or how many times real time, such as 60')
    return factor
