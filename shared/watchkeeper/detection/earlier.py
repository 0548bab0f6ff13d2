"""Reading the detector's state of format 1, which kept a float64 per field: what has a successor is carried over.

Carried over: each series' readings, levels, spreads, daily profile, repeats, and the counts of its residuals and
shifts; each device's clock, readings and open episode. Learnt anew, from priors: the joint distance of a device's
metrics, which format 1 did not know, and how often a series is louder or quieter than usual. Of a device with more
metrics than are scored now, the first by name are kept.
"""

import logging
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.devices import fresh_devices
from watchkeeper.detection.second import INDEX_2, fresh_2
from watchkeeper.detection.series import BINS, EDGES, F64, HOURS, I64, UNKNOWN, to_bfloat

log = logging.getLogger(__name__)
MOST_METRICS = 64
_FIELDS = (
    "n", "last", "fast", "slow", "spread", "short", "drift", "drift_spread", "vol", "vol_spread", "outside", "wild",
    "step", "changes", "repeats", "longest", "repeating", "smoothed", "gain", "hour", "hour_n", "hour_mean",
    "prev_hour", "prev_mean", "plain_error", "season_error", "origin", "middle",
)  # fmt: skip
_KEPT = (
    "n", "spread", "step", "changes", "repeats", "longest", "short", "vol", "vol_spread", "gain", "hour_n",
    "plain_error", "season_error", "middle", "repeating",
)  # fmt: skip
_LEVELS = {
    "fast": "fast", "near": "fast", "wide": "slow", "slow": "slow", "smooth": "fast", "centre": "slow",
    "hour_mean": "hour_mean", "prev_mean": "prev_mean", "origin": "origin",
}  # fmt: skip
_EDGES: F64 = np.concatenate(([0.0], 2.0 ** np.linspace(0.0, 6.0, 16), [np.inf]))
_MOST = 1e17


class _Device(msgspec.Struct, array_like=True):
    last_ts: int
    late: int
    readings: int
    forest: float
    held: float
    calm: int
    is_open: bool
    opened_ts: int
    edge_ts: int
    since_edge: int
    length: int
    quiet: int
    quiet_ts: int
    peak: float
    bar: float
    excess: float
    usual: float
    exceeded: int


class _Stored(msgspec.Struct, array_like=True):
    names: list[str]
    devices: list[_Device]
    metrics: list[str]
    owner: bytes
    metric: bytes
    arrays: Annotated[list[bytes], msgspec.Meta(min_length=4, max_length=4)]


def upgrade(content: Any) -> list[Any]:  # noqa: ANN401 - as a decoder without types gives it
    """The content of a state of format 1 as that of format 2; ValueError or TypeError: it is none."""
    stored = msgspec.convert(content, _Stored)
    owner = _index(stored.owner, len(stored.names))
    metric = _index(stored.metric, len(stored.metrics))
    if not len(stored.names) == len(stored.devices) == len(set(stored.names)) or owner.size != metric.size:
        raise ValueError("names, devices and series do not match")
    size = owner.size
    num = np.frombuffer(stored.arrays[0], "<f8").reshape(len(_FIELDS), size)
    profile = np.frombuffer(stored.arrays[1], "<f4").reshape(size, HOURS)
    visits = np.frombuffer(stored.arrays[2], "|u1").reshape(size, HOURS)
    counts = np.frombuffer(stored.arrays[3], "<u2").reshape(size, 3, _EDGES.size)
    if not (np.isfinite(num).all() and np.isfinite(profile).all()):
        raise ValueError("a series holds values that are not finite")
    series = _series(dict(zip(_FIELDS, num, strict=True)), profile, visits, counts.astype(np.int64))
    order = np.argsort(owner, kind="stable")
    starts = np.cumsum(np.bincount(owner, minlength=len(stored.names))) - np.bincount(
        owner, minlength=len(stored.names)
    )
    place = np.empty(size, np.int64)
    place[order] = np.arange(size) - starts[owner[order]]
    kept = order[place[order] < MOST_METRICS]
    series["place"] = np.minimum(place, MOST_METRICS)
    held = np.bincount(owner[kept], minlength=len(stored.names)).astype("|u1").tobytes()
    log.info("detector state of format 1: %d devices, %d series converted", len(stored.names), kept.size)
    if kept.size < size:
        log.warning("%d metrics beyond the %d scored of a device are let go", size - kept.size, MOST_METRICS)
    parts = (metric[kept].astype("<i4"), _devices(stored.devices), series[kept])
    return [stored.names, stored.metrics, held, *(part.tobytes() for part in parts)]


def _devices(old: list[_Device]) -> NDArray[np.void]:
    made = fresh_devices(len(old))
    for row, device in enumerate(old):
        for name in ("last_ts", "opened_ts", "edge_ts", "quiet_ts", "late", "readings", "is_open", "since_edge"):
            made[name][row] = getattr(device, name)
        made["known"][row] = max(device.readings, 0)
        made["peak"][row] = device.peak
    return made


def _series(
    num: dict[str, F64], profile: NDArray[np.float32], visits: NDArray[np.uint8], counts: I64
) -> NDArray[np.void]:
    made = fresh_2(num["n"].size)
    made["anchor"] = num["last"]
    fields = made["fields"]
    for name in _KEPT:
        fields[:, INDEX_2[name]] = np.clip(num[name], -_MOST, _MOST)
    for name, source in _LEVELS.items():
        fields[:, INDEX_2[name]] = np.clip(num[source] - num["last"], -_MOST, _MOST)
    for name in ("near_spread", "wide_spread"):
        fields[:, INDEX_2[name]] = np.clip(num["drift_spread"], 0.0, _MOST)
    fields[:, INDEX_2["variance"]] = np.square(np.clip(1.2533 * num["spread"], 0.0, _MOST))
    fields[:, INDEX_2["hours"]] = visits.sum(axis=1)
    for name in ("hour", "prev_hour"):
        made[name] = np.clip(num[name], -1, HOURS - 1)
    relative = to_bfloat(np.clip(profile, -_MOST, _MOST))
    made["profile"] = np.where(visits > 0, relative, np.uint16(UNKNOWN))
    made["tails"], made["counted"] = _tails(counts)
    return made


def _tails(counts: I64) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Counts at today's bounds, read off between the old ones; louder and quieter begin anew with none beyond."""
    total = counts[:, 0, 0].astype(np.float64)
    made = np.zeros((len(counts), 5, BINS))
    for new, old in enumerate((0, 1, 1)):
        for row in range(len(counts)):
            made[row, new] = np.interp(EDGES, _EDGES[:-1], counts[row, old, :-1])
    for new in (3, 4):
        made[:, new] = total[:, None] * 0.3 ** np.arange(1, BINS + 1)
    made = np.minimum(np.floor(made), total[:, None, None])
    return made.reshape(len(counts), -1).astype(np.uint16), total.astype(np.uint16)


def _index(data: bytes, below: int) -> I64:
    index = np.frombuffer(data, "<i4").astype(np.int64)
    if ((index < 0) | (index >= below)).any():
        raise ValueError("a series belongs to nothing")
    return index
