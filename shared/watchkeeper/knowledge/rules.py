"""Rules: when something is wrong with a device, in a form that a whole batch is held against at once.

A rule of a kind with limits fires where `value < fire_low or value > fire_high`, and is clear where
`clear_low <= value <= clear_high`; what a kind does not use is infinite. The value is the metric's, or for `rising` and
`falling` its change, and for `flatline` the ms since it has moved. The other kinds fire and clear by expressions.
"""

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from watchkeeper.expressions import Expression
from watchkeeper.knowledge.calendars import Calendar
from watchkeeper.knowledge.catalogue import ITSELF
from watchkeeper.knowledge.durations import format_duration
from watchkeeper.packs import Bools
from watchkeeper.records import Severity

EVERY_CLASS = "*"

Kind: TypeAlias = Literal[
    "above", "below", "outside", "equals", "rising", "falling", "flatline", "when", "sequence", "no_data"
]
_GROUPS_KEPT = 65_536
PREDICT_MS = 3 * 86_400_000
"""How far ahead it is said that a level will be crossed, where a rule does not say."""


class Scope(msgspec.Struct, frozen=True):
    """Devices by patterns of their ids and sites, in which `*` is any text; an empty one leaves it open."""

    sites: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def includes(self, site: str, device: str) -> bool:
        """Is the device one of them?"""
        return _fits(site, self.sites) and _fits(device, self.devices)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


class Override(msgspec.Struct, frozen=True):
    """What a rule is for some of its devices; None: they are left out."""

    scope: Scope
    rule: "Rule | None"


