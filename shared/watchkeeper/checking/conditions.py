"""What each kind of rule sees in the readings it is about: where it fires, and where it is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.checking.history import changes, stillness
from watchkeeper.checking.measured import Measured, in_order
from watchkeeper.checking.state import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.checking.measured import View
    from watchkeeper.checking.state import CheckState
    from watchkeeper.knowledge.calendars import Calendar
    from watchkeeper.knowledge.rules import Rule
    from watchkeeper.packs import Bools, Floats, Ints


def measure(
    rule: Rule, members: Bools | None, views: Sequence[View], state: CheckState, *, busy: bool
) -> Measured | None:
    """The readings that a rule is about, each device's in order; None: there are none, or nothing can come of them.

    `members` are the groups whose rule it is. A rule that is `busy` is not at rest for some device: then every reading
    counts, else those only that fire do.
    """
    if rule.kind == "no_data":
        return None
    if rule.looks_back:
        found = _looking_back(rule, members, views, state)
    elif rule.kind == "when":
        found = _parts(views, busy, lambda view: _by_expression(rule, members, view))
    elif rule.kind == "sequence":
        found = _parts(views, busy, lambda view: _steps(rule, members, view))
    elif not busy and all(_calm(rule, view.extremes(rule.metrics[0])) for view in views):
        return None
    else:
        found = _parts(views, busy, lambda view: _by_level(rule, members, view))
    if found is None or not (busy or found.fires.any()):
        return None
    return _in_force(rule, views, found)


def _parts(views: Sequence[View], busy: bool, of: Callable[[View], Measured]) -> Measured | None:  # noqa: FBT001 - as in `measure`
    parts = [of(view) for view in views]
    return in_order(parts) if busy or any(part.fires.any() for part in parts) else None


def _calm(rule: Rule, extremes: tuple[float, float]) -> bool:
    """Can no value between these fire the rule? Where there are none, both are NaN."""
    low, high = extremes
    if rule.kind == "equals":
        return not any(low <= value <= high for value in rule.equals)
    return not (low < rule.fire_low or high > rule.fire_high)


def _against(rule: Rule, value: Floats) -> tuple[Bools, Bools]:
    if rule.kind == "equals":
        fires = np.isin(value, rule.equals)
        return fires, ~fires
    fires = (value < rule.fire_low) | (value > rule.fire_high)
    return fires, (value >= rule.clear_low) & (value <= rule.clear_high)


def _by_level(rule: Rule, members: Bools | None, view: View) -> Measured:
    column = view.table.values[view.places[rule.metrics[0]]]
    rows = view.rows(members, ~np.isnan(column))
    return view.measured(rows, *_against(rule, column[rows]))


def _by_expression(rule: Rule, members: Bools | None, view: View) -> Measured:
    """A reading of which it is not known whether the rule fires is not looked at, unless it is known to be clear."""
    if rule.when is None:
        raise ValueError(f"rule {rule.id} has no condition")
    yes, no = rule.when.truth(view.columns)
    clears = no if rule.clear is None else rule.clear.truth(view.columns).yes & ~yes
    rows = view.rows(members, yes | no | clears)
    return view.measured(rows, yes[rows], clears[rows])


def _steps(rule: Rule, members: Bools | None, view: View) -> Measured:
    steps = np.stack([step.truth(view.columns).yes for step in rule.steps])
    rows = view.rows(members)
    steps = steps[:, rows]
    return view.measured(rows, steps[0], ~steps[0], steps)


def _looking_back(rule: Rule, members: Bools | None, views: Sequence[View], state: CheckState) -> Measured | None:
    parts: list[tuple[Ints, Ints, Ints, Ints, Floats]] = []
    for view in views:
        column = view.table.values[view.places[rule.metrics[0]]]
        rows = view.rows(members, ~np.isnan(column))
        of = np.full(len(rows), view.number)
        parts.append((view.slot[rows], view.table.ts[rows], of, rows, column[rows]))
    if not any(len(part[0]) for part in parts):
        return None
    slot, ts, table, row, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.argsort(ts, kind="stable")
        slot, ts, table, row, value = (column[order] for column in (slot, ts, table, row, value))
    held, new = state.samples.get(rule.id, Samples.none()), Samples(slot, ts, value)
    if rule.kind == "flatline":
        age, state.samples[rule.id] = stillness(held, new, rule.tolerance, rule.per_ms)
        found = age.astype(np.float64)
    else:
        found, state.samples[rule.id] = changes(held, new, rule.per_ms)
    known = np.flatnonzero(~np.isnan(found))
    fires, clears = _against(rule, found[known])
    none = np.empty((0, len(known)), np.bool_)
    return Measured(slot[known], ts[known], table[known], row[known], fires, clears, none)


def _in_force(rule: Rule, views: Sequence[View], found: Measured) -> Measured:
    """While a rule is not in force it is clear; where that is not known, the reading is not looked at."""
    if not (rule.only_while or rule.during or rule.except_during):
        return found
    yes, no = np.ones(len(found.ts), np.bool_), np.zeros(len(found.ts), np.bool_)
    for view in views:
        own = np.flatnonzero(found.table == view.number)
        rows = found.row[own]
        if rule.only_while:
            truth = rule.only_while.truth(view.columns)
            yes[own], no[own] = truth.yes[rows], truth.no[rows]
        inside = np.ones(len(rows), np.bool_)
        if rule.during:
            inside = _covered(rule.during, view, rows)
        if rule.except_during:
            inside = inside & ~_covered(rule.except_during, view, rows)
        yes[own], no[own] = yes[own] & inside, no[own] | ~inside
    gated = Measured(*found[:4], found.fires & yes, found.clears | no, found.steps & yes)
    return gated.where(yes | no)


def _covered(calendars: Sequence[Calendar], view: View, rows: Ints) -> Bools:
    """Which of these rows are within any of the calendars, by the clocks of their devices."""
    ts, found = view.table.ts[rows], np.zeros(len(rows), np.bool_)
    zones, kind = [each.zone for each in view.here.kinds], view.here.kind[view.table.device[rows]]
    for zone in sorted({zones[each] for each in np.unique(kind).tolist()}):
        here = np.array([each == zone for each in zones])[kind]
        for calendar in calendars:
            found[here] |= calendar.covers(ts[here], zone)
    return found
