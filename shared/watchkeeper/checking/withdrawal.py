"""What rules leave behind when a new bundle has them no more: nobody else would ever clear it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watchkeeper.checking.state import CheckState, Known
    from watchkeeper.knowledge.rules import Rule


class Withdrawn(NamedTuple):
    """An episode of a rule that is no longer in force for its device: when it opened, and as of when it is over."""

    known: Known
    detector: str
    since: int
    over: int


def withdraw(state: CheckState, rules_of: Callable[[Known], Sequence[Rule]], now: int) -> Iterator[Withdrawn]:
    """Forget what belongs to rules that a device no longer has, and answer the episodes that end with them.

    `rules_of` gives the rules in force for a device; `now` is wall time, epoch ms. Changes `state`.
    """

    def gone(slot: int, rule_id: str, is_it: Callable[[Rule], bool]) -> bool:
        return not any(rule.id == rule_id and is_it(rule) for rule in rules_of(state.devices[slot]))

    for rule_id, breaches in list(state.breaches.items()):
        for slot in [slot for slot in breaches if gone(slot, rule_id, lambda it: it.kind != "no_data")]:
            breach = breaches.pop(slot)
            if breach.opened:
                yield Withdrawn(state.devices[slot], f"rule:{rule_id}", breach.opened, int(state.ts[slot]))
    for slot, silent in state.silent.items():
        over = [rule_id for rule_id in silent if gone(slot, rule_id, lambda it: it.kind == "no_data")]
        silent[:] = [rule_id for rule_id in silent if rule_id not in over]
        for rule_id in over:
            yield Withdrawn(state.devices[slot], f"silence:{rule_id}", int(state.received[slot]), now)
    yield from _foretold(state, rules_of)
    for rule_id, marks in state.marks.items():
        for slot in [slot for slot in marks if gone(slot, rule_id, lambda it: it.keeps_marks)]:
            del marks[slot]
    for rule_id, held in state.samples.items():
        old = [slot for slot in np.unique(held.slot).tolist() if gone(slot, rule_id, lambda it: it.looks_back)]
        state.samples[rule_id] = held.where(~np.isin(held.slot, old)) if old else held
    state.tidy()


def _foretold(state: CheckState, rules_of: Callable[[Known], Sequence[Rule]]) -> Iterator[Withdrawn]:
    """The same for what rules have foretold."""
    for rule_id, made in list(state.foresight.made.items()):
        for slot, prediction in list(made.items()):
            if any(rule.id == rule_id and rule.predicted for rule in rules_of(state.devices[slot])):
                continue
            state.foresight.forget(rule_id, slot)
            if prediction.opened:
                yield Withdrawn(state.devices[slot], f"forecast:{rule_id}", prediction.opened, int(state.ts[slot]))
