"""A tree as closures over columns; kinds are checked here, once, so that nothing can go wrong over the readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from watchkeeper.errors import ExpressionError
from watchkeeper.expressions import tree
from watchkeeper.expressions.functions import FUNCTIONS, Function, finite
from watchkeeper.expressions.patterns import fits
from watchkeeper.expressions.tree import Comparison, Node
from watchkeeper.expressions.values import NO_WORDS, Columns, Kind, Truth, Words
from watchkeeper.packs import Bools, Floats
from watchkeeper.wording import did_you_mean, quote

Numbers: TypeAlias = Callable[[Columns], Floats]
Truths: TypeAlias = Callable[[Columns], Truth]
Texts: TypeAlias = Callable[[Columns], Words]

Literal = TypeVar("Literal", tree.Number, tree.Text)

_MISSING = np.full((), np.nan)
_ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
    "^": np.power,
}
_COMPARE: dict[Comparison, tuple[Callable[[Floats, Floats], Bools], Callable[[Floats, Floats], Bools]]] = {
    "<": (np.less, np.greater_equal),
    "<=": (np.less_equal, np.greater),
    ">": (np.greater, np.less_equal),
    ">=": (np.greater_equal, np.less),
    "==": (np.equal, np.not_equal),
    "!=": (np.not_equal, np.equal),
}
_NAMES: dict[Kind, str] = {"number": "a number", "boolean": "a condition", "text": "a text"}


def kind_of(node: Node) -> Kind:
    """What a tree comes to. ExpressionError: it is a function that there is not."""
    match node:
        case tree.Number() | tree.Metric() | tree.Negative() | tree.Arithmetic():
            return "number"
        case tree.Text() | tree.Tag():
            return "text"
        case tree.Call():
            return function_of(node).gives
        case _:
            return "boolean"


def function_of(node: tree.Call) -> Function:
    """The function that is called. ExpressionError: there is none of this name."""
    found = FUNCTIONS.get(node.name)
    if found is None:
        hint = did_you_mean(node.name, FUNCTIONS) or f" (there are {', '.join(FUNCTIONS)})"
        raise ExpressionError(f"unknown function {quote(node.name)}{hint}", node.at)
    return found


def numbers(node: Node) -> Numbers:
    """A tree that comes to numbers. ExpressionError: it does not."""
    match node:
        case tree.Number(value=value):
            constant = np.asarray(value)
            return lambda _: constant
        case tree.Metric(name=name):
            return lambda columns: finite(columns.metrics.get(name, _MISSING))
        case tree.Negative(of=of):
            operand = numbers(of)
            return lambda columns: np.negative(operand(columns))
        case tree.Arithmetic(sign=sign, left=left, right=right):
            run, first, second = _ARITHMETIC[sign], numbers(left), numbers(right)
            return lambda columns: finite(run(first(columns), second(columns)))
        case tree.Call():
            call = _called(node, "number")
            return lambda columns: finite(call(columns))
        case _:
            raise _wrong("number", node)


def texts(node: Node) -> Texts:
    """A tree that comes to texts. ExpressionError: it does not."""
    match node:
        case tree.Text(value=value):
            word = Words(np.zeros((), np.int64), (value,))
            return lambda _: word
        case tree.Tag(name=name):
            return lambda columns: columns.tags.get(name, NO_WORDS)
        case _:
            raise _wrong("text", node)


def truths(node: Node) -> Truths:  # noqa: PLR0911 - one for each sort of node
    """A tree that comes to conditions. ExpressionError: it does not."""
    match node:
        case tree.Not(of=of):
            operand = truths(of)
            return lambda columns: Truth(*reversed(operand(columns)))
        case tree.Both(parts=parts):
            return _joined([truths(part) for part in parts], np.logical_and, np.logical_or)
        case tree.Either(parts=parts):
            return _joined([truths(part) for part in parts], np.logical_or, np.logical_and)
        case tree.Compare():
            return _text_chain(node) if kind_of(node.operands[0]) == "text" else _number_chain(node)
        case tree.Among():
            return _among(node)
        case tree.Like(of=of, pattern=pattern):
            text = texts(of)
            return lambda columns: text(columns).holds(lambda word: fits(word, pattern))
        case tree.Call():
            return _called(node, "boolean")
        case _:
            raise _wrong("boolean", node)


def _wrong(wanted: Kind, node: Node) -> ExpressionError:
    hint = ""
    if wanted == "text" and isinstance(node, tree.Number):
        hint = "; a text stands in quotation marks"
    if wanted == "number" and isinstance(node, tree.Tag):
        hint = f"; number(tag.{node.name}) makes one of it"
    return ExpressionError(f"{_NAMES[wanted]} is needed here, not {_NAMES[kind_of(node)]}{hint}", first_of(node))


def first_of(node: Node) -> int:
    """Where a part begins; an operator stands behind its first operand."""
    return min(part.at for _, part in tree.every(node))


def _joined(
    parts: Sequence[Truths], yes: Callable[[Bools, Bools], Bools], no: Callable[[Bools, Bools], Bools]
) -> Truths:
    def run(columns: Columns) -> Truth:
        result = parts[0](columns)
        for part in parts[1:]:
            other = part(columns)
            result = Truth(yes(result.yes, other.yes), no(result.no, other.no))
        return result

    return run


def _number_chain(node: tree.Compare) -> Truths:
    operands = [numbers(operand) for operand in node.operands]
    signs = [_COMPARE[sign] for sign in node.signs]

    def run(columns: Columns) -> Truth:
        values = [operand(columns) for operand in operands]
        yes, no = np.asarray(True), np.asarray(False)
        for (holds, fails), left, right in zip(signs, values[:-1], values[1:], strict=True):
            known = ~(np.isnan(left) | np.isnan(right))  # NaN is unlike everything, so `!=` would hold
            yes, no = yes & known & holds(left, right), no | (known & fails(left, right))
        return Truth(yes, no)

    return run


def _text_chain(node: tree.Compare) -> Truths:
    operands = [texts(operand) for operand in node.operands]
    for sign in node.signs:
        if sign not in {"==", "!="}:
            raise ExpressionError(f"texts have no order: {sign!r} compares numbers", node.at)

    def run(columns: Columns) -> Truth:
        values = [operand(columns) for operand in operands]
        yes, no = np.asarray(True), np.asarray(False)
        for sign, left, right in zip(node.signs, values[:-1], values[1:], strict=True):
            known = left.present() & right.present()
            same = _same(left, right)
            holds = same if sign == "==" else ~same
            yes, no = yes & known & holds, no | (known & ~holds)
        return Truth(yes, no)

    return run


def _same(left: Words, right: Words) -> Bools:
    """Are the texts equal? Words are numbered alike on both sides, and the numbers compared."""
    numbers_of: dict[str | None, int] = {}
    for word in (*left.words, *right.words):
        numbers_of.setdefault(word, len(numbers_of))
    one, other = (np.array([*(numbers_of[word] for word in side.words), -1])[side.codes] for side in (left, right))
    return np.asarray(one == other)


def _among(node: tree.Among) -> Truths:
    if kind_of(node.of) == "text":
        text = texts(node.of)
        words = frozenset(_of_sort(value, tree.Text, "text").value for value in node.values)
        return lambda columns: text(columns).holds(words.__contains__)
    number = numbers(node.of)
    values = np.array([_of_sort(value, tree.Number, "number").value for value in node.values])

    def run(columns: Columns) -> Truth:
        column = number(columns)
        yes, known = np.isin(column, values), ~np.isnan(column)
        return Truth(yes & known, ~yes & known)

    return run


def _of_sort(value: tree.Number | tree.Text, sort: type[Literal], wanted: Kind) -> Literal:
    if not isinstance(value, sort):
        raise _wrong(wanted, value)
    return value


def _called(node: tree.Call, wanted: Kind) -> Callable[[Columns], Any]:
    function = function_of(node)
    if function.gives != wanted:
        raise _wrong(wanted, node)
    takes = list(function.takes)
    if function.more:
        takes += [takes[-1]] * (len(node.arguments) - len(takes))
    if len(takes) != len(node.arguments):
        number = f"{'at least ' if function.more else ''}{len(takes)} argument{'s' if len(takes) > 1 else ''}"
        raise ExpressionError(f"{node.name} takes {number}, not {len(node.arguments)}", node.at)
    arguments = [_argument(kind, each) for kind, each in zip(takes, node.arguments, strict=True)]
    return lambda columns: function.run(*(argument(columns) for argument in arguments))


def _argument(kind: Kind | None, node: Node) -> Callable[[Columns], Floats | Truth | Words]:
    match kind or kind_of(node):
        case "text":
            return texts(node)
        case "boolean" if kind:
            return truths(node)
        case _:
            return numbers(node)
