"""What an invocation says of itself: one line of counts when it ends, as JSON, in which Log Analytics can look.

The host gives every line of a log the id of its invocation, and knows how long each took and whether it failed.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from watchkeeper_adapters.cloud.observing import is_metric
from watchkeeper_adapters.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.records import Alert

log = logging.getLogger("watchkeeper.metrics")
of_alerts = logging.getLogger("watchkeeper.alerts")
LONGEST_TITLE = 200
CHATTY = ("azure", "uamqp", "httpx", "openai", "urllib3")


class Observation:
    """One invocation's; several may go on at once."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._lag = -1
        self.counts: Counter[str] = Counter()

    def lag(self, milliseconds: int) -> None:
        """How old the newest record of a partition was when it was taken."""
        self._lag = max(0, milliseconds, self._lag)

    def line(self) -> str:
        """What is said when it ends; empty: nothing was counted."""
        counts = {name: amount for name, amount in self.counts.items() if amount and is_metric(name)}
        if self._lag >= 0:
            counts["lag_ms"] = self._lag
        return msgspec.json.encode({"function": self._function, "counts": counts}).decode() if counts else ""


@contextlib.contextmanager
def observed(function: str) -> Iterator[Observation]:
    """An invocation, which says its counts however it ends."""
    observation = Observation(function)
    try:
        yield observation
    finally:
        if line := observation.line():
            log.info("%s", line)


def said_of(alert: Alert) -> str:
    """A new or changed alert as one line of JSON, by which rules of Azure Monitor tell action groups of severities."""
    told = {
        "alert": alert.id,
        "severity": alert.severity,
        "status": alert.status,
        "tenant": alert.tenant,
        "site": alert.site,
        "device": alert.device,
        "device_class": alert.device_class,
        "pages": alert.pages,
        "title": one_line(alert.title)[:LONGEST_TITLE],
    }
    return msgspec.json.encode(told).decode()


def quiet() -> None:
    """Let libraries say only what is wrong: Azure's tell of every request."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
