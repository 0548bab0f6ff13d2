"""docs/rules.md: every example is a valid rule, and everything that can be written is described."""

import textwrap

import pytest

from tests.docs.pages import ROOT, blocks, page
from watchkeeper.expressions.functions import FUNCTIONS
from watchkeeper.expressions.parsing import KEYWORDS
from watchkeeper.knowledge.bundle import FOLDERS, Bundle
from watchkeeper.knowledge.calendars import KEYS
from watchkeeper.knowledge.rule_reader import KINDS, RULE_KEYS

PAGE = "docs/rules.md"


def files():
    root = ROOT / "knowledge_base"
    return {
        str(file.relative_to(root)): file.read_text("utf-8") for folder in FOLDERS for file in (root / folder).iterdir()
    }


def as_file(text):
    """An example as a file of rules; what it leaves out is put in behind its id."""
    if text.startswith("applies_to"):
        return text.replace("pump.bearing-hot", "example.first")
    lines = [
        line
        if not line.startswith("- id:")
        else f"{line}\n  severity: info\n  summary: s\n  runbook: unknown-anomaly.md"
        for line in text.splitlines()
    ]
    return "applies_to: pump\nrules:\n" + textwrap.indent("\n".join(lines), "  ") + "\n"


@pytest.mark.parametrize("block", blocks(PAGE, "yaml"), ids=str)
def test_an_example_is_a_valid_rule(block):
    rules = Bundle.from_files(files() | {"rules/example.yaml": as_file(block.text)}).rules
    assert any(rule.id.startswith("example.") for rule in rules.rules)


def test_there_is_an_example_of_every_kind():
    text = "".join(as_file(block.text) for block in blocks(PAGE, "yaml") if not block.text.startswith("applies_to"))
    text = "applies_to: pump\nrules:\n" + text.replace("applies_to: pump\nrules:\n", "")
    rules = Bundle.from_files(files() | {"rules/example.yaml": text}).rules
    assert {rule.kind for rule in rules.rules if rule.id.startswith("example.")} == set(KINDS)


@pytest.mark.parametrize("word", [*RULE_KEYS, *KEYS, "off"])
def test_every_key_is_described(word):
    assert f"`{word}" in page(PAGE) or f"{word}:" in page(PAGE)


@pytest.mark.parametrize("word", [*FUNCTIONS, *KEYWORDS])
def test_every_function_and_keyword_is_described(word):
    assert f"`{word}(" in page(PAGE) or f'"{word}"' in page(PAGE)
