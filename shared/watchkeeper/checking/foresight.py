"""Predictive alerts: that a metric is on its way to a rule's level, and when it will be there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.forecasting.outlook import SURE, crossing, deviates, heading
from watchkeeper.forecasting.trends import MINUTE_MS, Trends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from watchkeeper.checking.measured import View
    from watchkeeper.checking.roster import Present
    from watchkeeper.forecasting.outlook import Crossing
    from watchkeeper.forecasting.trends import Ended
    from watchkeeper.knowledge.rules import Group, Rule
    from watchkeeper.packs import Bools, Floats, Ints, Table

log = logging.getLogger(__name__)
Edge = Literal["open", "update", "clear"]
CONFIDENCE, STILL_CONFIDENCE = 0.9, 0.5
"""What a prediction takes to be said, and to stay."""
STILL_SURE, STILL_HORIZON = 3.0, 1.5
CONFIRMED = 3
"""Minutes with readings in a row that must say the same before it is said."""
OVER_MS = 15 * MINUTE_MS
"""A prediction is over when it has not been made for so long, event time …"""
TELL_MS = 3_600_000
"""… and while it is made, it speaks up this often."""


class Prediction(msgspec.Struct, array_like=True, omit_defaults=True):
    """Where a prediction stands. Times are event times, epoch ms; 0: not so.

    `times` it has been made in a row, last at `seen`; said at `opened`, and again at `told`. `past`: the level is
    crossed, so there is nothing to predict until the value is back at the rule's clear level.
    """

    times: int = 0
    opened: int = 0
    seen: int = 0
    told: int = 0
    past: bool = False


class Foreseen(NamedTuple):
    """An edge of a prediction's episode, at a row of a table, and what is foreseen.

    crossing  None: nothing any more; past  what was foreseen has come true
    """

    rule: Rule
    slot: int
    table: Table
    row: int
    edge: Edge
    since: int
    crossing: Crossing | None
    past: bool


class _Wire(msgspec.Struct, array_like=True):
    metrics: list[str]
    metric: bytes
    slot: bytes
    trends: bytes
    made: dict[str, dict[int, Prediction]]


class _Columns(NamedTuple):
    """Readings in time, in the order of each device: values (m, n) of some metrics, NaN where absent; the rest (n)."""

    names: list[str]
    values: Floats
    device: Ints
    slot: Ints
    ts: Ints
    table: Ints
    row: Ints


class _Limits(NamedTuple):
    """By metric and kind of device: whether it has rules that predict, and the levels that are the first to fire."""

    wanted: Bools
    low: Floats
    high: Floats

    def of(self, metrics: list[int], kinds: Ints) -> _Limits:
        """Of these metrics, for readings of devices of these kinds."""
        return _Limits(self.wanted[metrics][:, kinds], self.low[metrics][:, kinds], self.high[metrics][:, kinds])


class Foresight:
    """Of a shard: the trends of the series that rules have levels for, and by rule and slot what is predicted."""

    def __init__(self) -> None:
        """Nothing is known, and nothing predicted."""
        self.trends = Trends()
        self.owners: list[tuple[str, int]] = []  # of each series: its metric, and the slot of its device
        self.made: dict[str, dict[int, Prediction]] = {}
        self._numbers: dict[str, Ints] = {}  # by metric, by slot: the number of the series; -1: none
        self._listed: tuple[int, list[str], bytes, bytes] | None = None  # what of the encoding stays until one is added

    def look(self, views: Sequence[View], here: Present) -> Iterator[Foreseen]:
        """Learn from the readings of a pack, whose devices are `here`, and yield what comes of it."""
        present, kind = np.unique(here.kind, return_inverse=True)
        kinds = [here.kinds[number].group for number in present.tolist()]
        metrics = sorted({rule.metric for group in kinds for rule in group.rules if rule.predicted and rule.metric})
        limits = _limits(metrics, kinds)
        for columns in _columns(views, metrics):
            places = [metrics.index(name) for name in columns.names]
            own = limits.of(places, kind[columns.device])
            series = np.stack([self._find(name, columns.slot, own.wanted[at]) for at, name in enumerate(columns.names)])
            values = np.where(own.wanted, columns.values, np.nan)
            for ended in self.trends.learn(columns.slot, columns.ts, series, values):
                yield from self._judge(ended, views, here, columns, own)

    def series_of(self, slot: int) -> dict[str, int]:
        """The numbers of a device's series, by metric."""
        return {metric: number for number, (metric, owner) in enumerate(self.owners) if owner == slot}

    def _find(self, metric: str, slots: Ints, wanted: Bools) -> Ints:
        """The numbers of the series of these devices, made where they are wanted and new."""
        table = self._numbers.get(metric, np.zeros(0, np.int64))
        most = int(slots.max(initial=-1)) + 1
        if len(table) < most:
            table = np.concatenate([table, np.full(2 * most - len(table), -1)])
            self._numbers[metric] = table
        found = table[slots]
        unknown = wanted & (found < 0)
        if unknown.any():
            for slot in np.unique(slots[unknown]).tolist():
                table[slot] = self.trends.add()
                self.owners.append((metric, slot))
            found = table[slots]
        return found

    def _judge(
        self, ended: Ended, views: Sequence[View], here: Present, columns: _Columns, limits: _Limits
    ) -> Iterator[Foreseen]:
        """What the rules of the series whose minutes have ended make of it."""
        records, slots = self.trends.records[ended.series], columns.slot[ended.reading]
        drift = deviates(records)
        promising = np.isin(slots, [slot for of in self.made.values() for slot in of])
        for sign in (1, -1):
            promising |= heading(records, drift, sign).any(axis=1)
        promising |= ended.most > limits.high[ended.metric, ended.reading]
        promising |= ended.least < limits.low[ended.metric, ended.reading]
        for place in np.flatnonzero(promising).tolist():
            reading, slot = int(ended.reading[place]), int(slots[place])
            view, row, device = views[columns.table[reading]], int(columns.row[reading]), int(columns.device[reading])
            metric = columns.names[ended.metric[place]]
            minute = _Minute(
                records[place : place + 1], drift[place : place + 1], float(ended.least[place]),
                float(ended.most[place]), int(columns.ts[reading]), here.of(device).zone,
            )  # fmt: skip
            for rule in here.of(device).group.rules:
                if rule.predicted and rule.metric == metric:
                    yield from self._follow(rule, slot, minute, view.table, row)

    def _follow(self, rule: Rule, slot: int, minute: _Minute, table: Table, row: int) -> Iterator[Foreseen]:
        """Take a minute of a rule's metric; yields the edge, if there is one."""
        held = self.made.get(rule.id, {}).get(slot) or Prediction()
        if minute.least < rule.fire_low or minute.most > rule.fire_high:
            held.past = True
        elif minute.least >= rule.clear_low and minute.most <= rule.clear_high:
            held.past = False
        found = None if held.past else _foreseen(rule, minute, still=held.opened > 0)
        edge: Edge | None = None
        since = held.opened
        if held.opened and (held.past or (found is None and minute.ts - held.seen >= OVER_MS)):
            edge, held.opened, held.times = "clear", 0, 0
        elif held.opened and found:
            held.seen = minute.ts
            if minute.ts - held.told >= TELL_MS:
                edge, held.told = "update", minute.ts
        elif not held.opened:
            held.times = held.times + 1 if found else 0
            held.seen = minute.ts
            if held.times >= CONFIRMED:
                edge, since, held.opened, held.told = "open", minute.ts, minute.ts, minute.ts
        if held.times or held.past:
            self.made.setdefault(rule.id, {})[slot] = held
        else:
            self.forget(rule.id, slot)
        if edge:
            yield Foreseen(rule, slot, table, row, edge, since, found, past=held.past)

    def forget(self, rule_id: str, slot: int) -> None:
        """Drop a prediction."""
        of_rule = self.made.get(rule_id, {})
        of_rule.pop(slot, None)
        if not of_rule:
            self.made.pop(rule_id, None)

    def __eq__(self, other: object) -> bool:
        """The same is known and predicted."""
        return isinstance(other, Foresight) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment] # it changes

    def encode(self) -> bytes:
        """Bytes of it."""
        if self._listed is None or self._listed[0] != len(self.owners):
            metrics = sorted({metric for metric, _ in self.owners})
            rank = {metric: place for place, metric in enumerate(metrics)}
            metric = np.array([rank[name] for name, _ in self.owners], "<i4").tobytes()
            slot = np.array([of for _, of in self.owners], "<i4").tobytes()
            self._listed = len(self.owners), metrics, metric, slot
        _, metrics, metric, slot = self._listed
        return msgspec.msgpack.encode(_Wire(metrics, metric, slot, self.trends.encode(), self.made))

    @classmethod
    def decode(cls, data: bytes, devices: int) -> Foresight:
        """It again, for a shard of so many devices. What is damaged is said in the log, and learnt anew."""
        try:
            return cls._restored(data, devices) if data else cls()
        except (StateError, msgspec.MsgspecError, RecursionError, ValueError) as error:
            log.error("trends cannot be read, and are learnt anew: %s", error)
            return cls()

    @classmethod
    def _restored(cls, data: bytes, devices: int) -> Foresight:
        wire = msgspec.msgpack.decode(data, type=_Wire)
        self = cls()
        self.trends, self.made = Trends.decode(wire.trends), wire.made
        metric, slot = np.frombuffer(wire.metric, "<i4"), np.frombuffer(wire.slot, "<i4")
        if not len(metric) == len(slot) == self.trends.used:
            raise ValueError(f"{self.trends.used} trends of {len(metric)} metrics and {len(slot)} devices")
        slots = np.concatenate([slot, np.array([each for of in wire.made.values() for each in of], np.int64)])
        if len(slots) and not (slots.min() >= 0 and slots.max() < devices):
            raise ValueError(f"a trend of a device that is none of {devices}")
        if len(metric) and not (metric.min() >= 0 and metric.max() < len(wire.metrics)):
            raise ValueError("a trend of no metric")
        for number, (of, owner) in enumerate(zip(metric.tolist(), slot.tolist(), strict=True)):
            name = wire.metrics[of]
            self.owners.append((name, owner))
            table = self._numbers.setdefault(name, np.full(devices, -1))
            table[owner] = number
        return self


