"""What rules leave behind when a new bundle has them no more: nobody else would ever clear it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watchkeeper.checking.state import CheckState, Heard
    from watchkeeper.knowledge.rules import Rule


class Withdrawn(NamedTuple):
    """An episode of a rule that is no longer in force for its device: when it opened, and as of when it is over."""

    heard: Heard
    detector: str
    since: int
    over: int


def withdraw(state: CheckState, rules_of: Callable[[str], Sequence[Rule]], now: int) -> Iterator[Withdrawn]:
    """Forget what belongs to rules that a device no longer has, and answer the episodes that end with them.

    `rules_of` gives the rules in force for a device; `now` is wall time, epoch ms. Changes `state`.
    """
    for key, breaches in list(state.breaches.items()):
        heard = state.heard[key]
        kept = {rule.id for rule in rules_of(heard.device) if rule.kind != "no_data"}
        for rule_id in [rule_id for rule_id in breaches if rule_id not in kept]:
            breach = breaches.pop(rule_id)
            if breach.opened:
                yield Withdrawn(heard, f"rule:{rule_id}", breach.opened, heard.ts)
        if not breaches:
            del state.breaches[key]
    for heard in state.heard.values():
        if not heard.silent:
            continue
        kept = {rule.id for rule in rules_of(heard.device) if rule.kind == "no_data"}
        gone = [rule_id for rule_id in heard.silent if rule_id not in kept]
        heard.silent = [rule_id for rule_id in heard.silent if rule_id in kept]
        yield from (Withdrawn(heard, f"silence:{rule_id}", heard.received, now) for rule_id in gone)
