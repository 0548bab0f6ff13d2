"""All rules over a pack, as columns; readings are looked at singly only where something fires or is open."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from watchkeeper.checking.breach import Edge, at_rest, follow
from watchkeeper.checking.conditions import measure
from watchkeeper.checking.marks import count, follow_steps, waiting_for_clear
from watchkeeper.checking.measured import View
from watchkeeper.checking.state import Breach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watchkeeper.checking.measured import Measured
    from watchkeeper.checking.roster import Present
    from watchkeeper.checking.state import CheckState
    from watchkeeper.knowledge.rules import Rule, RuleSet
    from watchkeeper.packs import Pack, Table

Kept = TypeVar("Kept")
Single: TypeAlias = tuple[int, int, int, int, bool, bool, "Sequence[bool]"]  # a row of `Measured`


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """An edge of a rule's episode, at a row of a table; it opened at `since` and has `count` readings more."""

    rule: Rule
    table: Table
    row: int
    edge: Edge
    since: int
    count: int


@dataclasses.dataclass
class PackCheck:
    """The rules over the readings of a pack, whose devices are `here`."""

    pack: Pack
    state: CheckState
    rules: RuleSet
    here: Present

    @cached_property
    def views(self) -> list[View]:
        """Its tables, as rules look at them."""
        return [View(self.pack, number, self.here) for number in range(len(self.pack.tables))]

    def run(self) -> Iterator[Found]:
        """The edges, rule by rule and device by device in order; writes the verdicts into the pack's tables."""
        kinds = np.unique(self.here.kind).tolist()
        for rule, members in self.rules.plan(frozenset(self.here.kinds[kind].group.number for kind in kinds)):
            own = [view for view in self.views if view.has_any(rule.metrics)]
            busy = rule.id in self.state.breaches or rule.id in self.state.marks
            measured = measure(rule, members, own, self.state, busy=busy) if own else None
            if measured is not None:
                yield from self._edges(rule, measured)

    def _edges(self, rule: Rule, measured: Measured) -> Iterator[Found]:
        """The devices for which the rule fires or is not at rest, one after the other."""
        active = np.zeros(len(self.state.devices), np.bool_)
        active[measured.slot[measured.fires]] = True
        marks = self.state.marks.get(rule.id, {})
        active[list(marks)] = True
        if rule.times:  # a pump that runs has started, and will go on to run: no need to look at each of its readings
            waiting = np.zeros(len(active), np.bool_)
            waiting[waiting_for_clear(marks)] = True
            clear = np.zeros(len(active), np.bool_)
            clear[measured.slot[measured.clears]] = True
            active &= ~waiting | clear
        active[list(self.state.breaches.get(rule.id, ()))] = True
        rows = np.flatnonzero(active[measured.slot])
        own = measured.where(rows[np.argsort(measured.slot[rows], kind="stable")])
        columns = [column.tolist() for column in own[:6]]
        steps = own.steps.T.tolist() if rule.steps else repeat(())
        for slot, readings in groupby(zip(*columns, steps, strict=False), key=itemgetter(0)):
            yield from self._follow(rule, slot, readings)

    def _follow(self, rule: Rule, slot: int, readings: Iterable[Single]) -> Iterator[Found]:
        breach = self.state.breaches.get(rule.id, {}).get(slot) or Breach()
        marks = self.state.marks.get(rule.id, {}).get(slot, []) if rule.keeps_marks else []
        for _, ts, number, row, level_fires, level_clears, steps in readings:
            fires, clears = level_fires, level_clears
            if rule.times:
                fires = count(marks, ts, fires=fires, clears=clears, rule=rule)
                clears = not fires
            elif rule.steps:
                fires = follow_steps(marks, ts, steps, rule.within_ms)
                clears = not fires
            table = self.pack.tables[number]
            edge = follow(breach, ts, fires=fires, clears=clears, hold_ms=rule.for_ms)
            if breach.opened:
                table.rules.setdefault(row, []).append(rule.id)
            if edge:
                yield Found(rule, table, row, edge, breach.opened, breach.count)
                breach.count = 0
            if edge == "clear":
                breach = Breach()
        _keep(self.state.breaches, rule.id, slot, None if at_rest(breach) else breach)
        _keep(self.state.marks, rule.id, slot, marks or None)


def _keep(held: dict[str, dict[int, Kept]], rule_id: str, slot: int, value: Kept | None) -> None:
    """Remember something of a rule of a device; None: there is nothing, and nothing stays behind."""
    if value is not None:
        held.setdefault(rule_id, {})[slot] = value
        return
    of_rule = held.get(rule_id, {})
    of_rule.pop(slot, None)
    if not of_rule:
        held.pop(rule_id, None)
