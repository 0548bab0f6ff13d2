"""A batch cut into rounds, each a reading of each of several devices: what can be measured and judged at once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.config import DetectorConfig
from watchkeeper.detection.series import F64, I64
from watchkeeper.detection.state import DetectorState


class Round(NamedTuple):
    """A reading of each of several devices; pairs are their values, by reading and then by name of metric."""

    readings: I64  # (r), into the batch
    rows: I64  # (r), of the devices
    local: I64  # (pairs), into readings
    held: I64  # (r), pairs of each reading
    starts: I64  # first pair of each reading that has one
    column: I64  # (pairs), into the caller's metrics
    slots: I64  # (pairs)
    x: F64  # (pairs)


class Plan(NamedTuple):
    """The rounds of a batch in their order, and how many values are of metrics beyond the cap."""

    rounds: list[Round]
    unscored: int


def plan(
    state: DetectorState,
    devices: Sequence[str],
    device: NDArray[np.integer],
    ts: I64,
    metrics: Sequence[str],
    values: F64,
    config: DetectorConfig,
) -> Plan:
    """The batch as rounds that can be taken at once, in order. ValueError: shapes or names do not fit; see `score`."""
    n = len(ts)
    values = np.asarray(values, np.float64)
    if values.shape != (n, len(metrics)) or len(device) != n:
        raise ValueError(f"{n} times, {len(device)} devices and values of {values.shape} for {len(metrics)} metrics")
    names, column_of = _by_name(tuple(metrics))
    if len(set(devices)) != len(devices):
        raise ValueError("devices must be distinct")
    of = np.asarray(device, np.int64)
    if n and not int(np.maximum.reduce(of.view(np.uint64))) < len(devices):  # what is negative is huge so
        raise ValueError("a reading names a device that is not listed")
    ordered = values.take(column_of, axis=1)
    own = state.device_rows(devices).take(of) if n else np.zeros(0, np.int64)
    scored = np.isfinite(ordered)
    slots, unscored = state.find(own, names, config.most_metrics), 0
    while np.count_nonzero(slots < 0):
        missing = (scored & (slots == -1)).nonzero()
        if not missing[0].size:
            finite, scored = scored, scored & (slots >= 0)
            unscored = int(np.count_nonzero(finite) - np.count_nonzero(scored))
            break
        for row, column in np.transpose(missing).tolist():
            state.add(int(own[row]), names[column], config.most_metrics)
        slots = state.find(own, names, config.most_metrics)
    full = 0 < np.count_nonzero(scored) == scored.size
    rounds = []
    for readings in _turns(own):
        if full:
            part = _grid(readings.size, column_of.tobytes())
            pairs = (slots.take(readings, axis=0).reshape(-1), ordered.take(readings, axis=0).reshape(-1))
        else:
            whole = scored[readings]
            local, at = whole.nonzero()
            held = np.add.reduce(whole, axis=1, dtype=np.int64)
            rows = readings[local]
            part = (local, held, (held.cumsum() - held)[held > 0], column_of[at])
            pairs = (slots[rows, at], ordered[rows, at])
        rounds.append(Round(readings, own.take(readings), *part, *pairs))
    return Plan(rounds, unscored)


@lru_cache(maxsize=64)
def _grid(readings: int, column_of: bytes) -> tuple[I64, I64, I64, I64]:
    """Of so many readings that have a value of each of these columns: `local`, `held`, `starts` and `column`."""
    columns = np.frombuffer(column_of, np.int64)
    local = np.repeat(np.arange(readings), columns.size)
    grid = local, np.full(readings, columns.size), np.arange(readings) * columns.size, np.tile(columns, readings)
    for part in grid:
        part.setflags(write=False)
    return grid


@lru_cache(maxsize=256)
def _by_name(metrics: tuple[str, ...]) -> tuple[tuple[str, ...], I64]:
    """The metrics in order of name, and the column of each. ValueError: one is there twice."""
    if len(set(metrics)) != len(metrics):
        raise ValueError("metrics must be distinct")
    column_of = np.array(sorted(range(len(metrics)), key=metrics.__getitem__), np.int64)
    column_of.setflags(write=False)
    return tuple(metrics[column] for column in column_of.tolist()), column_of


def _turns(device: I64) -> list[I64]:
    """The readings by how many of the same device come before them: each group holds a device once at most."""
    if device.size <= 1:
        return [np.arange(1)] if device.size else []
    order = np.argsort(device, kind="stable")
    each = np.bincount(device)
    turn = np.empty(device.size, np.int64)
    turn[order] = np.arange(device.size) - (np.cumsum(each) - each)[device[order]]
    by_turn = np.argsort(turn, kind="stable")
    return np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])
