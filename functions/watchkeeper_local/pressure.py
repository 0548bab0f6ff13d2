"""How much waits for the pipeline, and who should therefore send no more for now."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_local.node import CONSUMERS

if TYPE_CHECKING:
    from watchkeeper_local.sqlite import SqlitePorts

MOST_PACKS = 256  # of a topic that may wait before uploads and files do: live readings queue up behind no more
LOOK_S = 0.25


class Pressure:
    """The lag of the pipeline, looked at four times a second at most."""

    def __init__(self, ports: SqlitePorts) -> None:
        """For any number of threads."""
        self._ports = ports
        self._lock = threading.Lock()
        self._looked = 0.0
        self._raw = self._packs = 0

    def bulk_waits(self) -> bool:
        """Should uploads and files wait?"""
        self._look()
        return self._packs > MOST_PACKS

    def raw(self) -> int:
        """Messages of devices that wait to be understood."""
        self._look()
        return self._raw

    def _look(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked < LOOK_S:
                return
            lag = self._ports.lag(CONSUMERS)
            raw = [count for (_, topic), count in lag.items() if topic == DEVICE_TELEMETRY.name]
            self._raw = max(raw, default=0)
            self._packs = max((count for (_, topic), count in lag.items() if topic != DEVICE_TELEMETRY.name), default=0)
            self._looked = time.monotonic()
