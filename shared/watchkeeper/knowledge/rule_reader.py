"""Reads one rule: what it is about, when it fires and clears, and what is wrong with it."""

import math
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple, get_args

from watchkeeper.errors import ExpressionError, KnowledgeError
from watchkeeper.expressions import Expression, all_of, any_of, compile_expression, negation
from watchkeeper.expressions.ranges import can_hold
from watchkeeper.knowledge.calendars import Calendar, read_calendar
from watchkeeper.knowledge.catalogue import MetricSpec
from watchkeeper.knowledge.durations import format_duration, parse_duration
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, did_you_mean, quote
from watchkeeper.knowledge.rules import PREDICT_MS, Kind, Rule
from watchkeeper.knowledge.yaml_nodes import Node
from watchkeeper.records import Severity

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_PREDICT_MS = 30 * 86_400_000
MOST_TIMES, MOST_STEPS = 100, 8  # what is remembered of a device is bounded by them

_FORCE = ("while", "during", "except")
_COUNTED = ("for", "times", "within", *_FORCE)
_MEANING: Mapping[Kind, tuple[str, ...]] = {
    "above": ("metric", "clear", "predict", *_COUNTED),
    "below": ("metric", "clear", "predict", *_COUNTED),
    "outside": ("metric", "clear", "predict", *_COUNTED),
    "equals": ("metric", *_COUNTED),
    "rising": ("metric", "clear", *_COUNTED),
    "falling": ("metric", "clear", *_COUNTED),
    "flatline": ("metric", "tolerance", *_FORCE),
    "when": ("clear", *_COUNTED),
    "sequence": ("within", *_FORCE),
    "no_data": ("during", "except"),
}
_SOME = ("metric", "clear", "tolerance", "predict", *_COUNTED)
RULE_KEYS = ("id", "severity", "summary", "runbook", *KINDS, *_SOME, "sites", "devices", "overrides")
_JOINS = {"all": all_of, "any": any_of}
_PER = re.compile(r"(\S+)\s+per\s+(\S+)")


class Surroundings(NamedTuple):
    """What the rules of a file may name: the metrics of their class (none: any), and the runbooks."""

    applies_to: str
    metrics: Mapping[str, MetricSpec | None]
    runbooks: Collection[str]
    interval_ms: int = 0


def read_rule(fields: Fields, around: Surroundings, complain: Complain) -> Rule:
    """The rule under these keys; what is wrong with it is complained about."""
    return _RuleReader(fields, around, complain).read()