class Rule(msgspec.Struct, frozen=True):
    """One rule. Times are event time in ms, except `no_data_ms`, wall time; what a kind does not use is 0 or empty.

    `per_ms` is the window of `rising` and `falling`, and what a value of `flatline` must rest for; `times` and
    `within_ms` count how often a condition has begun to hold, and `within_ms` is also how long a sequence may take.
    `only_while` and the calendars say when a rule is in force; at other times it counts as clear. `predict_ms` is how
    far ahead it is foretold that a metric will cross the rule's level (0: not at all).
    """

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
    equals: tuple[float, ...] = ()
    per_ms: int = 0
    tolerance: float = 0.0
    when: Expression | None = None
    clear: Expression | None = None
    steps: tuple[Expression, ...] = ()
    times: int = 0
    within_ms: int = 0
    only_while: Expression | None = None
    during: tuple[Calendar, ...] = ()
    except_during: tuple[Calendar, ...] = ()
    scope: Scope = Scope()
    overrides: tuple[Override, ...] = ()
    predict_ms: int = PREDICT_MS

    @property
    def predicted(self) -> bool:
        """Is it foretold when a metric will cross its level? Not where more than a level decides whether it fires."""
        levels = self.kind in {"above", "below", "outside"}
        return levels and self.predict_ms > 0 and self.only_while is None and not self.times

    @property
    def looks_back(self) -> bool:
        """Does it need to know the readings before?"""
        return self.kind in {"rising", "falling", "flatline"}

    @property
    def keeps_marks(self) -> bool:
        """Does it need to know when its conditions held before?"""
        return self.times > 0 or self.kind == "sequence"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it is about, the first one before all."""
        if self.metric:
            return (self.metric,)
        parts = [self.when, *self.steps] if self.when or self.steps else []
        return tuple(dict.fromkeys(name for part in parts if part for name in part.metrics))

    def in_force(self, ts: int, zone: str) -> bool:
        """Do its calendars say that it counts at this moment (epoch ms), for a device in this time zone?"""
        moment = np.array([ts], np.int64)
        inside = not self.during or any(each.covers(moment, zone)[0] for each in self.during)
        return inside and not any(each.covers(moment, zone)[0] for each in self.except_during)

    def threshold(self) -> str:
        """What it takes to fire it, in words: `above 85 for 30 s`."""
        text = self._condition()
        if self.only_while:
            text += f" while {self.only_while.text}"
        if self.times:
            text += f", {self.times} times within {_seconds(self.within_ms)}"
        return text + (f" for {_seconds(self.for_ms)}" if self.for_ms else "")

    def _condition(self) -> str:  # noqa: PLR0911 - one for each kind
        window = format_duration(self.per_ms)
        match self.kind:
            case "equals":
                return f"equal to {' or '.join(f'{value:g}' for value in self.equals)}"
            case "rising":
                return f"rising by more than {self.fire_high:g} per {window}"
            case "falling":
                return f"falling by more than {-self.fire_low:g} per {window}"
            case "flatline":
                moved = f"moved by more than {self.tolerance:g}" if self.tolerance else "moved"
                return f"has not {moved} for {_seconds(self.per_ms)}"
            case "when":
                return self.when.text if self.when else ""
            case "sequence":
                return f"{', then '.join(step.text for step in self.steps)}, within {_seconds(self.within_ms)}"
            case "no_data":
                return f"no data for {_seconds(self.no_data_ms)}"
            case _:
                limits = [f"below {self.fire_low:g}"] if math.isfinite(self.fire_low) else []
                limits += [f"above {self.fire_high:g}"] if math.isfinite(self.fire_high) else []
                return " or ".join(limits)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g} s"


class Group(msgspec.Struct, frozen=True):
    """The rules of all devices that have the same ones; `number` is its place among the groups met so far."""

    number: int
    rules: tuple[Rule, ...]
    quiet_ms: float
    """The shortest `no_data_ms`; infinite where no rule asks for data."""


class Planned(NamedTuple):
    """A rule, and by the number of a group whether it is one of its rules; None: of every group asked about."""

    rule: Rule
    members: Bools | None


class RuleSet(msgspec.Struct, frozen=True, dict=True):
    """All rules, in the order of their files."""

    rules: tuple[Rule, ...] = ()

    def for_class(self, name: str) -> tuple[Rule, ...]:
        """The rules that watch devices of class `name`, all or some: its own and those for every class."""
        return self._for_class(name)

    def for_device(self, class_name: str, site: str, device: str) -> tuple[Rule, ...]:
        """The rules in force for one device, as its site and id make them."""
        return self.group(class_name, site, device).rules

    def group(self, class_name: str, site: str, device: str) -> Group:
        """The same, with what is known of them together; one object for all devices that have the same rules."""
        return self._group(class_name, site, device)

    def plan(self, numbers: frozenset[int]) -> tuple[Planned, ...]:
        """All rules of the groups of these numbers, each once: what a batch with their devices is held against."""
        return self._plan(numbers)

    def by_id(self, rule_id: str) -> Rule | None:
        """The rule called `rule_id`; None where this bundle has none (an anomaly may come from an older one)."""
        return self._by_id.get(rule_id)

    @cached_property
    def shortest_quiet_ms(self) -> float:
        """The shortest time without data that any rule minds, wall time; infinite where none does."""
        rules = [*self.rules, *(each.rule for rule in self.rules for each in rule.overrides if each.rule)]
        return min((rule.no_data_ms for rule in rules if rule.kind == "no_data"), default=math.inf)

    @cached_property
    def _for_class(self) -> Callable[[str], tuple[Rule, ...]]:
        return lru_cache(1024)(lambda name: tuple(rule for rule in self.rules if rule.applies_to in _meant(name)))

    @cached_property
    def _group(self) -> Callable[[str, str, str], Group]:
        return lru_cache(_GROUPS_KEPT)(self._make_group)

    @cached_property
    def _groups(self) -> dict[tuple[int, ...], Group]:
        return {}

    @cached_property
    def _plan(self) -> Callable[[frozenset[int]], tuple[Planned, ...]]:
        return lru_cache(1024)(self._make_plan)

    def _make_plan(self, numbers: frozenset[int]) -> tuple[Planned, ...]:
        of: dict[int, tuple[Rule, list[int]]] = {}
        for group in self._groups.values():
            for rule in group.rules if group.number in numbers else ():
                of.setdefault(id(rule), (rule, []))[1].append(group.number)
        order = {rule.id: place for place, rule in enumerate(self.rules)}
        found: list[Planned] = []
        for rule, own in sorted(of.values(), key=lambda each: order[each[0].id]):
            members = np.zeros(len(self._groups), np.bool_)
            members[own] = True
            found.append(Planned(rule, None if len(own) == len(numbers) else members))
        return tuple(found)

    @cached_property
    def _alike(self) -> Callable[[str], bool]:
        """Have all devices of a class the same rules?"""
        return lru_cache(1024)(
            lambda name: all(rule.scope == Scope() and not rule.overrides for rule in self.for_class(name))
        )

    def _make_group(self, class_name: str, site: str, device: str) -> Group:
        rules = self.for_class(class_name)
        if not self._alike(class_name):
            chosen = (_as_for(rule, site, device) for rule in rules)
            rules = tuple(rule for rule in chosen if rule is not None)
        key = tuple(map(id, rules))  # they live as long as this set does
        if key not in self._groups:
            quiet = min((rule.no_data_ms for rule in rules if rule.kind == "no_data"), default=math.inf)
            self._groups[key] = Group(len(self._groups), rules, quiet)
        return self._groups[key]

    @cached_property
    def _by_id(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.rules}


def _as_for(rule: Rule, site: str, device: str) -> Rule | None:
    """The rule as it is for a device; None: it is not for it. The first override that includes the device counts."""
    if not rule.scope.includes(site, device):
        return None
    found = next((each for each in rule.overrides if each.scope.includes(site, device)), None)
    return rule if found is None else found.rule


def _meant(name: str) -> tuple[str, ...]:
    return (name,) if name == ITSELF else (name, EVERY_CLASS)
