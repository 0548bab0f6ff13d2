"""Typed reading of a YAML mapping: each reader returns a value of its type and complains where the file has none.

After a complaint a reader returns a harmless value (`""`, nan, `()`), so that the rest of the file is still checked.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.durations import parse_duration
from watchkeeper.knowledge.problems import Complain, Mark, did_you_mean, quote
from watchkeeper.knowledge.yaml_nodes import Node

Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """The keys of one mapping. What is neither in `required` nor in `optional` is complained about."""

    def __init__(
        self, node: Node, complain: Complain, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> None:
        self._at = node.at
        self._complain = complain
        self._nodes = mapping(node, complain)
        known = required + optional
        for key, value in self._nodes.items():
            if key not in known:
                complain(value.key_at, f"unknown key {quote(key)}{did_you_mean(key, known)}")
        if isinstance(node.value, Mapping):
            for key in required:
                if key not in self._nodes:
                    complain(node.at, f"missing key '{key}'")

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def at(self, key: str) -> Mark:
        """The place of what stands under `key`, or of the mapping where it is absent."""
        return self._nodes[key].at if key in self._nodes else self._at

    def node(self, key: str) -> Node | None:
        """What stands under `key`."""
        return self._nodes.get(key)

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty."""
        node = self._nodes.get(key)
        return default if node is None else _text(node, f"'{key}'", self._complain)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(_text(item, f"each item of '{key}'", self._complain) for item in self.items(key))

    def number(self, key: str) -> float:
        """A finite number."""
        node = self._nodes.get(key)
        return math.nan if node is None else _number(node, f"'{key}'", self._complain)

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`; `low` where there is none."""
        node = self._nodes.get(key)
        if node is None:
            return low
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._complain(node.at, f"'{key}' must be a whole number from {low} to {high}, not {node.describe()}")
        return low

    def flag(self, key: str) -> bool:
        """True or false; false where there is neither."""
        node = self._nodes.get(key)
        if node is None or isinstance(node.value, bool):
            return bool(node and node.value)
        self._complain(node.at, f"'{key}' must be true or false, not {node.describe()}")
        return False

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        return tuple(_number(item, f"each item of '{key}'", self._complain) for item in self.items(key))

    def number_or_more(self, key: str) -> tuple[float, ...]:
        """One finite number, or a list of them."""
        return tuple(_number(item, f"each item of '{key}'", self._complain) for item in self.one_or_more(key))

    def span(self, key: str) -> tuple[float, float]:
        """`[low, high]` with low < high."""
        numbers = self.numbers(key)
        if len(numbers) != 2:
            if isinstance(self._nodes[key].value, tuple):
                self._complain(self.at(key), f"'{key}' must be [low, high], not {len(numbers)} numbers")
            return math.nan, math.nan
        low, high = numbers
        if low >= high:
            self._complain(self.at(key), f"'{key}' is reversed: {low:g} is not below {high:g}")
        return low, high

    def duration(self, key: str, default: int = 0) -> int:
        """A duration, in milliseconds."""
        node = self._nodes.get(key)
        if node is None:
            return default
        try:
            return parse_duration(node.value if isinstance(node.value, str) else "")
        except KnowledgeError:
            self._complain(node.at, f"'{key}' must be a duration such as 30s, not {node.describe()}")
            return default

    def choice(self, key: str, default: Choice) -> Choice:
        """One of the words of the enumeration that `default` belongs to."""
        if key not in self._nodes:
            return default
        word, words = self.text(key), [choice.value for choice in type(default)]
        if word in words:
            return type(default)(word)
        if word:
            hint = did_you_mean(word, words) or f" (one of {', '.join(words)})"
            self._complain(self.at(key), f"unknown {key} {quote(word)}{hint}")
        return default

    def one_or_more(self, key: str) -> tuple[Node, ...]:
        """The items of a list, or the one thing that stands there instead."""
        node = self._nodes.get(key)
        if node is None:
            return ()
        return node.value if isinstance(node.value, tuple) else (node,)

    def key_at(self, key: str) -> Mark:
        """The place of the key itself, or of the mapping where it is absent."""
        return self._nodes[key].key_at if key in self._nodes else self._at

    def items(self, key: str) -> tuple[Node, ...]:
        """The items of a list."""
        node = self._nodes.get(key)
        if node is None:
            return ()
        if not isinstance(node.value, tuple):
            self._complain(node.at, f"'{key}' must be a list, not {node.describe()}")
            return ()
        return node.value

    def mapping(self, key: str) -> Mapping[str, Node]:
        """The entries of a mapping."""
        node = self._nodes.get(key)
        return {} if node is None else mapping(node, self._complain, f"'{key}'")


def mapping(node: Node, complain: Complain, name: str = "this") -> Mapping[str, Node]:
    """The entries of `node`, or none after a complaint."""
    if isinstance(node.value, Mapping):
        return node.value
    complain(node.at, f"{name} must be a mapping, not {node.describe()}")
    return {}


def _text(node: Node, name: str, complain: Complain) -> str:
    if isinstance(node.value, str) and node.value.strip():
        return node.value.strip()
    complain(node.at, f"{name} must be text, not {node.describe()}")
    return ""


def _number(node: Node, name: str, complain: Complain) -> float:
    value = node.value
    # Compared before conversion, because a whole number may be too large for a float.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    complain(node.at, f"{name} must be a number, not {node.describe()}")
    return math.nan
