"""Rules: a metric and its limits, in one form for every kind, so that a whole batch is compared at once.

A value fires a rule when `value < fire_low or value > fire_high`; it is clear when `clear_low <= value <= clear_high`.
What a kind does not use is infinite, so a `no_data` rule is never fired by a value.
"""

import math
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

import msgspec

from watchkeeper.knowledge.catalogue import ITSELF
from watchkeeper.records import Severity

EVERY_CLASS = "*"

Kind: TypeAlias = Literal["above", "below", "outside", "no_data"]


class Rule(msgspec.Struct, frozen=True):
    """One rule. `for_ms` is event time; `no_data_ms` is wall time, and 0 except for the kind `no_data`."""

    id: str
    applies_to: str
    metric: str | None
    kind: Kind
    severity: Severity
    summary: str
    runbook: str
    fire_low: float = -math.inf
    fire_high: float = math.inf
    clear_low: float = -math.inf
    clear_high: float = math.inf
    for_ms: int = 0
    no_data_ms: int = 0


class RuleSet(msgspec.Struct, frozen=True, dict=True):
    """All rules, in the order of their files."""

    rules: tuple[Rule, ...] = ()

    def for_class(self, name: str) -> tuple[Rule, ...]:
        """The rules that watch a device of class `name`: its own and those for every class."""
        return self._for_class(name)

    def by_id(self, rule_id: str) -> Rule | None:
        """The rule called `rule_id`; None where this bundle has none (an anomaly may come from an older one)."""
        return self._by_id.get(rule_id)

    @cached_property
    def _for_class(self) -> Callable[[str], tuple[Rule, ...]]:
        return lru_cache(1024)(lambda name: tuple(rule for rule in self.rules if rule.applies_to in _meant(name)))

    @cached_property
    def _by_id(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.rules}


def _meant(name: str) -> tuple[str, ...]:
    return (name,) if name == ITSELF else (name, EVERY_CLASS)