class _RuleReader:
    def __init__(self, fields: Fields, around: Surroundings, complain: Complain) -> None:
        self.fields, self.around, self.complain = fields, around, complain
        self.kind = self._kind()

    def read(self) -> Rule:
        fields, kind = self.fields, self.kind
        self._check_keys()
        fire_low, fire_high = self._limits(kind)
        clear_low, clear_high = (fire_low, fire_high) if not self._has("clear") else self._limits("clear")
        rule = Rule(
            id=fields.text("id"),
            applies_to=self.around.applies_to,
            metric=(fields.text("metric") or None) if "metric" in _MEANING[kind] else None,
            kind=kind,
            severity=fields.choice("severity", Severity.WARNING),
            summary=fields.text("summary"),
            runbook=fields.text("runbook"),
            fire_low=fire_low,
            fire_high=fire_high,
            clear_low=clear_low,
            clear_high=clear_high,
            for_ms=fields.duration("for") if self._has("for") else 0,
            no_data_ms=self._window("no_data") if kind == "no_data" else 0,
            equals=fields.number_or_more("equals") if kind == "equals" else (),
            per_ms=self._per_ms(),
            tolerance=self._tolerance(),
            when=self._expression(fields.node("when")) if kind == "when" else None,
            clear=self._expression(fields.node("clear")) if kind == "when" else None,
            steps=self._steps(),
            times=fields.whole("times", 2, MOST_TIMES) if self._has("times") else 0,
            within_ms=self._window("within") if self._has("within") else 0,
            only_while=self._expression(fields.node("while")) if self._has("while") else None,
            during=self._calendars("during"),
            except_during=self._calendars("except"),
            predict_ms=self._horizon(),
        )
        self._check(rule)
        return rule

    def _kind(self) -> Kind:
        kinds = [kind for kind in KINDS if kind in self.fields]
        if len(kinds) != 1:
            self.complain(
                self.fields.key_at(kinds[1] if kinds else "id"),
                f"a rule needs exactly one of {', '.join(KINDS)}; this one has {', '.join(kinds) or 'none'}",
            )
        return kinds[0] if kinds else "no_data"

    def _has(self, key: str) -> bool:
        return key in self.fields and key in _MEANING[self.kind]

    def _check_keys(self) -> None:
        fields, kind = self.fields, self.kind
        if kind in fields:
            article = "an" if kind[0] in "aeo" else "a"
            for key in _SOME:
                if key in fields and key not in _MEANING[kind]:
                    self.complain(fields.key_at(key), f"'{key}' has no meaning in {article} {kind} rule")
        if "metric" in _MEANING[kind] and "metric" not in fields:
            self.complain(fields.at("id"), "missing key 'metric'")
        if self._has("times") and self._has("for"):
            self.complain(fields.key_at("for"), "'for' and 'times' exclude each other")
        pairs = [("times", "within"), ("within", "times")] if "times" in _MEANING[kind] else []
        for key, other in [("sequence", "within")] if kind == "sequence" else pairs:
            if key in fields and other not in fields:
                self.complain(fields.key_at(key), f"'{key}' needs '{other}'")

    # --- levels -----------------------------------------------------------------------------------------------------

    def _limits(self, key: str) -> tuple[float, float]:
        """The levels of a key, as the lowest and highest value that neither is."""
        match self.kind:
            case "above":
                return -math.inf, self.fields.number(key)
            case "below":
                return self.fields.number(key), math.inf
            case "outside":
                return self.fields.span(key)
            case "rising" | "falling":
                change = self._per(key)[0] if key == self.kind else self.fields.number(key)
                return (-math.inf, change) if self.kind == "rising" else (-change, math.inf)
            case "flatline":
                return -math.inf, self._window(key) - 1
            case _:
                return -math.inf, math.inf

    def _per(self, key: str) -> tuple[float, int]:
        """How much, and in how many ms: `5 per 1m`."""
        node = self.fields.node(key)
        match = _PER.fullmatch(node.value.strip()) if node and isinstance(node.value, str) else None
        if node is None or match is None:
            if node:
                self.complain(node.at, f"'{key}' must be a number per time such as 5 per 1m, not {node.describe()}")
            return math.nan, 1
        try:
            change, window = float(match[1]), parse_duration(match[2])
        except (ValueError, KnowledgeError):
            change, window = math.nan, 1
        if not 0 < change < math.inf or window < 1:
            self.complain(
                node.at, f"'{key}' must be more than 0 per some time, such as 5 per 1m, not {node.describe()}"
            )
        return change, max(window, 1)

    def _window(self, key: str) -> int:
        """A time, which is no use if it is shorter than the time from one reading to the next."""
        ms = self.fields.duration(key, default=-1)
        if ms == 0:
            self.complain(self.fields.at(key), f"'{key}' must be longer than 0s")
        elif ms > 0:
            self._check_window(key, ms)
        return max(ms, 1)

    def _check_window(self, key: str, ms: int) -> None:
        if ms < self.around.interval_ms:
            every = format_duration(self.around.interval_ms)
            text = f"{format_duration(ms)} is shorter than the interval of class {self.around.applies_to}, {every}"
            self.complain(self.fields.at(key), text)

    def _per_ms(self) -> int:
        if self.kind == "flatline":
            return max(self.fields.duration("flatline"), 1)
        if self.kind not in {"rising", "falling"}:
            return 0
        window = self._per(self.kind)[1]
        if window > 1:
            self._check_window(self.kind, window)
        return window

    def _tolerance(self) -> float:
        if not self._has("tolerance"):
            return 0.0
        tolerance = self.fields.number("tolerance")
        if tolerance < 0:
            self.complain(self.fields.at("tolerance"), f"'tolerance' must not be less than 0, as {tolerance:g} is")
        return tolerance

    def _horizon(self) -> int:
        """How far ahead to predict, in ms; 0: not at all."""
        node = self.fields.node("predict")
        if node is None or not self._has("predict"):
            return PREDICT_MS
        if node.value is False or node.value == "off":
            return 0
        try:
            horizon = parse_duration(node.value if isinstance(node.value, str) else "")
        except KnowledgeError:
            horizon = -1
        if not 60_000 <= horizon <= MOST_PREDICT_MS:
            text = f"'predict' must be off, or a duration from 1m to 30d, not {node.describe()}"
            self.complain(node.at, text)
            return PREDICT_MS
        return horizon

    # --- expressions and calendars ----------------------------------------------------------------------------------

    def _expression(self, node: Node | None) -> Expression | None:
        """A condition: a text, or `any`, `all` or `not` of conditions; None after a complaint."""
        if node is None:
            return None
        if isinstance(node.value, str):
            return self._compiled(node, node.value)
        entries = list(node.value.items()) if isinstance(node.value, Mapping) else []
        if len(entries) != 1 or entries[0][0] not in {"any", "all", "not"}:
            self.complain(node.at, f"a condition is a text, or one of any, all and not; this is {node.describe()}")
            return None
        word, inner = entries[0]
        if word == "not":
            found = self._expression(inner)
            return found and negation(found)
        if not isinstance(inner.value, tuple) or not inner.value:
            self.complain(inner.at, f"'{word}' must be a list of conditions, not {inner.describe()}")
            return None
        parts = [self._expression(part) for part in inner.value]
        made = [part for part in parts if part is not None]
        return _JOINS[word](made) if len(made) == len(parts) else None

    def _compiled(self, node: Node, text: str) -> Expression | None:
        try:
            found = compile_expression(text, self.around.metrics or None, kind="boolean")
        except ExpressionError as error:
            self.complain(node.place(error.offset), error.text)
            return None
        if found.constant:
            self.complain(node.at, "this looks at no metric and no tag: it is always the same")
            return None
        ranges = {name: (spec.low, spec.high) for name, spec in self.around.metrics.items() if spec}
        if not can_hold(found.tree, ranges):
            self.complain(node.at, "this can never be true: the metrics are only used within their ranges")
        return found

    def _steps(self) -> tuple[Expression, ...]:
        if self.kind != "sequence":
            return ()
        items = self.fields.items("sequence")
        if not 2 <= len(items) <= MOST_STEPS and isinstance(
            getattr(self.fields.node("sequence"), "value", None), tuple
        ):
            self.complain(self.fields.at("sequence"), f"a sequence has from 2 to {MOST_STEPS} steps, not {len(items)}")
        return tuple(step for item in items if (step := self._expression(item)) is not None)

    def _calendars(self, key: str) -> tuple[Calendar, ...]:
        return tuple(read_calendar(node, self.complain) for node in self.fields.one_or_more(key))

    # --- what cannot be meant ---------------------------------------------------------------------------------------

    def _check(self, rule: Rule) -> None:
        fields, metrics, runbooks = self.fields, self.around.metrics, self.around.runbooks
        if rule.metric and metrics and rule.metric not in metrics:
            self.complain(
                fields.at("metric"), f"unknown metric {quote(rule.metric)}{did_you_mean(rule.metric, metrics)}"
            )
        if rule.runbook and rule.runbook not in runbooks:
            hint = did_you_mean(rule.runbook, runbooks)
            self.complain(fields.at("runbook"), f"unknown runbook {quote(rule.runbook)}{hint}")
        turned = -1 if rule.kind == "falling" else 1  # as it is written
        if rule.clear_high > rule.fire_high or (turned < 0 and rule.clear_low < rule.fire_low):
            clear, fire = (rule.clear_high, rule.fire_high) if turned > 0 else (-rule.clear_low, -rule.fire_low)
            self.complain(fields.at("clear"), f"clear level {clear:g} is above the threshold {fire:g}")
        elif rule.clear_low < rule.fire_low:
            self.complain(
                fields.at("clear"), f"clear level {rule.clear_low:g} is below the threshold {rule.fire_low:g}"
            )
        spec = metrics.get(rule.metric or "")
        if spec:
            self._check_range(rule, spec)

    def _check_range(self, rule: Rule, spec: MetricSpec) -> None:
        """A value outside the metric's range is not used, so a rule that waits for one would be silent for ever."""
        match rule.kind:
            case "above" | "below" | "outside":
                never = rule.fire_low <= spec.low and rule.fire_high >= spec.high
            case "equals":
                never = bool(rule.equals) and all(not spec.low <= value <= spec.high for value in rule.equals)
            case "rising" | "falling":
                never = max(rule.fire_high if rule.kind == "rising" else -rule.fire_low, 0) >= spec.high - spec.low
            case _:
                never = False
        if never:
            text = f"can never fire: {rule.metric} is only used from {spec.low:g} to {spec.high:g}"
            self.complain(self.fields.at(rule.kind), text)
