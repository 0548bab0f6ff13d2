"""One device's alarm: how surprising its readings are for it, and when an episode opens, goes on and clears."""

import math
from typing import Literal

import msgspec

from watchkeeper.detection.config import DetectorConfig

Phase = Literal["open", "update", "clear"]

USUAL_SHARE = 0.05
"""Share of a device's loads above its bar."""
FIRST_BAR, FIRST_EXCESS = 2.0, 2.0
LEAST_BAR, LEAST_EXCESS = 1.0, 1.0
PRIOR, MEMORY = 20, 200
MOST_EXCESS = 6.0
STEP = 0.05
WORTH, USUAL_READINGS = 0.8, 1000
CAUTION = 30.0
"""Readings at which half of a surprise is believed."""
NEVER = -(2**63)


class DeviceState(msgspec.Struct, array_like=True):
    """All that is kept of a device beyond its series."""

    last_ts: int = NEVER
    late: int = 0
    readings: int = 0
    forest: float = 0.0
    held: float = 0.0
    calm: int = 2**31
    is_open: bool = False
    opened_ts: int = 0
    edge_ts: int = 0
    since_edge: int = 0
    length: int = 0
    quiet: int = 0
    quiet_ts: int = 0
    peak: float = 0.0
    bar: float = FIRST_BAR
    excess: float = FIRST_EXCESS
    usual: float = 0.0
    exceeded: int = 0

    def is_late(self, ts: int, config: DetectorConfig) -> bool:
        """Whether a reading is out of order; a clock that stays behind is believed in the end."""
        if ts >= self.last_ts or self.late + 1 >= config.late_readings:
            self.last_ts, self.late = ts, 0
            return False
        self.late += 1
        return True

    def surprise(self, load: float, strength: float) -> float:
        """Nats: -log of the chance of such a load for this device; `strength` bounds it by what is great in itself.

        Peaks over threshold with an exponential tail (Siffer et al., Anomaly Detection in Streams with Extreme Value
        Theory, KDD 2017, with gamma = 0): P(load > bar + e) = USUAL_SHARE * exp(-e / mean excess).
        """
        over = (load - self.bar) / self.excess if load > self.bar else 0.0
        tail = over - math.log(USUAL_SHARE)
        # A quiet device's tail is short: what is little in itself stays little.
        worth = WORTH * (strength - self.usual)
        return max(0.0, min(tail, worth)) * self.readings / (self.readings + CAUTION)

    def advance(self, ts: int, load: float, strength: float, surprise: float, config: DetectorConfig) -> Phase | None:
        """Take one reading in order; the edge it makes, if any."""
        self.readings += 1
        if not self.is_open or self.length > 4 * config.relearn_readings:
            self._learn(load, strength)
        if self.is_warming(config):
            return None
        if not self.is_open:
            return self._watch(ts, surprise, config)
        return self._follow(ts, surprise, config)

    def is_warming(self, config: DetectorConfig) -> bool:
        """Whether the device's loads are too few to rank one: the second half of warming up."""
        return self.readings <= config.warm_readings // 2

    def confidence(self, config: DetectorConfig) -> float:
        """0..1: grows with the peak of the episode and with the history it is judged by."""
        strength = 1.0 - math.exp(-1.5 * self.peak / config.open_surprise)
        return strength * self.readings / (self.readings + 200.0)

    def _watch(self, ts: int, surprise: float, config: DetectorConfig) -> Phase | None:
        self.calm = min(self.calm + 1, 2**31)
        bar = config.open_surprise
        if self.calm <= config.refractory_readings:
            bar *= config.refractory_factor
        # Half a step back, not a reset: metrics that travel in separate readings take turns.
        self.held = self.held + 1.0 if surprise >= bar else max(self.held - 0.5, 0.0)
        self.peak = max(surprise, self.peak) if self.held else 0.0
        if self.held < config.hold_readings:
            return None
        self.is_open, self.held = True, 0.0
        self.opened_ts = self.edge_ts = self.quiet_ts = ts
        self.length = self.since_edge = 1
        self.quiet = 0
        return "open"

    def _follow(self, ts: int, surprise: float, config: DetectorConfig) -> Phase | None:
        self.length += 1
        self.since_edge += 1
        self.peak = max(surprise, self.peak)
        if surprise < config.clear_surprise:
            if not self.quiet:
                self.quiet_ts = ts
            self.quiet += 1
            if self.quiet >= config.quiet_readings and ts - self.quiet_ts >= config.quiet_ms:
                self.is_open, self.calm, self.edge_ts = False, 0, ts
                return "clear"
            return None
        self.quiet = 0
        if ts - self.edge_ts < config.update_ms:
            return None
        self.edge_ts = ts
        return "update"

    def _learn(self, load: float, strength: float) -> None:
        self.usual += (strength - self.usual) / min(self.readings, USUAL_READINGS)
        over = load > self.bar
        if over:
            self.exceeded = min(self.exceeded + 1, MEMORY)
            excess = min(load - self.bar, MOST_EXCESS * self.excess)
            self.excess = max(self.excess + (excess - self.excess) / (PRIOR + self.exceeded), LEAST_EXCESS)
        step = max(STEP, 1.0 / (1.0 + 0.1 * self.readings))
        self.bar = max(self.bar + step * self.excess * (over - USUAL_SHARE), LEAST_BAR)
