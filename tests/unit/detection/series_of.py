"""Series for the detector's tests: well-behaved noise and faults put on it."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
START = 1_700_000_000_000


def times(n: int, step_ms: int = 1000) -> I64:
    return START + np.arange(n, dtype=np.int64) * step_ms


def noise(kind: str, n: int, seed: int = 0) -> F64:
    rng = np.random.default_rng(seed)
    gauss = rng.standard_normal(n)
    if kind == "gaussian":
        return 50.0 + gauss
    if kind == "heavy-tailed":
        return rng.standard_t(4, n)
    if kind == "seasonal":
        return 20.0 + 5.0 * np.sin(2.0 * np.pi * np.arange(n) / 288.0) + gauss
    if kind == "drifting":
        return np.cumsum(0.05 * rng.standard_normal(n)) + gauss
    if kind == "correlated":
        out = np.zeros(n)
        for i in range(1, n):
            out[i] = 0.9 * out[i - 1] + gauss[i]
        return out
    raise ValueError(kind)


def pump(n: int, seed: int = 0) -> F64:
    """Eight sensors (n, 8), coupled by the load they all follow."""
    rng = np.random.default_rng(seed)
    load = np.zeros(n)
    for i in range(1, n):
        load[i] = 0.98 * load[i - 1] + 0.05 * rng.standard_normal()
    load += 0.3 * rng.standard_normal(n)
    gain = np.array([2.0, 0.3, 1.0, 0.5, 0.2, 0.05, 4.0, 0.5])
    base = np.array([120.0, 4.2, 18.0, 9.0, 61.0, 2.1, 1480.0, 70.0])
    spread = np.array([1.0, 0.05, 0.2, 0.1, 0.1, 0.08, 2.0, 0.5])
    return base + load[:, None] * gain + spread * rng.standard_normal((n, 8))


SENSORS = ("flow", "pressure", "current", "power", "temperature", "vibration", "speed", "sound")