class _Minute(NamedTuple):
    """A minute that has ended: the trend as it is then, its `deviates`, least and most, when that came out, where."""

    record: NDArray[np.void]
    drift: Floats
    least: float
    most: float
    ts: int
    zone: str


def _foreseen(rule: Rule, minute: _Minute, *, still: bool) -> Crossing | None:
    """What was said before may be less sure, and further ahead."""
    sure, least, times = (STILL_SURE, STILL_CONFIDENCE, STILL_HORIZON) if still else (SURE, CONFIDENCE, 1.0)
    horizon = round(times * rule.predict_ms)
    return soonest(rule, minute.record, minute.drift, minute.ts, minute.zone, sure, least, horizon)


def soonest(
    rule: Rule, record: NDArray[np.void], drift: Floats, ts: int, zone: str, sure: float, least: float, horizon_ms: int
) -> Crossing | None:
    """The soonest crossing of a rule's levels by one series (an array of one record) while the rule is in force.

    drift  the record's `deviates`; ts  from when on, epoch ms; zone  the device's; sure  of a drift, in standard
    deviations; least  confidence
    """
    found = []
    for sign, level in ((1, rule.fire_high), (-1, rule.fire_low)):
        if not np.isfinite(level):
            continue
        for scale in np.flatnonzero(heading(record, drift, sign, sure)[0]).tolist():
            each = crossing(record, scale, level, sign, horizon_ms, least)
            if each and rule.in_force(ts + each.in_ms, zone):
                found.append(each)
    return min(found, key=lambda each: each.in_ms, default=None)


