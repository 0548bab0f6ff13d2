"""The physics of a motor-driven centrifugal pump, in short form: from its openings and its voltage to what it does.

Sources: pump and system curves (H = H0 - k·Q² against static head + k·Q²), affinity laws (Q ~ n, H ~ n², P ~ n³) and
NPSH: I. Karassik et al., Pump Handbook, 4th ed., chapter 2. Slip of an induction motor at constant torque goes with
1/V²: A. E. Fitzgerald et al., Electric Machinery, chapter 6. Vibration levels: ISO 20816-1 (4.5 and 7.1 mm/s bound
zone C of medium machines). Pressures are absolute.
"""

from __future__ import annotations

import msgspec
import numpy as np

from watchkeeper_local.sources.faults import Stress
from watchkeeper_local.sources.reading import Floats

NOMINAL = {
    "flow": 120.0,  # m3/h
    "suction_pressure": 1.6,  # bar
    "discharge_pressure": 6.2,  # bar
    "motor_current": 42.0,  # A
    "motor_voltage": 400.0,  # V
    "vibration": 2.0,  # mm/s RMS
    "bearing_temperature": 58.0,  # degC
    "filter_dp": 0.25,  # bar
}
METRICS = tuple(NOMINAL)

# Bar, at nominal flow where a term goes with the square of the flow. They balance: 1.85 + 6.0 - 3.0 = 0.25 + 1.4 + 3.2.
FILTER_LOSS = NOMINAL["filter_dp"]
INLET = NOMINAL["suction_pressure"] + FILTER_LOSS
LIFT = NOMINAL["discharge_pressure"] - NOMINAL["suction_pressure"]
SHUT_OFF = 6.0
PUMP_LOSS = SHUT_OFF - LIFT
STATIC = 3.0
SYSTEM_LOSS = NOMINAL["discharge_pressure"] - STATIC

SLIP = 0.03
VAPOUR_PRESSURE = 0.023  # bar, water at 20 degC
METRES_PER_BAR = 1e5 / (998.0 * 9.81)
NPSH_ONSET = 7.5  # m, at nominal flow, goes with flow²
NPSH_SPAN = 1.2  # m from the first bubbles to full cavitation

CAVITATION_VIBRATION = 5.0  # mm/s
WEAR_VIBRATION = 7.0  # mm/s
WEAR_POWER = 0.06  # of the nominal shaft power


class Traits(msgspec.Struct, frozen=True):
    """How each pump differs from the nominal one: factors around 1, one per pump (`warmth` in kelvin around 0)."""

    size: Floats
    head: Floats
    fouling: Floats
    efficiency: Floats
    roughness: Floats
    warmth: Floats


class Operation(msgspec.Struct, frozen=True):
    """What the pumps do, moments × pumps: bar, m3/h, A, mm/s; `speed`, shaft `power`, `cavitation` are fractions."""

    flow: Floats
    suction: Floats
    discharge: Floats
    filter_dp: Floats
    current: Floats
    vibration: Floats
    speed: Floats
    power: Floats
    cavitation: Floats


def operate(traits: Traits, opening: Floats, supply: Floats, stress: Stress) -> Operation:
    """The operating point where pump curve and system curve meet.

    `opening` is the consumers' valve opening and `supply` the motor's voltage, both relative to nominal. The flow `q`
    is relative to nominal; the filter sits in the suction line, and a leak is an outlet in parallel with the consumers.
    """
    speed = (1.0 - SLIP / supply**2) / (1.0 - SLIP)
    inlet = INLET - stress.inlet_loss
    shut_off = SHUT_OFF * traits.head * speed**2
    filter_loss = FILTER_LOSS * traits.fouling * (1.0 + stress.blockage)
    system_loss = SYSTEM_LOSS / (opening + stress.leak) ** 2
    squared = np.maximum(inlet + shut_off - STATIC, 0.0) / (filter_loss + PUMP_LOSS + system_loss)
    available = (inlet - filter_loss * squared - VAPOUR_PRESSURE) * METRES_PER_BAR
    cavitation = np.clip((NPSH_ONSET * squared - available) / NPSH_SPAN, 0.0, 1.0)

    q = np.sqrt(squared) * (1.0 - 0.05 * cavitation)
    filter_dp = filter_loss * q**2
    lift = (shut_off - PUMP_LOSS * q**2) * (1.0 - 0.08 * cavitation)
    suction = inlet - filter_dp
    off_best = (q / speed - 1.0) ** 2
    efficiency = traits.efficiency * (1.0 - 0.8 * off_best) * (1.0 - 0.15 * cavitation)
    power = lift / LIFT * q / efficiency + WEAR_POWER * stress.wear
    return Operation(
        flow=NOMINAL["flow"] * traits.size * q,
        suction=suction,
        discharge=suction + lift,
        filter_dp=filter_dp,
        # Three-phase power at a constant power factor: I = P / (sqrt(3) V cos phi), here relative to nominal.
        current=NOMINAL["motor_current"] * traits.size * power / supply,
        vibration=NOMINAL["vibration"] * traits.roughness * (speed**2 + 0.8 * off_best)
        + CAVITATION_VIBRATION * cavitation
        + WEAR_VIBRATION * stress.wear,
        speed=speed,
        power=power,
        cavitation=cavitation,
    )
