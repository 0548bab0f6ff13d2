"""Reads `runbooks/*.md`: YAML front matter between two lines of `---`, then sections under `## ` headings."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath

import msgspec

from watchkeeper.knowledge.catalogue import Catalogue
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, Mark, Problems, quote
from watchkeeper.knowledge.rule_files import check_class
from watchkeeper.knowledge.runbooks import Category, Passage, Runbook
from watchkeeper.knowledge.yaml_nodes import Node, parse_yaml

LOOKS, CAUSES, STEPS, OVER = "What it looks like", "Likely causes", "What to do", "When it is over"
SECTIONS = (LOOKS, CAUSES, STEPS, OVER)

_FENCE = "---"
_BULLET = re.compile(r"[-*+]\s+(.*)")
_NUMBER = re.compile(r"[0-9]{1,3}[.)]\s+(.*)")


class _Section(msgspec.Struct, frozen=True):
    heading: str
    line: int
    text: str


def read_runbooks(files: Mapping[str, str], catalogue: Catalogue, problems: Problems) -> tuple[Runbook, ...]:
    """The runbooks in `files` (path to text), in name order; what is wrong goes to `problems`."""
    return tuple(_read(file, files[file], catalogue, problems.of(file)) for file in sorted(files))


def _read(file: str, text: str, catalogue: Catalogue, complain: Complain) -> Runbook:
    name = PurePosixPath(file).name
    lines = text.replace("\r\n", "\n").split("\n")
    fields, body = _front_matter(lines, complain)
    applies_to = fields.texts("applies_to")
    for device_class in applies_to:
        check_class(device_class, fields.at("applies_to"), catalogue, complain)
    sections = _sections(lines, body)
    by_heading: dict[str, _Section] = {}
    for section in sections:
        if section.heading in by_heading:
            complain(Mark(section.line), f"duplicate section '## {section.heading}'")
        by_heading.setdefault(section.heading, section)
    for heading in SECTIONS:
        _check_section(heading, by_heading, body, complain)
    return Runbook(
        file=name,
        title=fields.text("title"),
        applies_to=applies_to,
        category=fields.choice("category", Category.OPERATIONS),
        signals=fields.texts("signals"),
        what_it_looks_like=_text_of(by_heading.get(LOOKS)),
        causes=_list_of(by_heading.get(CAUSES), _BULLET, "a bullet list ('- …')", complain),
        steps=_list_of(by_heading.get(STEPS), _NUMBER, "a numbered list ('1. …')", complain),
        when_over=_text_of(by_heading.get(OVER)),
        passages=tuple(Passage(name, section.heading, section.text) for section in sections if section.text),
    )


def _front_matter(lines: list[str], complain: Complain) -> tuple[Fields, int]:
    """The fields of the front matter, and the number of lines before the text."""
    keys = ("title", "applies_to", "category", "signals")
    nothing = Fields(Node(Mark(1), {}), complain, optional=keys)
    ends = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        complain(Mark(1), "a runbook begins with front matter between two lines of '---'")
        return nothing, 0
    root = parse_yaml("\n".join(lines[1 : ends[1]]), complain, first_line=2)
    return Fields(root, complain, required=keys) if root else nothing, ends[1] + 1


def _sections(lines: list[str], start: int) -> tuple[_Section, ...]:
    """What stands under each `## ` heading; a heading within a fenced code block is none."""
    starts: list[int] = []
    in_code = False
    for number in range(start, len(lines)):
        if lines[number].lstrip().startswith("```"):
            in_code = not in_code
        elif lines[number].startswith("## ") and not in_code:
            starts.append(number)
    return tuple(
        _Section(lines[begin][3:].strip(), begin + 1, "\n".join(lines[begin + 1 : end]).strip())
        for begin, end in zip(starts, [*starts[1:], len(lines)], strict=False)
    )


def _check_section(heading: str, found: Mapping[str, _Section], body: int, complain: Complain) -> None:
    section = found.get(heading)
    if section is None:
        others = [other for other in found if other not in SECTIONS and len(other) < 2 * len(heading)]
        near = get_close_matches(heading, others, n=1)
        if near:
            complain(Mark(found[near[0]].line), f"missing section '## {heading}' (is it {quote(near[0])}?)")
        else:
            complain(Mark(max(body, 1)), f"missing section '## {heading}'")
    elif not section.text:
        complain(Mark(section.line), f"section '## {heading}' is empty")


def _text_of(section: _Section | None) -> str:
    return section.text if section else ""


def _list_of(section: _Section | None, item: re.Pattern[str], what: str, complain: Complain) -> tuple[str, ...]:
    """The items of a section's list, each on one line; an indented line continues the item before it."""
    if section is None or not section.text:
        return ()
    items: list[str] = []
    for line in section.text.split("\n"):
        match = item.match(line)
        if match:
            items.append(match[1].strip())
        elif items and line[:1].isspace() and line.strip():
            items[-1] = f"{items[-1]} {line.strip()}"
    if not items:
        complain(Mark(section.line), f"section '## {section.heading}' needs {what}")
    return tuple(items)
