"""The tree of an expression. `at` is where a part begins in the text, in characters from 0."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

Sign: TypeAlias = Literal["+", "-", "*", "/", "%", "^"]
Comparison: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    at: int
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A text as written, without its quotes."""

    at: int
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """The value of a metric."""

    at: int
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Tag:
    """The text of a tag."""

    at: int
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Negative:
    """A number with its sign turned."""

    at: int
    of: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers and what is done with them; `at` is where the sign stands."""

    at: int
    sign: Sign
    left: Node
    right: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Compare:
    """A chain, `a < b < c`: each operand with the next one; there is one sign less than operands."""

    at: int
    operands: tuple[Node, ...]
    signs: tuple[Comparison, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Among:
    """Is it one of these numbers or texts?"""

    at: int
    of: Node
    values: tuple[Number | Text, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Like:
    """Does the whole text fit the pattern, in which `*` is any text and `?` any one character?"""

    at: int
    of: Node
    pattern: str


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of unknown, unknown."""

    at: int
    of: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Both:
    """All of its parts; two or more."""

    at: int
    parts: tuple[Node, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Either:
    """At least one of its parts; two or more."""

    at: int
    parts: tuple[Node, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A function of some arguments."""

    at: int
    name: str
    arguments: tuple[Node, ...]


Node: TypeAlias = (
    Number | Text | Metric | Tag | Negative | Arithmetic | Compare | Among | Like | Not | Both | Either | Call
)


def children(node: Node) -> tuple[Node, ...]:
    """The parts directly below a node."""
    match node:
        case Negative() | Among() | Like() | Not():
            return (node.of,)
        case Arithmetic():
            return (node.left, node.right)
        case Compare():
            return node.operands
        case Both() | Either():
            return node.parts
        case Call():
            return node.arguments
        case _:
            return ()


def every(root: Node) -> list[tuple[int, Node]]:
    """All nodes with their depth (the root's is 1), in the order of the text. Not recursive: a tree may be deep."""
    found: list[tuple[int, Node]] = []
    waiting = [(1, root)]
    while waiting:
        depth, node = waiting.pop()
        found.append((depth, node))
        waiting += [(depth + 1, child) for child in reversed(children(node))]
    return found
