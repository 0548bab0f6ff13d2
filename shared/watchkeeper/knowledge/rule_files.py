"""Reads `rules/*.yaml`, and checks them against the catalogue and the runbooks that they name."""

from collections.abc import Collection, Mapping

import msgspec

from watchkeeper.knowledge.catalogue import INTERVAL_MS, Catalogue
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, Mark, Problems, did_you_mean, quote
from watchkeeper.knowledge.rule_reader import RULE_KEYS, Surroundings, read_rule
from watchkeeper.knowledge.rules import EVERY_CLASS, Override, Rule, RuleSet, Scope
from watchkeeper.knowledge.yaml_nodes import Node, parse_yaml

_SCOPE = ("sites", "devices")
_NOT_OVERRIDDEN = ("id", "metric", "runbook", "overrides", *_SCOPE)
_OVERRIDDEN = tuple(key for key in RULE_KEYS if key not in _NOT_OVERRIDDEN)


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
        around = _surroundings(applies_to, catalogue, runbooks)
        for node in head.items("rules"):
            fields = Fields(node, complain, required=("id", "severity", "summary", "runbook"), optional=RULE_KEYS)
            rule = read_rule(fields, around, complain)
            if rule.id in places:
                complain(fields.at("id"), f"duplicate rule id {quote(rule.id)} (first in {places[rule.id]})")
            elif rule.id:
                places[rule.id] = f"{file}:{fields.at('id')}"
            rules.append(_with_scope(rule, node, fields, around, complain))
    return RuleSet(tuple(rules))


def check_class(name: str, at: Mark, catalogue: Catalogue, complain: Complain) -> None:
    """Complains where `name` is neither a class of the catalogue nor `*`."""
    if name and name not in (EVERY_CLASS, *catalogue.class_names):
        complain(at, f"unknown device class {quote(name)}{did_you_mean(name, catalogue.class_names)}")


def _surroundings(applies_to: str, catalogue: Catalogue, runbooks: Collection[str]) -> Surroundings:
    """What a rule may name; a class that leaves its metrics open, and every class, have no ranges."""
    if applies_to == EVERY_CLASS:
        return Surroundings(applies_to, {name: None for each in catalogue.classes for name in each.metrics}, runbooks)
    found = catalogue.device_class(applies_to)
    if found is None:
        return Surroundings(applies_to, {}, runbooks)
    return Surroundings(applies_to, found.metrics, runbooks, found.interval_ms or INTERVAL_MS)


def _with_scope(rule: Rule, node: Node, fields: Fields, around: Surroundings, complain: Complain) -> Rule:
    overrides = tuple(_override(each, node, around, complain) for each in fields.items("overrides"))
    return msgspec.structs.replace(rule, scope=_scope(fields), overrides=overrides)


def _scope(fields: Fields) -> Scope:
    return Scope(fields.texts("sites"), fields.texts("devices"))


def _override(each: Node, node: Node, around: Surroundings, complain: Complain) -> Override:
    """The rule again, with some of its keys replaced; what is wrong in those that are not has been said."""
    own = Fields(each, complain, optional=(*_SCOPE, "off", *_OVERRIDDEN))
    if isinstance(each.value, Mapping) and not any(key in own for key in _SCOPE):
        complain(each.at, "an override needs 'sites' or 'devices'")
    if own.flag("off"):
        return Override(_scope(own), None)
    entries = {key: value for key, value in _entries(node).items() if key not in ("overrides", *_SCOPE)}
    entries |= {key: value for key, value in _entries(each).items() if key in _OVERRIDDEN}
    if isinstance(each.value, Mapping) and not any(key in own for key in _OVERRIDDEN):
        complain(each.at, f"an override needs 'off: true' or one of {', '.join(_OVERRIDDEN)}")
    merged = Node(each.at, entries, each.key_at)
    return Override(_scope(own), read_rule(Fields(merged, complain, optional=tuple(entries)), around, complain))


def _entries(node: Node) -> Mapping[str, Node]:
    return node.value if isinstance(node.value, Mapping) else {}
