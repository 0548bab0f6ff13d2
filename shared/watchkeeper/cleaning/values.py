"""The values of a table: converted, held against what can be true, watched, filled, and computed from one another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.cleaning.filling import stand_in
from watchkeeper.cleaning.sticking import follow
from watchkeeper.expressions import Columns
from watchkeeper.packs import Bools, Floats, Ints, Table
from watchkeeper.records import Flag

if TYPE_CHECKING:
    from watchkeeper.cleaning.facts import Facts, Plan
    from watchkeeper.cleaning.metric_set import MetricSet
    from watchkeeper.cleaning.sticking import Edge

_LATE = int(Flag.LATE)
QUIET_INTERVALS = 3  # of a device that was silent for so many, and for as long as a value may last, nothing is known


@dataclasses.dataclass(slots=True)
class Values:
    """The values of a table, as they are cleaned; the table's flags are changed as it goes.

    `device` (n) are devices of the shard, `rows` (n) their rows in `held`. `valid`, `stuck` and `filled` are (m, n);
    `marked`: one is stuck or filled.
    """

    table: Table
    device: Ints
    rows: Ints
    held: MetricSet
    facts: Facts
    plan: Plan
    values: Floats
    stuck: Bools
    filled: Bools
    valid: Bools
    marked: bool = False

    @classmethod
    def of(cls, table: Table, device: Ints, rows: Ints, held: MetricSet, facts: Facts) -> Values:
        """Those of a table, as they were sent."""
        none = np.zeros(table.values.shape, bool)
        return cls(table, device, rows, held, facts, facts.plan(table.metrics), table.values, none, none, none)

    def check(self) -> None:
        """Convert what was sent in other units; leave out what is a sentinel, as sent, or outside of its range."""
        class_of, plan, sent = self.facts.class_of[self.device], self.plan, self.values
        if self.facts.converted[self.device].any():
            self._convert()
        if plan.ranged[class_of].any():
            wrong = (self.values < plan.low[class_of].T) | (self.values > plan.high[class_of].T)
            for place in range(plan.missing.shape[2]):
                wrong |= sent == plan.missing[class_of, :, place].T
            if wrong.any():
                self.values = np.where(wrong, np.nan, self.values)
                self.table.flags[wrong.any(axis=0)] |= Flag.INVALID
        self.valid = ~np.isnan(self.values)

    def watch(self) -> list[tuple[int, Edge]]:
        """Values that have not changed for too long; the edges, each with the place of its metric."""
        edges: list[tuple[int, Edge]] = []
        for j, after in self.plan.stuck.items():
            limit = after[self.facts.class_of[self.device]]
            rows = self._in_time(limit > 0)
            if len(rows):
                silence = np.maximum(limit, QUIET_INTERVALS * self.facts.interval[self.device])
                memory = self.held.watch(self.table.metrics[j])
                found, told = follow(
                    self.rows[rows], self.table.ts[rows], self.values[j, rows], memory, limit[rows], silence[rows]
                )  # fmt: skip
                edges += [(j, edge._replace(row=int(rows[edge.row]))) for edge in told]
                if found.any():
                    self.stuck, self.marked = self.stuck.copy(), True
                    self.stuck[j, rows] = found
                    self.table.flags[rows[found]] |= Flag.STUCK
        return edges

    @property
    def plain(self) -> bool:
        """Is every value there, and none of them stuck or filled?"""
        return not self.marked and bool(self.valid.all())

    def fill(self) -> None:
        """Where the catalogue says so, what is missing becomes what may stand in for it, and is marked."""
        class_of = self.facts.class_of[self.device]
        for j, (linear, limits) in self.plan.fill.items():
            limit = limits[class_of]
            rows = self._in_time(limit != 0)
            if not len(rows):
                continue
            own = class_of[rows]
            limit = np.where(limit[rows] < 0, self.facts.gap[self.device[rows]], limit[rows])
            trail, column = self.held.trail(self.table.metrics[j]), self.values[j, rows]
            whole = stand_in(self.rows[rows], self.table.ts[rows], column, trail, limit, linear[own])
            whole = np.clip(whole, self.plan.low[own, j], self.plan.high[own, j])
            filled = np.isnan(column) & ~np.isnan(whole)
            if filled.any():
                self.values, self.filled, self.marked = self.values.copy(), self.filled.copy(), True
                self.values[j, rows] = whole
                self.filled[j, rows] = filled
                self.table.flags[rows[filled]] |= Flag.FILLED

    def derive(self) -> list[Table]:
        """The table with what is computed from its metrics; divided where classes compute different things."""
        table = self.table
        table.values = self.values
        class_of = self.facts.class_of[self.device]
        present = np.unique(class_of)
        if not any(self.plan.derived[number] for number in present.tolist()):
            return [table]
        kinds: dict[tuple[str, ...], Bools] = {}
        for number in present.tolist():
            names = tuple(each.name for each in self.plan.derived[number])
            kinds[names] = kinds.get(names, np.zeros(len(table), bool)) | (class_of == number)
        return [self._derived(table.select(rows), class_of[rows]) for rows in kinds.values()]

    def _derived(self, table: Table, class_of: Ints) -> Table:
        columns = {name: table.values[j] for j, name in enumerate(table.metrics)}
        sent = len(columns)
        for number in np.unique(class_of).tolist():
            of_class, known = class_of == number, dict(columns)
            specs = self.facts.catalogue.device_class(self.facts.names[number])
            for each in self.plan.derived[number]:
                found = each.expression.numbers(Columns(len(table), known)).copy()
                spec = specs.metrics[each.name] if specs else None
                wrong = (found < spec.low) | (found > spec.high) if spec else np.zeros(len(found), bool)
                found[wrong] = np.nan
                table.flags[wrong & of_class] |= Flag.INVALID
                known[each.name] = found
                before = columns.get(each.name, np.full(len(table), np.nan))
                columns[each.name] = np.where(of_class, found, before)
        if len(columns) == sent:
            return table
        return dataclasses.replace(table, metrics=tuple(columns), values=np.stack(list(columns.values())))

    def _in_time(self, wanted: Bools) -> Ints:
        """The readings of those wanted that are not late: what was before a late one is not known."""
        return np.flatnonzero(wanted & ((self.table.flags & _LATE) == 0))

    def _convert(self) -> None:
        scales, offsets = (np.full(self.values.shape, fill) for fill in (1.0, 0.0))
        for device in np.unique(self.device[self.facts.converted[self.device]]).tolist():
            rows = self.device == device
            for metric, conversion in self.facts.profiles[device].conversions.items():
                if metric in self.table.metrics:
                    j = self.table.metrics.index(metric)
                    scales[j, rows], offsets[j, rows] = conversion.scale, conversion.offset
        self.values = self.values * scales + offsets
