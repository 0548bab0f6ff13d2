"""The two readers of YAML: what comes of a text is the same by either, places too; what one refuses the other says."""

import pytest
import yaml

from watchkeeper.knowledge.problems import Mark
from watchkeeper.knowledge.yaml_nodes import parse_yaml
from watchkeeper_local.knowledge import read_files

TEXTS = [text for name, text in read_files().items() if name.endswith(".yaml")]
TEXTS += [
    "a: 'b'\nc: |\n  d\n  e\nf: >-\n  g\n  h\ni: {j: [1, 0x_, 2024-13-01, ~], k: \"\\u0041\"}\n",
    "",
    "é: ü\n🎉: [x]\n",
    'a: ["\ufeffx", y]\n',
]


@pytest.fixture
def without_libyaml(monkeypatch):
    return lambda: monkeypatch.setattr(yaml, "__with_libyaml__", False)


def parsed(text):
    said = []
    return parse_yaml(text, lambda *problem: said.append(problem)), said


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_says_the_same_with_libyaml_and_without(text, without_libyaml):
    quick = parsed(text)
    without_libyaml()
    assert parsed(text) == quick
    assert quick[1] == []


@pytest.mark.parametrize(
    "text", ["a: [b\n", "a: b\n- c\n", "a: \x00", "a: \ud800", "a: *b", "a: !b c", "[" * 30, "a: &b [*b]", "a:\tb"]
)
def test_a_mistake_is_told_in_the_same_words_with_libyaml_and_without(text, without_libyaml):
    quick = parsed(text)
    without_libyaml()
    assert parsed(text) == quick
    assert len(quick[1]) == 1


def test_what_libyaml_refuses_and_pyyaml_takes_is_taken():
    root, said = parsed("a: [b:]")
    assert (root.value["a"].at, said) == (Mark(1, 4), [])
