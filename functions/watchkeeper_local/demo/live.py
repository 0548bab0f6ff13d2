"""The live part of the demo: pumps by MQTT, this machine by HTTP, with labelled faults and a fleet's usual slips."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from watchkeeper_local.node import clock
from watchkeeper_local.sources.faults import Fault, plan_faults
from watchkeeper_local.sources.fleet import Fleet
from watchkeeper_local.sources.host import HostSampler, LoadBurst
from watchkeeper_local.sources.send import open_sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper_local.sources.reading import SourceReading

STEP_S = 1.0
BURST_AT, BURST_SHARE, LONGEST_BURST_S = 0.3, 0.35, 25.0
REPEAT_EVERY = 10  # every so-manieth step, a pump's reading is sent twice, as devices do that miss an acknowledgement


class Live:
    """The devices of the demo. `run` sends their readings for as long as the live part lasts, in real time."""

    def __init__(self, http: str, mqtt: str, pumps: int, seconds: int, seed: int) -> None:
        """Nothing is sent yet; the fleet is the same for the same seed."""
        self.http, self.mqtt, self.seconds, self.seed = http, mqtt, seconds, seed
        self.fleet = Fleet(pumps, seed)
        self.host = HostSampler()
        self.faults: tuple[Fault, ...] = ()

    def run(self, show: Callable[[], None]) -> None:
        """Send a second's readings each second; `show` is called after each."""
        begin = clock()
        end = begin + self.seconds * 1000
        pump_faults = plan_faults(self.fleet.devices, begin, end, self.seed)
        self.fleet.inject(pump_faults)
        burst = LoadBurst(min(self.seconds * BURST_SHARE, LONGEST_BURST_S))
        burst_at = begin + round(self.seconds * 1000 * BURST_AT)
        labelled = burst.label(self.host.device, burst_at)
        self.faults = (*pump_faults, labelled)
        with open_sender(self.mqtt) as pumps, open_sender(self.http) as host, contextlib.ExitStack() as exits:
            step, running = 0, False
            while (now := clock()) < end:
                if now >= burst_at and not running:
                    running = True
                    exits.enter_context(burst)
                readings = self.fleet.step(now)
                if step % REPEAT_EVERY == 0:
                    readings.append(readings[0])
                pumps.send(readings)
                host.send([self.host.sample(now)])
                if step == 1:
                    self._poison(now)
                show()
                step += 1
                time.sleep(max(0.0, (begin + step * STEP_S * 1000 - clock()) / 1000))

    def _poison(self, now: int) -> None:
        """One reading that no stage can take: it must end among the dead letters, and cost its neighbours nothing."""
        broken: SourceReading = {"device": self.fleet.devices[0], "ts": now, "values": {}}
        with open_sender(self.mqtt) as sender:
            sender.send([broken])
