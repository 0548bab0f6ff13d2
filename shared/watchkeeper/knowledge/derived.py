"""Metrics that are computed from others: `derived: {efficiency: flow * head / power}` in a catalogue file."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import msgspec

from watchkeeper.errors import ExpressionError
from watchkeeper.expressions import Expression, compile_expression
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, quote
from watchkeeper.knowledge.yaml_nodes import Node

MOST = 32  # derived metrics of a class: a message has room for so many columns more


class Derived(msgspec.Struct, frozen=True):
    """A metric and the formula that gives it; where one of the formula's metrics is missing, so is the result."""

    name: str
    expression: Expression


def read_derived(fields: Fields, metrics: Mapping[str, object], complain: Complain) -> tuple[Derived, ...]:
    """The derived metrics of a class, each after those that it is computed from.

    `metrics` are those that the class declares (none: any may be named). Complains of mistakes in formulas, names that
    nobody knows, and formulas that go in a circle.
    """
    nodes = fields.mapping("derived")
    if len(nodes) > MOST:
        complain(fields.at("derived"), f"{len(nodes)} derived metrics; a class has {MOST} at most")
    names = {*metrics, *nodes} if metrics else None
    found: dict[str, Derived] = {}
    for name, node in nodes.items():
        expression = _expression(name, node, names, complain)
        if expression:
            found[name] = Derived(name, expression)
    try:
        order = [*TopologicalSorter({name: _needs(each, found) for name, each in found.items()}).static_order()]
    except CycleError as error:
        circle: list[str] = error.args[1]
        complain(nodes[circle[0]].at, f"computed from itself: {' needs '.join(map(quote, reversed(circle)))}")
        return ()
    return tuple(found[name] for name in order)


def _expression(name: str, node: Node, names: set[str] | None, complain: Complain) -> Expression | None:
    if not isinstance(node.value, str):
        complain(node.at, f"{quote(name)} must be a formula such as flow * head, not {node.describe()}")
        return None
    try:
        made = compile_expression(node.value, names, kind="number")
    except ExpressionError as error:
        complain(node.place(error.offset), error.text)
        return None
    if not made.metrics or made.tags:
        what = "looks at tags" if made.tags else "looks at no metric"
        complain(node.at, f"{quote(name)} {what}; a derived metric is computed from metrics")
        return None
    return made


def _needs(derived: Derived, found: Mapping[str, Derived]) -> list[str]:
    return [name for name in derived.expression.metrics if name in found]
