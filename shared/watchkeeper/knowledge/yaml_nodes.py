"""YAML as plain values that remember their line, so that a problem can be reported where it stands."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec
import yaml

from watchkeeper.knowledge.problems import Complain, quote

_DEEPEST = 20

Scalar: TypeAlias = str | int | float | bool | None


class Node(msgspec.Struct, frozen=True):
    """A value and its line, counted from 1; a value of a mapping has the line of its key."""

    line: int
    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"

    def describe(self) -> str:
        """What this is, for a message: `a list`, `the number 3`."""
        match self.value:
            case None:
                return "empty"
            case bool():
                return "true" if self.value else "false"
            case str():
                return f"the text {quote(self.value)}"
            case int() | float():
                return "a huge number" if abs(self.value) > 1e300 else f"the number {self.value:g}"
            case tuple():
                return "a list"
            case _:
                return "a mapping"


def parse_yaml(text: str, complain: Complain, *, first_line: int = 1) -> Node | None:
    """The document in `text`, whose first line is line `first_line` of its file; None after a complaint.

    Keys are text as written. Aliases and tags are refused: they let a small file grow without bound or mean
    something that the reader does not see.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        complain(first_line + text.count("\n", 0, error.position), "a character that YAML does not allow")
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        complain(first_line + (mark.line if mark else 0), f"not valid YAML: {error.problem or error.context}")
        return None
    except _RefusedError as error:
        complain(first_line + error.line, error.text)
        return None
    if root is None:
        return Node(first_line, None)
    return _convert(root, root.start_mark.line + first_line, first_line, loader, complain)


def _convert(node: yaml.Node, line: int, first_line: int, loader: "_Loader", complain: Complain) -> Node:
    if isinstance(node, yaml.SequenceNode):
        items = (_convert(item, item.start_mark.line + first_line, first_line, loader, complain) for item in node.value)
        return Node(line, tuple(items))
    if not isinstance(node, yaml.MappingNode):
        return Node(line, loader.scalar(node))
    entries: dict[str, Node] = {}
    for key, value in node.value:
        key_line = key.start_mark.line + first_line
        if not isinstance(key, yaml.ScalarNode) or not key.value:
            complain(key_line, "a key must be text")
        elif key.value in entries:
            complain(key_line, f"duplicate key {quote(key.value)}")
        else:
            entries[key.value] = _convert(value, key_line, first_line, loader, complain)
    return Node(line, entries)


class _RefusedError(Exception):
    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.text, self.line = text, line


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.NodeEvent = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise _RefusedError("aliases are not supported", line)
        if getattr(event, "tag", None) is not None:
            raise _RefusedError("tags are not supported", line)
        if self.depth == _DEEPEST:
            raise _RefusedError("nested too deeply", line)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def scalar(self, node: yaml.Node) -> Scalar:
        try:
            value = self.construct_object(node)
        except (ValueError, ArithmeticError, yaml.YAMLError):  # looks like a number or date and is none, such as 0x_
            value = node.value
        return value if isinstance(value, Scalar) else str(node.value)
