"""The language as one would compute it by hand: one reading at a time, None for what is missing or unknown."""

from __future__ import annotations

import fnmatch
import math
import re

from watchkeeper.expressions import tree

SIGNS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
    "^": lambda a, b: a**b,
}
COMPARE = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
OF_NUMBERS = {
    "abs": abs,
    "ceil": math.ceil,
    "clip": lambda value, low, high: min(max(value, low), high),
    "floor": math.floor,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}


def plainly(node, values, tags):  # noqa: C901, PLR0911 - a case for each sort of node
    """What a tree comes to for one reading: a float, a bool, a str or None."""
    match node:
        case tree.Number() | tree.Text():
            return node.value
        case tree.Metric():
            return values.get(node.name)
        case tree.Tag():
            return tags.get(node.name)
        case tree.Negative():
            return number(lambda a: -a, plainly(node.of, values, tags))
        case tree.Arithmetic():
            return number(SIGNS[node.sign], plainly(node.left, values, tags), plainly(node.right, values, tags))
        case tree.Compare():
            operands = [plainly(operand, values, tags) for operand in node.operands]
            pairs = zip(node.signs, operands[:-1], operands[1:], strict=True)
            return conjunction([None if None in (a, b) else COMPARE[sign](a, b) for sign, a, b in pairs])
        case tree.Among():
            of = plainly(node.of, values, tags)
            return None if of is None else of in [value.value for value in node.values]
        case tree.Like():
            of = plainly(node.of, values, tags)
            pattern = re.sub(r"([\[\]])", r"[\1]", node.pattern)
            return None if of is None else re.match(fnmatch.translate(pattern), of) is not None
        case tree.Not():
            return opposite(plainly(node.of, values, tags))
        case tree.Both():
            return conjunction([plainly(part, values, tags) for part in node.parts])
        case tree.Either():
            return opposite(conjunction([opposite(plainly(part, values, tags)) for part in node.parts]))
        case tree.Call():
            return call(node.name, [plainly(argument, values, tags) for argument in node.arguments])
    raise AssertionError(node)


def opposite(value):
    return None if value is None else not value


def conjunction(parts):
    if False in parts:
        return False
    return None if None in parts else True


def number(function, *arguments):
    if None in arguments:
        return None
    try:
        result = float(function(*arguments))
    except (ArithmeticError, ValueError, TypeError):  # TypeError: a power that is complex
        return None
    return result if math.isfinite(result) else None


def call(name, arguments):
    if name == "missing":
        return arguments[0] is None
    if name == "default":
        return arguments[1] if arguments[0] is None else arguments[0]
    if name == "if":
        return {True: arguments[1], False: arguments[2], None: None}[arguments[0]]
    if name == "number":
        return number(float, *arguments)
    return number(OF_NUMBERS[name], *arguments)
