"""Labelled faults of pumps: what each does to the physics, and a plan that spreads them over a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np

from watchkeeper_local.sources.reading import Floats, Millis


class FaultKind(StrEnum):
    """The faults that can be injected: six of pumps, and a burst of load on a host."""

    POWER_DIP = "power_dip"
    BLOCKED_FILTER = "blocked_filter"
    LEAK = "leak"
    CAVITATION = "cavitation"
    BEARING_WEAR = "bearing_wear"
    SENSOR_STUCK = "sensor_stuck"
    LOAD_BURST = "load_burst"


# The quickest to be seen come first: a window too short for all of them gets those.
ALL = tuple(kind for kind in FaultKind if kind is not FaultKind.LOAD_BURST)

RUNBOOKS = {
    FaultKind.POWER_DIP: "power-dip.md",
    FaultKind.BLOCKED_FILTER: "blocked-filter.md",
    FaultKind.LEAK: "pump-pressure-loss.md",
    FaultKind.CAVITATION: "pump-cavitation.md",
    FaultKind.BEARING_WEAR: "pump-bearing-wear.md",
    FaultKind.SENSOR_STUCK: "sensor-stuck.md",
    FaultKind.LOAD_BURST: "host-cpu-saturation.md",
}

# The share of its duration in which a fault grows to full strength: a dip and a dead sensor are sudden, wear is not.
RAMP_SHARE = {
    FaultKind.BLOCKED_FILTER: 0.2,
    FaultKind.LEAK: 0.1,
    FaultKind.CAVITATION: 0.15,
    FaultKind.BEARING_WEAR: 0.3,
}

# Metrics whose noise is several resolutions wide, so that a frozen value cannot be mistaken for a calm one.
FREEZABLE = ("flow", "discharge_pressure", "motor_current", "vibration")

SECONDS_PER_FAULT = 7.0
SHORTEST_S, LONGEST_S, LONGEST_DIP_S = 5.0, 90.0, 15.0


class Fault(msgspec.Struct, frozen=True):
    """One injected fault: when (epoch ms, the end not included), on which device, and the runbook that explains it.

    `ramp_ms` is the time in which it grows from nothing to full strength; `metric` is the sensor that freezes, for
    `sensor_stuck` only.
    """

    kind: FaultKind
    device: str
    start_ms: int
    end_ms: int
    expected_runbook: str
    ramp_ms: int = 0
    metric: str | None = None

    def active(self, ts: Millis) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """For each moment, whether the fault is present."""
        return (ts >= self.start_ms) & (ts < self.end_ms)

    def severity(self, ts: Millis) -> Floats:
        """For each moment, its strength from 0 to 1: a linear ramp, then full until the end, when it is repaired."""
        grown = (ts - self.start_ms + 1) / max(self.ramp_ms, 1)
        return np.where(self.active(ts), np.clip(grown, 0.0, 1.0), 0.0)


def make_fault(kind: FaultKind, device: str, start_ms: int, end_ms: int, metric: str | None = None) -> Fault:
    """A fault with the ramp and the runbook of its kind; a stuck sensor must say which `metric` freezes."""
    if (kind is FaultKind.SENSOR_STUCK) != (metric is not None):
        raise ValueError(f"{kind} on {device}: a metric belongs to {FaultKind.SENSOR_STUCK}, and only to it")
    ramp = int(RAMP_SHARE.get(kind, 0.0) * (end_ms - start_ms))
    return Fault(kind, device, start_ms, end_ms, RUNBOOKS[kind], ramp, metric)


class Stress(msgspec.Struct, frozen=True):
    """What faults do to the physics; each field is moments × devices, zero where nothing is wrong.

    `blockage`: added filter resistance in multiples of a clean one; `leak`: added outlet opening as a fraction of the
    nominal; `inlet_loss`: bar lost before the filter; `wear`: bearing wear from 0 to 1; `voltage_loss`: lost fraction.
    """

    blockage: Floats
    leak: Floats
    inlet_loss: Floats
    wear: Floats
    voltage_loss: Floats


# Full strength. 60 % residual voltage is a dip class of IEC 61000-4-11 (70 % and 40 % are its neighbours).
FULL_STRESS = {
    FaultKind.BLOCKED_FILTER: ("blockage", 3.5),
    FaultKind.LEAK: ("leak", 0.45),
    FaultKind.CAVITATION: ("inlet_loss", 1.3),
    FaultKind.BEARING_WEAR: ("wear", 1.0),
    FaultKind.POWER_DIP: ("voltage_loss", 0.4),
}


def stress(faults: Sequence[Fault], devices: Sequence[str], ts: Millis) -> Stress:
    """The stress that `faults` put on `devices` at the moments `ts`; faults of other devices are passed over."""
    fields = {name: np.zeros((len(ts), len(devices))) for name in Stress.__struct_fields__}
    column = {device: index for index, device in enumerate(devices)}
    for fault in faults:
        if fault.kind in FULL_STRESS and fault.device in column:
            name, amount = FULL_STRESS[fault.kind]
            fields[name][:, column[fault.device]] += amount * fault.severity(ts)
    return Stress(**fields)


def plan_faults(
    devices: Sequence[str], start_ms: int, end_ms: int, seed: int, kinds: Sequence[FaultKind] = ALL
) -> tuple[Fault, ...]:
    """One fault of each of `kinds` on pumps of their own, between a quiet lead-in and a quiet end, ordered by start.

    There are as many as the window and the pumps allow, and at least one: all six from about 55 s on. Each lasts a
    fifth to two fifths of the window, between 5 and 90 s, a power dip 15 s at most. Equal arguments give an equal plan.
    """
    if end_ms <= start_ms or not devices or not kinds:
        raise ValueError(f"no fault fits: {len(devices)} devices, {len(kinds)} kinds, window {start_ms} to {end_ms}")
    rng = np.random.default_rng(seed)
    window = (end_ms - start_ms) / 1000
    lead_in = min(max(0.15 * window, 2.0), 60.0, window / 3)
    usable = window - lead_in - min(0.06 * window, 10.0)
    count = max(1, min(len(kinds), len(devices), int(usable / SECONDS_PER_FAULT)))
    pumps = rng.permutation(len(devices))[:count].tolist()
    chosen = [kinds[index] for index in rng.permutation(count)]
    planned = []
    for place, (kind, pump) in enumerate(zip(chosen, pumps, strict=True)):
        longest = LONGEST_DIP_S if kind is FaultKind.POWER_DIP else LONGEST_S
        lasts = min(float(np.clip(rng.uniform(0.2, 0.4) * window, SHORTEST_S, longest)), usable)
        begin = lead_in + (usable - lasts) * place / max(count - 1, 1)
        first = start_ms + int(begin * 1000)
        metric = str(rng.choice(FREEZABLE)) if kind is FaultKind.SENSOR_STUCK else None
        planned.append(make_fault(kind, devices[pump], first, first + int(lasts * 1000), metric))
    return tuple(sorted(planned, key=lambda fault: fault.start_ms))
