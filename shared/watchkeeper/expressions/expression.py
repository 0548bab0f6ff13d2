"""An expression, compiled once and evaluated over as many readings as there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import numpy as np

from watchkeeper.errors import ExpressionError
from watchkeeper.expressions import tree
from watchkeeper.expressions.compiling import first_of, kind_of, numbers, texts, truths
from watchkeeper.expressions.parsing import parse
from watchkeeper.expressions.tree import Node
from watchkeeper.expressions.values import Columns, Kind, Truth, Words
from watchkeeper.packs import Floats
from watchkeeper.wording import did_you_mean, quote

_MEANINGS: dict[Kind, str] = {
    "number": "a number, such as flow * head",
    "boolean": "a condition, such as flow > 10",
    "text": "a text",
}
Part = TypeVar("Part", tree.Metric, tree.Tag)


@dataclasses.dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; two are equal when their texts are.

    `metrics` and `tags` are the names that it looks at, each once, in the order of the text; `kind` is what it comes
    to: numbers (float64, NaN: missing), a `Truth`, or `Words`.
    """

    text: str
    kind: Kind
    metrics: tuple[str, ...]
    tags: tuple[str, ...]
    tree: Node = dataclasses.field(compare=False, repr=False)
    _run: Callable[[Columns], Floats | Truth | Words] = dataclasses.field(compare=False, repr=False)

    @property
    def constant(self) -> bool:
        """Does it look at nothing of the reading?"""
        return not self.metrics and not self.tags

    def evaluate(self, columns: Columns) -> Floats | Truth | Words:
        """What it comes to for each reading, by its kind; every column has `columns.length` entries."""
        with np.errstate(all="ignore"):  # what has no result is missing
            found = self._run(columns)
        if isinstance(found, Truth):
            return Truth(*(np.broadcast_to(side, columns.length) for side in found))
        if isinstance(found, Words):
            return Words(np.broadcast_to(found.codes, columns.length), found.words)
        return np.broadcast_to(found, columns.length)

    def numbers(self, columns: Columns) -> Floats:
        """`evaluate` of one that comes to numbers. TypeError: it does not."""
        found = self.evaluate(columns)
        if isinstance(found, Truth | Words):
            raise TypeError(f"{self.text!r} comes to a {self.kind}, not to a number")
        return found

    def truth(self, columns: Columns) -> Truth:
        """`evaluate` of one that comes to conditions. TypeError: it does not."""
        found = self.evaluate(columns)
        if not isinstance(found, Truth):
            raise TypeError(f"{self.text!r} comes to a {self.kind}, not to a condition")
        return found


def compile_expression(text: str, names: Collection[str] | None = None, *, kind: Kind | None = None) -> Expression:
    """The expression in `text`.

    `names` are the metrics there are (None: any may be named), `kind` is what it must come to (None: anything).
    Raises ExpressionError with the place of the first mistake: in the grammar, in kinds, or in a name.
    """
    root = parse(text)
    for _, part in tree.every(root):
        if isinstance(part, tree.Metric) and names is not None and part.name not in names:
            raise ExpressionError(f"unknown metric {quote(part.name)}{did_you_mean(part.name, names)}", part.at)
    made = _made(text, root)
    if kind is not None and made.kind != kind:
        raise ExpressionError(f"this must be {_MEANINGS[kind]}, and is a {made.kind}", first_of(root))
    return made


def all_of(expressions: Sequence[Expression]) -> Expression:
    """True where all of these conditions are."""
    return _joined(expressions, "and", tree.Both)


def any_of(expressions: Sequence[Expression]) -> Expression:
    """True where at least one of these conditions is."""
    return _joined(expressions, "or", tree.Either)


def negation(expression: Expression) -> Expression:
    """True where this condition is false; where it is unknown, unknown."""
    return _made(f"not ({expression.text})", tree.Not(0, expression.tree))


def _joined(
    expressions: Sequence[Expression], word: str, node: Callable[[int, tuple[Node, ...]], tree.Both | tree.Either]
) -> Expression:
    if len(expressions) == 1:
        return expressions[0]
    text = f" {word} ".join(f"({each.text})" for each in expressions)
    return _made(text, node(0, tuple(each.tree for each in expressions)))


def _made(text: str, root: Node) -> Expression:
    kind = kind_of(root)
    run: Callable[[Columns], Floats | Truth | Words]
    run = numbers(root) if kind == "number" else truths(root) if kind == "boolean" else texts(root)
    return Expression(text, kind, _names(root, tree.Metric), _names(root, tree.Tag), root, run)


def _names(root: Node, sort: type[Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for _, part in tree.every(root) if isinstance(part, sort)))
