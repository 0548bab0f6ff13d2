"""A simulated fleet of pumps whose sensors are coupled by physics, for histories and for live readings.

The same count, seed, faults and moments give the same bytes: there is no clock here and no global randomness.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from watchkeeper_local.sources.faults import Fault, stress
from watchkeeper_local.sources.hydraulics import METRICS, NOMINAL, Operation, Traits, operate
from watchkeeper_local.sources.processes import lag, wander
from watchkeeper_local.sources.reading import Columns, Floats, Millis, SourceReading, moments

DAY_S = 86_400.0
DEMAND_SWING, DEMAND_WANDER, DEMAND_TAU_S = 0.04, 0.012, 7_200.0
GRID_WANDER, GRID_TAU_S = 0.003, 600.0
AMBIENT, AMBIENT_SWING, AMBIENT_WANDER, AMBIENT_TAU_S = 20.0, 3.0, 0.5, 7_200.0  # degC

# Bearing: ambient + load heat + friction heat = 58 degC. The housing is slow; the ring under the sensor is quick.
LOAD_HEAT, HOUSING_TAU_S = 26.0, 900.0
FRICTION_HEAT, WEAR_HEAT, RING_TAU_S = 12.0, 50.0, 30.0

# Standard deviation of a sensor's own noise, what flow turbulence adds to it (shared, so the sensors of one pump move
# together), and its resolution: each in the metric's unit. Noise is wider than the resolution, as on real instruments.
SENSORS = {
    "flow": (0.45, 0.6, 0.05),
    "suction_pressure": (0.006, -0.006, 0.002),
    "discharge_pressure": (0.012, -0.012, 0.005),
    "motor_current": (0.2, 0.2, 0.05),
    "motor_voltage": (0.8, 0.0, 0.1),
    "vibration": (0.05, 0.02, 0.01),
    "bearing_temperature": (0.12, 0.0, 0.05),
    "filter_dp": (0.003, 0.003, 0.001),
}
# What full cavitation adds to the noise: bubbles collapse irregularly, so flow and pressure do not hold.
UNSTEADY = {"flow": 6.0, "suction_pressure": 0.05, "discharge_pressure": 0.35, "vibration": 0.6}

OF_SITE = 2  # random draws a moment for grid and ambient, then OF_PUMP for each pump
OF_PUMP = 3 + len(METRICS)  # demand, turbulence, bubbles, and every sensor's own


class Fleet:
    """`count` pumps `pump-01`, `pump-02`, … of one site, moving through time by `history` and `step`."""

    def __init__(self, count: int, seed: int, site: str = "north", faults: Iterable[Fault] = ()) -> None:
        """Pumps with a spread of their own, at rest in their stationary state; time starts with the first call."""
        if count < 1:
            raise ValueError(f"a fleet of {count} pumps: at least one")
        width = max(2, len(str(count)))
        self.devices = tuple(f"pump-{number:0{width}d}" for number in range(1, count + 1))
        self.site = site
        self.tags = {"class": "pump"}
        self._rng = np.random.default_rng(seed)
        spread = self._rng.standard_normal((7, count))
        self._traits = Traits(
            size=1.0 + 0.03 * spread[0],
            head=1.0 + 0.01 * spread[1],
            fouling=1.0 + 0.05 * np.clip(spread[2], -3.0, 3.0),
            efficiency=1.0 + 0.02 * spread[3],
            roughness=1.0 + 0.08 * np.clip(spread[4], -3.0, 3.0),
            warmth=1.5 * spread[5],
        )
        self._phase_s = 1_800.0 * spread[6]
        self._demand = DEMAND_WANDER * self._rng.standard_normal(count)
        self._grid, self._ambient = np.zeros(1), np.zeros(1)
        self._housing: Floats | None = None
        self._ring: Floats | None = None
        self._now: int | None = None
        self._faults: tuple[Fault, ...] = ()
        self._held: dict[Fault, float] = {}
        self._last: dict[str, Floats] = {}
        self.inject(faults)

    def inject(self, faults: Iterable[Fault]) -> None:
        """Add faults; ValueError for a device or a metric that the fleet does not have."""
        added = tuple(faults)
        for fault in added:
            if fault.device not in self.devices:
                raise ValueError(
                    f"{fault.kind} on {fault.device}: the fleet has {self.devices[0]} to {self.devices[-1]}"
                )
            if fault.metric is not None and fault.metric not in METRICS:
                raise ValueError(
                    f"{fault.kind} on {fault.device}: no metric {fault.metric!r}, only {', '.join(METRICS)}"
                )
        self._faults += added

    def history(self, start_ms: int, end_ms: int, step_ms: int) -> Columns:
        """Every pump every `step_ms` from `start_ms` up to, not including, `end_ms`."""
        return self._advance(moments(start_ms, end_ms, step_ms))

    def step(self, ts: int) -> list[SourceReading]:
        """One reading of every pump at `ts` (epoch ms), which must be later than all before."""
        return list(self._advance(np.array([ts], dtype=np.int64)).readings())

    def _advance(self, ts: Millis) -> Columns:
        if self._now is not None and ts[0] <= self._now:
            raise ValueError(f"time runs forward: {int(ts[0])} is not after {self._now}")
        dt = np.diff(ts, prepend=ts[0] if self._now is None else self._now) / 1000
        draws = self._rng.standard_normal((len(ts), OF_SITE + OF_PUMP * len(self.devices)))
        of_pump = draws[:, OF_SITE:].reshape(len(ts), OF_PUMP, len(self.devices))

        drifting, self._demand = wander(self._demand, of_pump[:, 0], dt, DEMAND_WANDER, DEMAND_TAU_S)
        grid, self._grid = wander(self._grid, draws[:, :1], dt, GRID_WANDER, GRID_TAU_S)
        drift, self._ambient = wander(self._ambient, draws[:, 1:OF_SITE], dt, AMBIENT_WANDER, AMBIENT_TAU_S)
        day = 2 * np.pi * (ts[:, None] / 1000 % DAY_S) / DAY_S
        opening = 1.0 + DEMAND_SWING * np.sin(day - 2 * np.pi * (DAY_S / 4 + self._phase_s) / DAY_S) + drifting
        ambient = AMBIENT + AMBIENT_SWING * np.sin(day - 2.4) + drift

        strain = stress(self._faults, self.devices, ts)
        supply = (1.0 + grid) * (1.0 - strain.voltage_loss)
        doing = operate(self._traits, opening, supply, strain)
        warm = ambient + self._traits.warmth + LOAD_HEAT * doing.power
        housing, self._housing = lag(self._housing, warm, dt, HOUSING_TAU_S)
        friction = FRICTION_HEAT * doing.speed + WEAR_HEAT * strain.wear
        ring, self._ring = lag(self._ring, friction, dt, RING_TAU_S)

        values = _sensed(doing, supply, housing + ring, of_pump)
        self._freeze(values, ts)
        self._last = {name: column[-1].copy() for name, column in values.items()}
        self._now = int(ts[-1])
        return Columns(self.devices, ts, values, self.tags, self.site)

    def _freeze(self, values: dict[str, Floats], ts: Millis) -> None:
        """Hold each stuck sensor at what it last said before it stuck."""
        for fault in self._faults:
            stuck = fault.active(ts)
            if fault.metric is None or not stuck.any():
                continue
            pump = self.devices.index(fault.device)
            column = values[fault.metric][:, pump]
            first = int(np.argmax(stuck))
            if fault not in self._held:
                before = self._last[fault.metric][pump] if self._last and first == 0 else column[max(first - 1, 0)]
                self._held[fault] = float(before)
            column[stuck] = self._held[fault]


def _sensed(doing: Operation, supply: Floats, bearing: Floats, of_pump: Floats) -> dict[str, Floats]:
    """What the sensors say: the truth, their noise (own, shared, and from bubbles), at their resolution."""
    truth = {
        "flow": doing.flow,
        "suction_pressure": doing.suction,
        "discharge_pressure": doing.discharge,
        "motor_current": doing.current,
        "motor_voltage": NOMINAL["motor_voltage"] * supply,
        "vibration": doing.vibration,
        "bearing_temperature": bearing,
        "filter_dp": doing.filter_dp,
    }
    values = {}
    for number, name in enumerate(METRICS):
        own, shared, resolution = SENSORS[name]
        noise = own * of_pump[:, 3 + number] + shared * of_pump[:, 1]
        noise = noise + UNSTEADY.get(name, 0.0) * doing.cavitation * of_pump[:, 2]
        steps = np.round(np.maximum(truth[name] + noise, 0.0) / resolution)
        values[name] = np.round(steps * resolution, 4)
    return values
