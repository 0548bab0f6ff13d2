"""The alarms of devices: when an episode opens, goes on and clears, for a reading of each of many devices at once."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.config import DetectorConfig
from watchkeeper.detection.series import F32, I64, Bools

Phase = Literal["open", "update", "clear"]
PHASES: tuple[Phase | None, ...] = (None, "open", "update", "clear")
CAUTION = np.float32(30.0)
"""Readings at which half of a surprise is believed."""
BLOCKS = np.float32(32.0)
"""Blocks of readings that the usual greatest surprise is remembered over."""
GAP, FORGET = 10.0, 1e-3
"""A pause longer than GAP usual intervals is a gap; each interval missed takes this share of what is known."""


def in_order(devices: NDArray[np.void], ts: I64, config: DetectorConfig) -> Bools:
    """Whether each device's reading is not older than its last; a clock that stays behind is believed in the end."""
    ordered: Bools = (ts >= devices["last_ts"]) | (devices["late"] + 1 >= config.late_readings)
    late = devices["late"]
    late += 1.0
    late[ordered] = 0.0
    _pass_time(devices, ts, ordered)
    devices["last_ts"] = np.where(ordered, ts, devices["last_ts"])
    return ordered


def believed(devices: NDArray[np.void], nats: F32) -> F32:
    """Surprises as far as the device's history bears them out."""
    readings = devices["readings"]
    return np.asarray(nats * (readings / (readings + CAUTION)), np.float32)


def bar_of(devices: NDArray[np.void], config: DetectorConfig) -> F32:
    """Nats at which an episode of each device opens now."""
    raised = np.float32(config.open_surprise) * (1.0 + devices["raised"])
    return np.asarray(np.maximum(raised, np.float32(config.usual_worth) * devices["usual_peak"]), np.float32)


def advance(
    devices: NDArray[np.void], ts: I64, surprise: F32, bar: F32, measured: Bools, config: DetectorConfig
) -> I64:
    """Take a reading of each device, in order; the edge each makes, as an index into PHASES."""
    readings, raised, since_edge, quiet = (devices[name] for name in ("readings", "raised", "since_edge", "quiet"))
    readings += measured
    devices["known"] += measured
    was_open = devices["is_open"] > 0
    warm = measured & (readings > config.warm_readings)
    raised -= warm * raised * np.float32(1.0 / config.raised_readings)
    edge = np.zeros(ts.size, np.int64)
    opening = warm & ~was_open & (surprise >= bar)
    if opening.any():
        edge[opening] = 1
        for name in ("opened_ts", "edge_ts", "quiet_ts"):
            devices[name][opening] = ts[opening]
        devices["is_open"][opening] = since_edge[opening] = 1.0
        quiet[opening] = devices["peak"][opening] = 0.0
        raised[opening] += np.float32(config.raised_by)
    going = measured & was_open
    if going.any():
        since_edge += going
        calm = going & (surprise < np.float32(config.clear_share) * bar)
        quiet_ts, edge_ts = devices["quiet_ts"], devices["edge_ts"]
        starting = calm & (quiet == 0)
        quiet_ts[starting] = ts[starting]
        quiet += calm
        quiet[going & ~calm] = 0.0
        clearing = calm & (quiet >= config.quiet_readings) & (ts - quiet_ts >= config.quiet_ms)
        edge[going & ~calm & (ts - edge_ts >= config.update_ms)] = 2
        edge[clearing] = 3
        edge_ts[edge > 0] = ts[edge > 0]
        devices["is_open"][clearing] = 0.0
    peak = devices["peak"]
    np.maximum(peak, surprise, out=peak, where=measured)
    _note(devices, surprise, measured, config)
    return edge


def _note(devices: NDArray[np.void], surprise: F32, measured: Bools, config: DetectorConfig) -> None:
    """Learn the usual greatest surprise of a block of readings."""
    greatest, count = devices["block_peak"], devices["block_n"]
    np.maximum(greatest, np.minimum(surprise, config.usual_most * config.open_surprise), out=greatest, where=measured)
    count += measured
    full = np.flatnonzero(count >= config.block_readings)
    if full.size:
        usual, blocks = devices["usual_peak"], devices["blocks"]
        blocks[full] = np.minimum(blocks[full] + 1.0, BLOCKS)
        usual[full] += (greatest[full] - usual[full]) / blocks[full]
        greatest[full] = count[full] = 0.0


def confidence(devices: NDArray[np.void], config: DetectorConfig) -> F32:
    """0..1: grows with the peak of the episode and with the history it is judged by; falls with gaps in it."""
    strength = 1.0 - np.exp(-1.5 * devices["peak"] / config.open_surprise)
    return np.asarray(strength * devices["known"] / (devices["known"] + 200.0), np.float32)


def _pass_time(devices: NDArray[np.void], ts: I64, ordered: Bools) -> None:
    """Learn the usual interval; what was known fades with what was missed."""
    interval, known = devices["interval"], devices["known"]
    passed = np.where(ordered & (devices["last_ts"] >= 0), ts - devices["last_ts"], 0).astype(np.float32)
    passed = np.maximum(passed, 0.0)
    told = interval > 0
    longest = GAP * interval
    gap = told & (passed > longest)
    if gap.any():
        missed = np.minimum(passed[gap] / np.maximum(interval[gap], 1.0), 1e5)
        known[gap] *= np.exp(-FORGET * missed)
    usual = np.where(told, np.minimum(passed, longest), passed)
    interval += (usual - interval) * np.where(told, np.float32(0.05), np.float32(1.0))
