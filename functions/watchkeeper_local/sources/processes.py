"""A random walk that comes back and a lag, discretised exactly: their spread does not depend on the step.

`dt` holds the seconds since the moment before, one per row; a path has one row per moment and one column per device.
"""

from __future__ import annotations

import numpy as np

from watchkeeper_local.sources.reading import Floats


def wander(state: Floats, draws: Floats, dt: Floats, sigma: float, tau_s: float) -> tuple[Floats, Floats]:
    """An Ornstein-Uhlenbeck process of spread `sigma` and memory `tau_s` from normal `draws`: its path and last state.

    Source: D. Gillespie, Exact numerical simulation of the Ornstein-Uhlenbeck process, Phys. Rev. E 54 (1996).
    """
    keep = np.exp(-dt / tau_s)[:, None]
    kicks = sigma * np.sqrt(1.0 - keep**2) * draws
    path = np.empty_like(kicks)
    for row in range(len(dt)):
        state = keep[row] * state + kicks[row]
        path[row] = state
    return path, state


def lag(state: Floats | None, target: Floats, dt: Floats, tau_s: float) -> tuple[Floats, Floats]:
    """A first-order lag of `tau_s` seconds towards a moving target: path and last state; it starts settled."""
    now = target[0] if state is None else state
    keep = np.exp(-dt / tau_s)
    path = np.empty_like(target)
    for row in range(len(dt)):
        now = target[row] + keep[row] * (now - target[row])
        path[row] = now
    return path, now
