"""All rules over one table, as columns; readings are looked at singly only where something fires or is open."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.checking.breach import Edge, at_rest, follow
from watchkeeper.checking.state import Breach, CheckState
from watchkeeper.records import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.knowledge.rules import Rule, RuleSet
    from watchkeeper.packs import Bools, Pack, Table


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An edge of a rule's episode, at a row of the table; it opened at `since` and has `count` readings more."""

    rule: Rule
    row: int
    edge: Edge
    since: int
    count: int


@dataclasses.dataclass(slots=True)
class TableCheck:
    """The rules of the classes in a table, over its readings. `classes`: the class of each device of the pack."""

    pack: Pack
    table: Table
    state: CheckState
    classes: Sequence[str]
    rules: RuleSet

    def run(self) -> Iterator[Found]:
        """The edges, rule by rule and device by device in the order of readings; writes the verdicts into the table."""
        in_time = (self.table.flags & Flag.LATE) == 0  # late readings would turn the clock back
        present = np.unique(self.table.device)
        for name in sorted({self.classes[device] for device in present}):
            of_class = np.array([self.classes[device] == name for device in range(len(self.classes))])[
                self.table.device
            ]
            for rule in self.rules.for_class(name):
                if rule.metric in self.table.metrics:
                    yield from self._rule(rule, of_class & in_time)

    def _rule(self, rule: Rule, rows: Bools) -> Iterator[Found]:
        values = self.table.values[self.table.metrics.index(rule.metric or "")]
        fires = rows & ((values < rule.fire_low) | (values > rule.fire_high))
        clears = rows & (values >= rule.clear_low) & (values <= rule.clear_high)
        measured = rows & ~np.isnan(values)
        firing = set(np.unique(self.table.device[fires]).tolist())
        for device in np.unique(self.table.device[measured]).tolist():
            breaches = self.state.breaches.get(self._key(device), {})
            if device in firing or rule.id in breaches:
                theirs = np.flatnonzero(measured & (self.table.device == device))
                yield from self._device(rule, self._key(device), theirs.tolist(), fires, clears)

    def _device(self, rule: Rule, key: str, rows: list[int], fires: Bools, clears: Bools) -> Iterator[Found]:
        breaches = self.state.breaches.setdefault(key, {})
        breach = breaches.get(rule.id) or Breach()
        for row in rows:
            ts = int(self.table.ts[row])
            edge = follow(breach, ts, fires=bool(fires[row]), clears=bool(clears[row]), hold_ms=rule.for_ms)
            if breach.opened:
                self.table.rules.setdefault(row, []).append(rule.id)
            if edge:
                yield Found(rule, row, edge, breach.opened, breach.count)
                breach.count = 0
            if edge == "clear":
                breach = Breach()
        if at_rest(breach):
            breaches.pop(rule.id, None)
            if not breaches:
                del self.state.breaches[key]
        else:
            breaches[rule.id] = breach

    def _key(self, device: int) -> str:
        return device_key(self.pack, device)


def device_key(pack: Pack, device: int) -> str:
    """What a device of a pack is remembered by."""
    who = pack.devices[device]
    return f"{who.tenant}\0{who.device}"
