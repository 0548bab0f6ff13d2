"""Tokens as a tree, by operator precedence (Pratt, "Top down operator precedence", 1973)."""

from __future__ import annotations

import math

from watchkeeper.errors import ExpressionError
from watchkeeper.expressions import tree
from watchkeeper.expressions.tokens import Token, tokens_of
from watchkeeper.expressions.tree import Comparison, Node, Sign
from watchkeeper.wording import quote

DEEPEST = 40  # parts within parts, so that neither parsing nor computing can run out of stack

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _NEGATIVE, _POWER = range(1, 9)
_COMPARISONS: dict[str, Comparison] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "==", "!=": "!="}
_SIGNS: dict[str, tuple[Sign, int]] = {
    "+": ("+", _SUM),
    "-": ("-", _SUM),
    "*": ("*", _PRODUCT),
    "/": ("/", _PRODUCT),
    "%": ("%", _PRODUCT),
    "^": ("^", _POWER),
}
KEYWORDS = ("and", "or", "not", "in", "like")


def parse(text: str) -> Node:
    """The tree of an expression. ExpressionError: it is none, or nested too deeply."""
    parser = _Parser(tokens_of(text))
    node = parser.expression(0)
    if parser.next.sort != "end":
        raise ExpressionError(f"unexpected {parser.described()}", parser.next.at)
    deep = next((part for depth, part in tree.every(node) if depth > DEEPEST), None)
    if deep is not None:
        raise _too_deep(deep.at)
    return node


def _too_deep(at: int) -> ExpressionError:
    return ExpressionError(f"nested too deeply (at most {DEEPEST} levels)", at)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place, self.level = tokens, 0, 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def described(self) -> str:
        return "the end" if self.next.sort == "end" else quote(self.next.text)

    def taken(self) -> Token:
        token = self.next
        self.place += 1
        return token

    def has(self, *words: str) -> bool:
        """Is the next token one of these signs or keywords?"""
        return self.next.sort in {"sign", "name"} and self.next.text in words

    def expect(self, sign: str, what: str) -> None:
        if not self.has(sign):
            raise ExpressionError(f"{sign!r} {what} expected, not {self.described()}", self.next.at)
        self.taken()

    def expression(self, tighter: int) -> Node:
        """A part whose operators bind tighter than `tighter`."""
        self.level += 1
        if self.level > DEEPEST:
            raise _too_deep(self.next.at)
        left = self.prefix()
        while (more := self.infix(left, tighter)) is not None:
            left = more
        self.level -= 1
        return left

    def prefix(self) -> Node:
        if self.has("not"):
            return tree.Not(self.taken().at, self.expression(_NOT - 1))
        if self.has("-"):
            return tree.Negative(self.taken().at, self.expression(_NEGATIVE))
        if self.has("("):
            self.taken()
            inner = self.expression(0)
            self.expect(")", "to close the bracket")
            return inner
        return self.atom()

    def atom(self) -> Node:
        token = self.next
        if token.sort in {"sign", "end"} or (token.sort == "name" and token.text in KEYWORDS):
            raise ExpressionError(f"a value expected, not {self.described()}", token.at)
        if token.sort in {"number", "text"}:
            return self.literal()
        self.taken()
        if token.sort == "quoted":
            return tree.Metric(token.at, token.text)
        if self.has("("):
            return self.call(token)
        if token.text == "tag":
            self.expect(".", "and the name of a tag")
            if self.next.sort != "quoted":
                raise ExpressionError(f"the name of a tag expected, not {self.described()}", self.next.at)
            return tree.Tag(token.at, self.taken().text)
        if token.text.startswith("tag."):
            return tree.Tag(token.at, token.text.removeprefix("tag."))
        return tree.Metric(token.at, token.text)

    def call(self, name: Token) -> Node:
        self.taken()
        arguments: list[Node] = []
        while not self.has(")"):
            if arguments:
                self.expect(",", "or ')'")
            arguments.append(self.expression(0))
        self.taken()
        return tree.Call(name.at, name.text, tuple(arguments))

    def literal(self) -> tree.Number | tree.Text:
        negative = self.next.at if self.has("-") else None
        if negative is not None:
            self.taken()
        token = self.next
        if token.sort == "number":
            self.taken()
            value = float(token.text)
            if math.isinf(value):
                raise ExpressionError("a number that is too large", token.at)
            return tree.Number(token.at, -value if negative is not None else value)
        if token.sort == "text" and negative is None:
            self.taken()
            return tree.Text(token.at, token.text)
        raise ExpressionError(f"a number or a text expected, not {self.described()}", token.at)

    def infix(self, left: Node, tighter: int) -> Node | None:
        """The part that begins with `left` and the operator that follows; None: it does not bind tight enough."""
        text, at = (self.next.text if self.next.sort in {"sign", "name"} else ""), self.next.at
        if text == "or" and tighter < _OR:
            return tree.Either(at, self.joined(left, "or", _OR))
        if text == "and" and tighter < _AND:
            return tree.Both(at, self.joined(left, "and", _AND))
        if tighter < _COMPARE and (text in _COMPARISONS or text in {"in", "like", "not"}):
            return self.chain(left) if text in _COMPARISONS else self.membership(left)
        if text in _SIGNS and tighter < _SIGNS[text][1]:
            sign, binds = _SIGNS[text]
            self.taken()
            return tree.Arithmetic(at, sign, left, self.expression(binds - 1 if sign == "^" else binds))
        return None

    def joined(self, first: Node, word: str, binds: int) -> tuple[Node, ...]:
        parts = [first]
        while self.has(word):
            self.taken()
            parts.append(self.expression(binds))
        return tuple(parts)

    def chain(self, first: Node) -> Node:
        at, operands, signs = self.next.at, [first], []
        while self.has(*_COMPARISONS):
            signs.append(_COMPARISONS[self.taken().text])
            operands.append(self.expression(_COMPARE))
        return tree.Compare(at, tuple(operands), tuple(signs))

    def membership(self, left: Node) -> Node:
        negated = self.taken().at if self.has("not") else None
        if not self.has("in", "like"):
            raise ExpressionError(f"'in' or 'like' expected after 'not', not {self.described()}", self.next.at)
        word = self.taken()
        node: Node
        if word.text == "in":
            node = tree.Among(word.at, left, self.values())
        else:
            if self.next.sort != "text":
                message = f"a pattern in quotation marks expected after 'like', not {self.described()}"
                raise ExpressionError(message, self.next.at)
            node = tree.Like(word.at, left, self.taken().text)
        return node if negated is None else tree.Not(negated, node)

    def values(self) -> tuple[tree.Number | tree.Text, ...]:
        self.expect("(", "and a list of values after 'in'")
        found = [self.literal()]
        while not self.has(")"):
            self.expect(",", "or ')'")
            found.append(self.literal())
        self.taken()
        return tuple(found)
