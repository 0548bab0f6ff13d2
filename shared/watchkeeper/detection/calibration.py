"""What a device's bar is made of, for people: how far its history has set it, and what its class adds."""

from __future__ import annotations

import msgspec
import numpy as np

from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.episode import bar_at, frequency, joint_bar_at, line_of
from watchkeeper.detection.series import INDEX
from watchkeeper.detection.state import DetectorState


class Calibrated(msgspec.Struct, frozen=True):
    """Of one device: readings learnt from, and whether it still warms up; `interval_ms`: how often it is heard.

    bar, joint_bar  nats at which one metric, and all together, open an episode, the class' factor included; they are
                    the share `raised` higher for a while after an episode
    metrics         those that are scored
    """

    readings: int
    warming: bool
    interval_ms: float
    bar: float
    joint_bar: float
    raised: float
    is_open: bool
    metrics: tuple[str, ...]


def calibrated(
    state: DetectorState, name: str, factor: float = 1.0, config: DetectorConfig = DEFAULT
) -> Calibrated | None:
    """The device called `name` (tenant, NUL, device), under the factor of its class. None: it has not been scored."""
    row = state.rows.get(name)
    if row is None:
        return None
    devices, slots = state.devices[row : row + 1], state.slots[row]
    often = frequency(devices)
    known = state.series["fields"][list(slots.values()), INDEX["n"]].max(initial=0.0)
    bar = bar_at(line_of(devices, np.array([known], np.float32), config), often, config)
    device = devices[0]
    return Calibrated(
        readings=int(device["readings"]),
        warming=bool(device["readings"] <= config.warm_readings),
        interval_ms=float(device["interval"]),
        bar=float(bar[0]) * factor,
        joint_bar=float(joint_bar_at(often, config)[0]) * factor,
        raised=float(device["raised"]),
        is_open=bool(device["is_open"] > 0),
        metrics=tuple(sorted(slots)),
    )
