"""The readings of a pack as rules look at them: a view of each table, and the readings that one rule is about."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.expressions import Columns, Words
from watchkeeper.records import Flag

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from watchkeeper.checking.roster import Present
    from watchkeeper.packs import Bools, Ints, Pack, Table


class Measured(NamedTuple):
    """Readings that a rule is about: whose (slot), when, where they stand, and how they compare.

    `steps` has a row for each step of a sequence, and none for other rules.
    """

    slot: Ints
    ts: Ints
    table: Ints
    row: Ints
    fires: Bools
    clears: Bools
    steps: Bools

    def where(self, rows: Bools | Ints) -> Measured:
        """These of them."""
        slot, ts, table, row, fires, clears, steps = self
        return Measured(slot[rows], ts[rows], table[rows], row[rows], fires[rows], clears[rows], steps[:, rows])


def in_order(parts: Sequence[Measured]) -> Measured | None:
    """All together; where they are of several tables, in the order of their times, else as they came."""
    if len(parts) < 2:
        return parts[0] if parts else None
    together = Measured(
        np.concatenate([part.slot for part in parts]),
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.table for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.fires for part in parts]),
        np.concatenate([part.clears for part in parts]),
        np.concatenate([part.steps for part in parts], axis=1),
    )
    return together.where(np.argsort(together.ts, kind="stable"))


@dataclasses.dataclass
class View:
    """One table of a pack, whose devices are `here`."""

    pack: Pack
    number: int
    here: Present
    _extremes: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @cached_property
    def table(self) -> Table:
        """The table itself."""
        return self.pack.tables[self.number]

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of the values of each metric."""
        return {metric: place for place, metric in enumerate(self.table.metrics)}

    @cached_property
    def slot(self) -> Ints:
        """The slot of each reading."""
        return self.here.slots[self.table.device]

    @cached_property
    def group(self) -> Ints:
        """The number of the group of each reading."""
        numbers = np.array([kind.group.number for kind in self.here.kinds], np.int64)
        return numbers[self.here.kind[self.table.device]]

    @cached_property
    def in_time(self) -> Bools | None:
        """Which readings are; late ones would turn the clock back. None: all of them."""
        in_time = (self.table.flags & Flag.LATE) == 0
        return None if in_time.all() else in_time

    @cached_property
    def columns(self) -> Columns:
        """All metrics and tags, for expressions."""
        table, tagsets = self.table, self.pack.tagsets
        names = {name for tags in tagsets for name in tags}
        tags = {name: Words(table.tags, tuple(each.get(name) for each in tagsets)) for name in names}
        return Columns(len(table), {name: table.values[place] for name, place in self.places.items()}, tags)

    def extremes(self, metric: str) -> tuple[float, float]:
        """The least and greatest value of a metric, NaN where there is none."""
        found = self._extremes.get(metric)
        if found is None:
            column = self.table.values[self.places[metric]]
            found = float(np.fmin.reduce(column)), float(np.fmax.reduce(column))
            self._extremes[metric] = found
        return found

    def has_any(self, metrics: Collection[str]) -> bool:
        """Has it one of these metrics, if there are any?"""
        return not metrics or any(metric in self.places for metric in metrics)

    def rows(self, members: Bools | None, good: Bools | None = None) -> Ints:
        """The rows that are in time, of a group that is a member (None: every one is), and `good` (None: all are)."""
        keep = good
        for more in (self.in_time, None if members is None else members[self.group]):
            if more is not None:
                keep = more if keep is None else keep & more
        return np.arange(len(self.table)) if keep is None else np.flatnonzero(keep)

    def measured(self, rows: Ints, fires: Bools, clears: Bools, steps: Bools | None = None) -> Measured:
        """These rows, and how they compare."""
        of = np.full(len(rows), self.number)
        none = np.empty((0, len(rows)), np.bool_) if steps is None else steps
        return Measured(self.slot[rows], self.table.ts[rows], of, rows, fires, clears, none)
