"""What a condition can come to, given the ranges of the metrics: whether it can ever hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from watchkeeper.expressions import tree
from watchkeeper.expressions.tree import Comparison, Node

Range: TypeAlias = tuple[float, float]

_ANY: Range = (-math.inf, math.inf)


def can_hold(node: Node, ranges: Mapping[str, Range]) -> bool:
    """Can this condition ever be true? False only if it is sure; a metric without a range can be anything."""
    match node:
        case tree.Both(parts=parts):
            return all(can_hold(part, ranges) for part in parts)
        case tree.Either(parts=parts):
            return any(can_hold(part, ranges) for part in parts)
        case tree.Compare(operands=operands, signs=signs):
            found = [_range(operand, ranges) for operand in operands]
            return all(_possible(sign, a, b) for sign, a, b in zip(signs, found[:-1], found[1:], strict=True))
        case tree.Among(of=of, values=values):
            low, high = _range(of, ranges)
            return any(isinstance(value, tree.Text) or low <= value.value <= high for value in values)
        case _:
            return True


def _possible(sign: Comparison, left: Range, right: Range) -> bool:
    match sign:
        case "<":
            return left[0] < right[1]
        case "<=":
            return left[0] <= right[1]
        case ">":
            return left[1] > right[0]
        case ">=":
            return left[1] >= right[0]
        case "==":
            return left[0] <= right[1] and right[0] <= left[1]
        case "!=":
            return not left[0] == left[1] == right[0] == right[1]


def _range(node: Node, ranges: Mapping[str, Range]) -> Range:
    """The least and greatest that a number can be; anything where that is not known."""
    match node:
        case tree.Number(value=value):
            return value, value
        case tree.Metric(name=name):
            return ranges.get(name, _ANY)
        case tree.Negative(of=of):
            low, high = _range(of, ranges)
            return -high, -low
        case tree.Arithmetic(sign="+", left=left, right=right):
            (a, b), (c, d) = _range(left, ranges), _range(right, ranges)
            return a + c, b + d
        case tree.Arithmetic(sign="-", left=left, right=right):
            (a, b), (c, d) = _range(left, ranges), _range(right, ranges)
            return a - d, b - c
        case _:
            return _ANY
