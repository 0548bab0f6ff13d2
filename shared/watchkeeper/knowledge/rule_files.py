"""Reads `rules/*.yaml`, and checks them against the catalogue and the runbooks that they name."""

import math
from collections.abc import Collection, Mapping
from typing import get_args

from watchkeeper.knowledge.catalogue import Catalogue, MetricSpec
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, Mark, Problems, did_you_mean, quote
from watchkeeper.knowledge.rules import EVERY_CLASS, Kind, Rule, RuleSet
from watchkeeper.knowledge.yaml_nodes import Node, parse_yaml
from watchkeeper.records import Severity

_KINDS: tuple[Kind, ...] = get_args(Kind)


def read_rules(
    files: Mapping[str, str], catalogue: Catalogue, runbooks: Collection[str], problems: Problems
) -> RuleSet:
    """The rules in `files` (path to text), in name order; what is wrong goes to `problems`."""
    rules: list[Rule] = []
    places: dict[str, str] = {}
    for file in sorted(files):
        complain = problems.of(file)
        root = parse_yaml(files[file], complain)
        if root is None:
            continue
        head = Fields(root, complain, required=("applies_to", "rules"))
        applies_to = head.text("applies_to")
        check_class(applies_to, head.at("applies_to"), catalogue, complain)
        metrics = _metrics_of(applies_to, catalogue)
        for node in head.items("rules"):
            reader = _RuleReader(node, complain)
            rule = reader.read(applies_to)
            reader.check(rule, metrics, runbooks)
            if rule.id in places:
                complain(reader.fields.at("id"), f"duplicate rule id {quote(rule.id)} (first in {places[rule.id]})")
            elif rule.id:
                places[rule.id] = f"{file}:{reader.fields.at('id')}"
            rules.append(rule)
    return RuleSet(tuple(rules))


def check_class(name: str, at: Mark, catalogue: Catalogue, complain: Complain) -> None:
    """Complains where `name` is neither a class of the catalogue nor `*`."""
    if name and name not in (EVERY_CLASS, *catalogue.class_names):
        complain(at, f"unknown device class {quote(name)}{did_you_mean(name, catalogue.class_names)}")


def _metrics_of(applies_to: str, catalogue: Catalogue) -> Mapping[str, MetricSpec | None]:
    """The metrics that a rule may name; none where the class leaves them open."""
    if applies_to == EVERY_CLASS:
        return {metric: None for each in catalogue.classes for metric in each.metrics}
    found = catalogue.device_class(applies_to)
    return found.metrics if found else {}


class _RuleReader:
    def __init__(self, node: Node, complain: Complain) -> None:
        self.complain = complain
        self.fields = Fields(
            node,
            complain,
            required=("id", "severity", "summary", "runbook"),
            optional=("metric", "clear", "for", *_KINDS),
        )

    def read(self, applies_to: str) -> Rule:
        fields = self.fields
        kind = self._kind()
        fire_low, fire_high = self._limits(kind, kind)
        clear_low, clear_high = self._limits("clear", kind) if "clear" in fields else (fire_low, fire_high)
        return Rule(
            id=fields.text("id"),
            applies_to=applies_to,
            metric=fields.text("metric") or None,
            kind=kind,
            severity=fields.choice("severity", Severity.WARNING),
            summary=fields.text("summary"),
            runbook=fields.text("runbook"),
            fire_low=fire_low,
            fire_high=fire_high,
            clear_low=clear_low,
            clear_high=clear_high,
            for_ms=fields.duration("for"),
            no_data_ms=fields.duration("no_data", default=1) if kind == "no_data" else 0,
        )

    def check(self, rule: Rule, metrics: Mapping[str, MetricSpec | None], runbooks: Collection[str]) -> None:
        fields = self.fields
        if rule.kind == "no_data":
            self._check_no_data(rule)
        elif rule.metric is None and "metric" not in fields:
            self.complain(fields.at("id"), "missing key 'metric'")
        if rule.metric and metrics and rule.metric not in metrics:
            hint = did_you_mean(rule.metric, metrics)
            self.complain(fields.at("metric"), f"unknown metric {quote(rule.metric)}{hint}")
        if rule.runbook and rule.runbook not in runbooks:
            hint = did_you_mean(rule.runbook, runbooks)
            self.complain(fields.at("runbook"), f"unknown runbook {quote(rule.runbook)}{hint}")
        self._check_levels(rule, metrics.get(rule.metric or ""))

    def _kind(self) -> Kind:
        kinds = [kind for kind in _KINDS if kind in self.fields]
        if len(kinds) != 1:
            self.complain(
                self.fields.at(kinds[1] if kinds else "id"),
                f"a rule needs exactly one of {', '.join(_KINDS)}; this one has {', '.join(kinds) or 'none'}",
            )
        return kinds[0] if kinds else "no_data"

    def _limits(self, key: str, kind: Kind) -> tuple[float, float]:
        match kind:
            case "above":
                return -math.inf, self.fields.number(key)
            case "below":
                return self.fields.number(key), math.inf
            case "outside":
                return self.fields.span(key)
            case "no_data":
                return -math.inf, math.inf

    def _check_no_data(self, rule: Rule) -> None:
        if "no_data" not in self.fields:
            return
        for key in ("metric", "clear", "for"):
            if key in self.fields:
                self.complain(self.fields.at(key), f"'{key}' has no meaning in a no_data rule")
        if rule.no_data_ms == 0:
            self.complain(self.fields.at("no_data"), "'no_data' must be longer than 0s")

    def _check_levels(self, rule: Rule, spec: MetricSpec | None) -> None:
        at = self.fields.at("clear")
        if rule.clear_high > rule.fire_high:
            self.complain(at, f"clear level {rule.clear_high:g} is above the threshold {rule.fire_high:g}")
        if rule.clear_low < rule.fire_low:
            self.complain(at, f"clear level {rule.clear_low:g} is below the threshold {rule.fire_low:g}")
        # A value outside the metric's range is not used, so such a rule would be silent for ever.
        if spec and rule.kind != "no_data" and rule.fire_low <= spec.low and rule.fire_high >= spec.high:
            self.complain(
                self.fields.at(rule.kind),
                f"can never fire: {rule.metric} is only used from {spec.low:g} to {spec.high:g}",
            )