def _limits(metrics: Sequence[str], kinds: Sequence[Group]) -> _Limits:
    shape = len(metrics), len(kinds)
    wanted, low, high = np.zeros(shape, np.bool_), np.full(shape, -np.inf), np.full(shape, np.inf)
    for column, group in enumerate(kinds):
        for rule in group.rules:
            if rule.predicted and rule.metric:
                at = metrics.index(rule.metric), column
                wanted[at] = True
                low[at], high[at] = max(low[at], rule.fire_low), min(high[at], rule.fire_high)
    return _Limits(wanted, low, high)


def _columns(views: Sequence[View], metrics: Sequence[str]) -> Iterator[_Columns]:
    """The readings of each table; of all tables together, in order of time, where a metric is in several of them."""
    parts = []
    for view in views:
        names = [name for name in metrics if name in view.places]
        if names:
            rows = view.rows(None)
            values = view.table.values[[view.places[name] for name in names]][:, rows]
            of = np.full(len(rows), view.number)
            parts.append(
                _Columns(names, values, view.table.device[rows], view.slot[rows], view.table.ts[rows], of, rows)
            )
    if len({name for part in parts for name in part.names}) == sum(len(part.names) for part in parts):
        yield from parts
        return
    names = sorted({name for part in parts for name in part.names})
    values = np.full((len(names), sum(len(part.row) for part in parts)), np.nan)
    start = 0
    for part in parts:
        stop = start + len(part.row)
        values[[names.index(name) for name in part.names], start:stop] = part.values
        start = stop
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in _Columns._fields[2:]]
    order = np.argsort(columns[2], kind="stable")
    yield _Columns(names, values[:, order], *(column[order] for column in columns))
