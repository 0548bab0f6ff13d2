"""YAML as plain values that remember their place, so that a problem can be reported where it stands."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

import msgspec
import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from watchkeeper.knowledge.problems import Complain, Mark, quote

_DEEPEST = 20

Scalar: TypeAlias = str | int | float | bool | None


class Node(msgspec.Struct, frozen=True):
    """A value and where it stands; one that begins on a line below its key, or is empty, stands at its key.

    `key_at` is the place of that key, or of the value where there is none. `text_at` is where the first character of a
    text is; None where the text is not as written (folded lines, escapes).
    """

    at: Mark
    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    key_at: Mark = Mark(1)
    text_at: Mark | None = None

    def place(self, offset: int) -> Mark:
        """Where the character at `offset` of a text stands; the text's own place where that cannot be told."""
        if self.text_at is None or not isinstance(self.value, str):
            return self.at
        before = self.value[:offset]
        return Mark(self.text_at.line + before.count("\n"), self.text_at.column + offset - (before.rfind("\n") + 1))

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
        root = _compose(text)
    except yaml.reader.ReaderError as error:
        start = text.rfind("\n", 0, error.position) + 1
        at = Mark(first_line + text.count("\n", 0, error.position), error.position - start + 1)
        complain(at, "a character that YAML does not allow")
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Mark(first_line + mark.line, mark.column + 1) if mark else Mark(first_line)
        complain(at, f"not valid YAML: {error.problem or error.context}")
        return None
    except _RefusedError as error:
        complain(Mark(first_line + error.at.line - 1, error.at.column), error.text)
        return None
    if root is None:
        return Node(Mark(first_line), None, Mark(first_line))
    return _Conversion(text, first_line, complain).of(root)


class _Conversion:
    def __init__(self, text: str, first_line: int, complain: Complain) -> None:
        self.text, self.first_line, self.complain = text, first_line, complain
        self.constructor = SafeConstructor()

    def of(self, node: yaml.Node, key_at: Mark | None = None) -> Node:
        """A node, and what is below it. `key_at` is the place of its key."""
        at = self.mark(node.start_mark)
        empty = isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index
        if key_at and (empty or at.line != key_at.line):
            at = key_at
        own = key_at or at
        if isinstance(node, yaml.SequenceNode):
            return Node(at, tuple(self.of(item) for item in node.value), own)
        if isinstance(node, yaml.MappingNode):
            return Node(at, self.entries(node), own)
        text_at = self.text_at(node) if isinstance(node, yaml.ScalarNode) else None
        return Node(at, self.scalar(node), own, text_at)

    def entries(self, node: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            key_at = self.mark(key.start_mark)
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.complain(key_at, "a key must be text")
            elif key.value in found:
                self.complain(key_at, f"duplicate key {quote(key.value)}")
            else:
                found[key.value] = self.of(value, key_at)
        return found

    def mark(self, mark: yaml.Mark) -> Mark:
        return Mark(self.first_line + mark.line, mark.column + 1)

    def text_at(self, node: yaml.ScalarNode) -> Mark | None:
        """Where the first character of a text is, if what is written is the text."""
        start, written = self.mark(node.start_mark), self.text[node.start_mark.index : node.end_mark.index]
        if node.style == "|":
            first = next((line for line in written.split("\n")[1:] if line.strip()), "")
            return Mark(start.line + 1, len(first) - len(first.lstrip(" ")) + 1)
        if not node.style and written.rstrip() == node.value:
            return start
        return Mark(start.line, start.column + 1) if written[1:-1] == node.value and written[:1] in {'"', "'"} else None

    def scalar(self, node: yaml.Node) -> Scalar:
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, ArithmeticError, yaml.YAMLError):  # looks like a number or date and is none, such as 0x_
            value = node.value
        return value if isinstance(value, Scalar) else str(node.value)


class _RefusedError(Exception):
    def __init__(self, text: str, at: Mark) -> None:
        super().__init__(text)
        self.text, self.at = text, at


def _compose(text: str) -> yaml.Node | None:
    """The tree of a text: by libyaml, five times as quick; what that refuses, by PyYAML, whose complaints are shown.

    Tabs, which libyaml takes for spaces, and marks of byte order, which it does not count, are PyYAML's from the start.
    """
    if yaml.__with_libyaml__ and "\t" not in text and "\ufeff" not in text:
        with suppress(yaml.YAMLError, UnicodeEncodeError):
            return _Composer(yaml.CSafeLoader(text)).get_single_node()
    return _Composer(yaml.SafeLoader(text)).get_single_node()


class _Composer(Composer, Resolver):
    def __init__(self, events: yaml.SafeLoader | yaml.CSafeLoader) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self.check_event, self.peek_event, self.get_event = events.check_event, events.peek_event, events.get_event
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        at = Mark(event.start_mark.line + 1, event.start_mark.column + 1) if event and event.start_mark else Mark(1)
        if isinstance(event, yaml.AliasEvent):
            raise _RefusedError("aliases are not supported", at)
        if getattr(event, "tag", None) is not None:
            raise _RefusedError("tags are not supported", at)
        if self.depth == _DEEPEST:
            raise _RefusedError("nested too deeply", at)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1
