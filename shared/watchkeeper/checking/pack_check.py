"""All rules over a pack, as columns; readings are looked at singly only where something fires or is open."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.checking.breach import Edge, at_rest, follow
from watchkeeper.checking.state import Breach, CheckState, device_key
from watchkeeper.records import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.knowledge.rules import Rule, RuleSet
    from watchkeeper.packs import Bools, Ints, Pack, Table


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An edge of a rule's episode, at a row of a table; it opened at `since` and has `count` readings more."""

    rule: Rule
    table: Table
    row: int
    edge: Edge
    since: int
    count: int


class _Measured(NamedTuple):
    """The readings that a rule is about: whose, when, where they stand, and how they compare."""

    device: Ints
    ts: Ints
    table: Ints
    row: Ints
    fires: Bools
    clears: Bools

    def where(self, rows: Bools | Ints) -> _Measured:
        device, ts, table, row, fires, clears = self
        return _Measured(device[rows], ts[rows], table[rows], row[rows], fires[rows], clears[rows])


@dataclasses.dataclass(slots=True)
class PackCheck:
    """The rules of the classes in a pack, over its readings. `classes`: the class of each device of the pack."""

    pack: Pack
    state: CheckState
    classes: Sequence[str]
    rules: RuleSet

    def run(self) -> Iterator[Found]:
        """The edges, rule by rule and device by device in order; writes the verdicts into the pack's tables."""
        keys = [device_key(who.tenant, who.device) for who in self.pack.devices]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        owner = np.array([first[key] for key in keys], np.int64)  # one that changed its site is listed twice
        for name in sorted(set(self.classes)):
            members = np.array([of_device == name for of_device in self.classes])
            for rule in self.rules.for_class(name):
                measured = self._measured(rule, members, owner)
                if measured is None:
                    continue
                firing = set(measured.device[measured.fires].tolist())
                firing |= {first[key] for key in keys if rule.id in self.state.breaches.get(key, ())}
                for device in sorted(firing):
                    yield from self._follow(rule, keys[device], measured.where(measured.device == device))

    def _measured(self, rule: Rule, members: Bools, owner: Ints) -> _Measured | None:
        """Readings in time order that are in time and have a value of the rule's metric; None: no table has it."""
        parts = []
        for number, table in enumerate(self.pack.tables):
            if rule.metric not in table.metrics:
                continue
            values = table.values[table.metrics.index(rule.metric)]
            in_time = (table.flags & Flag.LATE) == 0  # late readings would turn the clock back
            rows = np.flatnonzero(members[table.device] & in_time & ~np.isnan(values))
            column = values[rows]
            fires = (column < rule.fire_low) | (column > rule.fire_high)
            clears = (column >= rule.clear_low) & (column <= rule.clear_high)
            of = np.full(len(rows), number)
            parts.append(_Measured(owner[table.device[rows]], table.ts[rows], of, rows, fires, clears))
        if len(parts) < 2:
            return parts[0] if parts else None
        together = _Measured(*map(np.concatenate, zip(*parts, strict=True)))
        return together.where(np.argsort(together.ts, kind="stable"))

    def _follow(self, rule: Rule, key: str, readings: _Measured) -> Iterator[Found]:
        breaches = self.state.breaches.setdefault(key, {})
        breach = breaches.get(rule.id) or Breach()
        columns = (column.tolist() for column in readings[1:])
        for ts, number, row, fires, clears in zip(*columns, strict=True):
            table = self.pack.tables[number]
            edge = follow(breach, ts, fires=fires, clears=clears, hold_ms=rule.for_ms)
            if breach.opened:
                table.rules.setdefault(row, []).append(rule.id)
            if edge:
                yield Found(rule, table, row, edge, breach.opened, breach.count)
                breach.count = 0
            if edge == "clear":
                breach = Breach()
        if at_rest(breach):
            breaches.pop(rule.id, None)
            if not breaches:
                del self.state.breaches[key]
        else:
            breaches[rule.id] = breach
