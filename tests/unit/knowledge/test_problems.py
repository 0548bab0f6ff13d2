"""What is wrong with a knowledge base is said all at once, each with its place, and how to put it right."""

import pytest

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.bundle import Bundle

DEVICES = """\
class: pump
match: ["pump-*"]
interval: 1s
metrics:
  pressure: {unit: bar, range: [0, 25]}
"""

RULES = """\
applies_to: pump
rules:
  - id: pump.high
    metric: pressure
    above: 10
    clear: 8
    for: 30s
    severity: warning
    summary: Pressure is high
    runbook: leak.md
"""

RUNBOOK = """\
---
title: Leak
applies_to: [pump]
category: hydraulic
signals: [pressure]
---
## What it looks like
Wet.
## Likely causes
- A hole, which may be
  hard to see
- A crack
## What to do
1. Stop the pump.
2. Close the valve
   on both sides.
## When it is over
Dry.
"""

GOOD = {"devices/pump.yaml": DEVICES, "rules/pump.yaml": RULES, "runbooks/leak.md": RUNBOOK}


def problems_of(**changed: str) -> list[str]:
    """The lines of the error for the good files with some replaced: `devices`, `rules`, `runbook`."""
    paths = {"devices": "devices/pump.yaml", "rules": "rules/pump.yaml", "runbook": "runbooks/leak.md"}
    with pytest.raises(KnowledgeError) as caught:
        Bundle.from_files(GOOD | {paths[name]: text for name, text in changed.items()})
    return str(caught.value).split("\n")


def test_the_files_that_these_tests_spoil_are_good():
    bundle = Bundle.from_files(GOOD)
    runbook = bundle.library.runbook("leak.md")
    assert runbook.causes == ("A hole, which may be hard to see", "A crack")
    assert runbook.steps == ("Stop the pump.", "Close the valve on both sides.")
    assert (runbook.what_it_looks_like, runbook.when_over) == ("Wet.", "Dry.")


KINDS = "above, below, outside, equals, rising, falling, flatline, when, sequence, no_data"
RULE_PROBLEMS = {
    "unknown metric": (
        "metric: pressure",
        "metric: presure",
        "4:13: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "unknown class": ("applies_to: pump", "applies_to: pmp", "1:13: unknown device class 'pmp' (did you mean 'pump'?)"),
    "unknown runbook": ("leak.md", "leek.md", "10:14: unknown runbook 'leek.md' (did you mean 'leak.md'?)"),
    "unknown key": ("summary:", "sumary:", "9:5: unknown key 'sumary' (did you mean 'summary'?)"),
    "missing key": ("    severity: warning\n", "", "3:5: missing key 'severity'"),
    "missing metric": ("    metric: pressure\n", "", "3:9: missing key 'metric'"),
    "unknown severity": ("warning", "warnin", "8:15: unknown severity 'warnin' (did you mean 'warning'?)"),
    "strange severity": ("warning", "bad", "8:15: unknown severity 'bad' (one of info, warning, critical, emergency)"),
    "bad duration": ("30s", "soon", "7:10: 'for' must be a duration such as 30s, not the text 'soon'"),
    "duration without unit": ("30s", "30", "7:10: 'for' must be a duration such as 30s, not the number 30"),
    "threshold of another type": ("above: 10", "above: ten", "5:12: 'above' must be a number, not the text 'ten'"),
    "threshold true": ("above: 10", "above: true", "5:12: 'above' must be a number, not true"),
    "threshold nan": ("above: 10", "above: .nan", "5:12: 'above' must be a number, not the number nan"),
    "threshold empty": ("above: 10", "above:", "5:5: 'above' must be a number, not empty"),
    "threshold huge": ("above: 10", "above: 1" + "0" * 400, "5:12: 'above' must be a number, not a huge number"),
    "text of another type": ("Pressure is high", "[1, 2]", "9:14: 'summary' must be text, not a list"),
    "text that is a mapping": ("Pressure is high", "{a: 1}", "9:14: 'summary' must be text, not a mapping"),
    "clear above": ("clear: 8", "clear: 12", "6:12: clear level 12 is above the threshold 10"),
    "clear below": (
        "above: 10\n    clear: 8",
        "below: 1\n    clear: 0.5",
        "6:12: clear level 0.5 is below the threshold 1",
    ),
    "clear outside": (
        "above: 10\n    clear: 8",
        "outside: [1, 9]\n    clear: [2, 10]",
        "6:12: clear level 10 is above the threshold 9",
    ),
    "limits reversed": (
        "above: 10\n    clear: 8",
        "outside: [9, 1]",
        "5:14: 'outside' is reversed: 9 is not below 1",
    ),
    "limits incomplete": (
        "above: 10\n    clear: 8",
        "outside: [9]",
        "5:14: 'outside' must be [low, high], not 1 numbers",
    ),
    "limits not a list": (
        "above: 10\n    clear: 8",
        "outside: 9",
        "5:14: 'outside' must be a list, not the number 9",
    ),
    "no kind": (
        "    above: 10\n    clear: 8\n",
        "",
        f"3:5: a rule needs exactly one of {KINDS}; this one has none",
    ),
    "two kinds": (
        "clear: 8",
        "below: 1",
        f"6:5: a rule needs exactly one of {KINDS}; this one has above, below",
    ),
    "can never fire": ("above: 10", "above: 25", "5:12: can never fire: pressure is only used from 0 to 25"),
    "no_data with metric": (
        "above: 10\n    clear: 8\n    for: 30s",
        "no_data: 60s",
        "4:5: 'metric' has no meaning in a no_data rule",
    ),
    "no_data of no time": (
        "metric: pressure\n    above: 10\n    clear: 8\n    for: 30s",
        "no_data: 0s",
        "4:14: 'no_data' must be longer than 0s",
    ),
    "rules not a list": (
        RULES[RULES.index("rules:") :],
        "rules: none\n",
        "2:8: 'rules' must be a list, not the text 'none'",
    ),
    "rule not a mapping": (RULES[RULES.index("  - id") :], "  - x\n", "3:5: this must be a mapping, not the text 'x'"),
    "not YAML": ("clear: 8", "clear: [8", "7:8: not valid YAML: expected ',' or ']', but got ':'"),
    "duplicate key": ("clear: 8", "above: 8", "6:5: duplicate key 'above'"),
    "key that is a list": ("clear: 8", "[8]: 8", "6:5: a key must be text"),
    "tab": ("    clear: 8", "\tclear: 8", "6:1: not valid YAML: found character '\\t' that cannot start any token"),
    "control character": ("is high", "is \x07 high", "9:26: a character that YAML does not allow"),
    "alias": ("for: 30s", "for: *other", "7:10: aliases are not supported"),
    "tag": ("for: 30s", "for: !!python/name:os.system 1", "7:10: tags are not supported"),
    "depth": ("for: 30s", "for: " + "[" * 30 + "]" * 30, "7:27: nested too deeply"),
    "a second document": ("    for:", "---\n    for:", "7:1: not valid YAML: but found another document"),
}

LEVELS = "metric: pressure\n    above: 10\n    clear: 8\n    for: 30s"
KIND_PROBLEMS = {
    "equals with clear": (
        "metric: pressure\n    equals: 3\n    clear: 2",
        "6:5: 'clear' has no meaning in an equals rule",
    ),
    "equals never": (
        "metric: pressure\n    equals: [30, -1]",
        "5:13: can never fire: pressure is only used from 0 to 25",
    ),
    "equals text": ("metric: pressure\n    equals: on", "5:13: each item of 'equals' must be a number, not true"),
    "rate without time": (
        "metric: pressure\n    rising: 5",
        "5:13: 'rising' must be a number per time such as 5 per 1m, not the number 5",
    ),
    "rate of nothing": (
        "metric: pressure\n    falling: 0 per 1m",
        "5:14: 'falling' must be more than 0 per some time, such as 5 per 1m, not the text '0 per 1m'",
    ),
    "rate never": (
        "metric: pressure\n    rising: 25 per 1m",
        "5:13: can never fire: pressure is only used from 0 to 25",
    ),
    "rate's clear level": (
        "metric: pressure\n    falling: 5 per 1m\n    clear: 6",
        "6:12: clear level 6 is above the threshold 5",
    ),
    "window too short": (
        "metric: pressure\n    rising: 5 per 500ms",
        "5:13: 500ms is shorter than the interval of class pump, 1s",
    ),
    "flatline too short": (
        "metric: pressure\n    flatline: 100ms",
        "5:15: 100ms is shorter than the interval of class pump, 1s",
    ),
    "no_data too short": ("no_data: 900ms", "4:14: 900ms is shorter than the interval of class pump, 1s"),
    "flatline with for": (
        "metric: pressure\n    flatline: 1m\n    for: 1m",
        "6:5: 'for' has no meaning in a flatline rule",
    ),
    "tolerance": (
        "metric: pressure\n    flatline: 1m\n    tolerance: -1",
        "6:16: 'tolerance' must not be less than 0, as -1 is",
    ),
    "when with metric": ("metric: pressure\n    when: pressure > 1", "4:5: 'metric' has no meaning in a when rule"),
    "times alone": ("metric: pressure\n    above: 10\n    times: 3", "6:5: 'times' needs 'within'"),
    "within alone": ("metric: pressure\n    above: 10\n    within: 3m", "6:5: 'within' needs 'times'"),
    "times and for": (
        "metric: pressure\n    above: 10\n    times: 3\n    within: 5m\n    for: 3s",
        "8:5: 'for' and 'times' exclude each other",
    ),
    "times once": (
        "metric: pressure\n    above: 10\n    times: 1\n    within: 5m",
        "6:12: 'times' must be a whole number from 2 to 100, not the number 1",
    ),
    "sequence without time": ("sequence: [pressure > 1, pressure < 1]", "4:5: 'sequence' needs 'within'"),
    "sequence of one": (
        "sequence: [pressure > 1]\n    within: 1m",
        "4:15: a sequence has from 2 to 8 steps, not 1",
    ),
    "expression's name": (
        "when: presure > 1 and pressure < 5",
        "4:11: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "name in quotation marks": (
        'when: "1 < pressure and presure < 5"',
        "4:29: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "name in a block": (
        "when: |\n      pressure > 1\n      and presure < 5",
        "6:11: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "name in folded lines": (
        "when: >\n      pressure > 1\n      and presure < 5",
        "4:11: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "name in a list": (
        "when: {any: [pressure > 1, {not: presure < 5}]}",
        "4:38: unknown metric 'presure' (did you mean 'pressure'?)",
    ),
    "function": ("when: sqr(pressure) > 1", "4:11: unknown function 'sqr' (did you mean 'sqrt'?)"),
    "kind of expression": ("when: pressure + 1", "4:11: this must be a condition, such as flow > 10, and is a number"),
    "kind within": (
        "when: pressure > tag.line",
        "4:22: a number is needed here, not a text; number(tag.line) makes one of it",
    ),
    "clear of an expression": (
        "when: pressure > 5\n    clear: 3",
        "5:12: a condition is a text, or one of any, all and not; this is the number 3",
    ),
    "constant": ("when: 1 < 2", "4:11: this looks at no metric and no tag: it is always the same"),
    "expression never": (
        "when: pressure - 30 > 0",
        "4:11: this can never be true: the metrics are only used within their ranges",
    ),
    "any of nothing": ("when: {any: []}", "4:17: 'any' must be a list of conditions, not a list"),
    "while": ("metric: pressure\n    above: 10\n    while: flow > 1", "6:12: unknown metric 'flow'"),
    "calendar": (
        "metric: pressure\n    above: 10\n    during: {hours: 8-18}",
        "6:21: hours are written as 08:00-18:00, not the text '8-18'",
    ),
    "override of nobody": (
        LEVELS + "\n    overrides:\n      - above: 12",
        "9:9: an override needs 'sites' or 'devices'",
    ),
    "override of nothing": (
        LEVELS + "\n    overrides:\n      - sites: [north]",
        "9:9: an override needs 'off: true' or one of severity, summary,",
    ),
    "override's level": (
        LEVELS + "\n    overrides:\n      - {sites: [north], above: 7}",
        "6:12: clear level 8 is above the threshold 7",
    ),
    "override of another kind": (
        LEVELS + "\n    overrides:\n      - {sites: [north], below: 7}",
        f"9:26: a rule needs exactly one of {KINDS}; this one has above, below",
    ),
    "override's key": (
        LEVELS + "\n    overrides:\n      - {site: [north], above: 11}",
        "9:10: unknown key 'site' (did you mean 'sites'?)",
    ),
    "off": (
        LEVELS + "\n    overrides:\n      - {sites: [n], off: 5}",
        "9:27: 'off' must be true or false, not the number 5",
    ),
}


@pytest.mark.parametrize(("new", "problem"), KIND_PROBLEMS.values(), ids=KIND_PROBLEMS)
def test_a_problem_of_a_kind_of_rule_is_named_with_its_place(new, problem):
    said = problems_of(rules=RULES.replace(LEVELS, new, 1))
    assert any(line.startswith(f"rules/pump.yaml:{problem}") for line in said), said


@pytest.mark.parametrize(("old", "new", "problem"), RULE_PROBLEMS.values(), ids=RULE_PROBLEMS)
def test_a_problem_in_a_rule_is_named_with_its_place(old, new, problem):
    assert old in RULES
    assert f"rules/pump.yaml:{problem}" in problems_of(rules=RULES.replace(old, new, 1))


DEVICE_PROBLEMS = {
    "range reversed": ("[0, 25]", "[25, 0]", "5:32: 'range' is reversed: 25 is not below 0"),
    "unknown metric key": ("unit:", "units:", "5:14: unknown key 'units' (did you mean 'unit'?)"),
    "unknown key": ("match:", "matches:", "2:1: unknown key 'matches' (did you mean 'match'?)"),
    "bad interval": ("1s", "often", "3:11: 'interval' must be a duration such as 30s, not the text 'often'"),
    "interval of no time": ("1s", "0s", "3:11: 'interval' must be longer than 0s"),
    "bad fill": ("range: [0, 25]", "fill: lost", "5:31: unknown fill 'lost' (did you mean 'last'?)"),
    "bad sentinel": (
        "range: [0, 25]",
        "missing: [none]",
        "5:35: each item of 'missing' must be a number, not the text 'none'",
    ),
    "bad pattern": ('["pump-*"]', "[7]", "2:9: each item of 'match' must be text, not the number 7"),
    "no class": ("class: pump\n", "", "1:1: missing key 'class'"),
    "class for all": ("class: pump", 'class: "*"', "1:8: '*' stands for every class and cannot be the name of one"),
    "metrics not a mapping": (
        "metrics:\n  pressure: {unit: bar, range: [0, 25]}",
        "metrics: [pressure]",
        "4:10: 'metrics' must be a mapping, not a list",
    ),
    "bad importance": (
        "interval: 1s",
        "importance: hgh",
        "3:13: unknown importance 'hgh' (one of critical, normal, low)",
    ),
}


@pytest.mark.parametrize(("old", "new", "problem"), DEVICE_PROBLEMS.values(), ids=DEVICE_PROBLEMS)
def test_a_problem_in_the_catalogue_is_named_with_its_place(old, new, problem):
    assert old in DEVICES
    assert f"devices/pump.yaml:{problem}" in problems_of(devices=DEVICES.replace(old, new, 1))


RUNBOOK_PROBLEMS = {
    "no front matter": ("---\n", "", "1:1: a runbook begins with front matter between two lines of '---'"),
    "unknown class": ("[pump]", "[pumps]", "3:13: unknown device class 'pumps' (did you mean 'pump'?)"),
    "unknown category": (
        "category: hydraulic",
        "category: hydralic",
        "4:11: unknown category 'hydralic' (did you mean 'hydraulic'?)",
    ),
    "missing title": ("title: Leak\n", "", "2:1: missing key 'title'"),
    "front matter is not YAML": (
        "[pressure]",
        "[pressure",
        "5:19: not valid YAML: expected ',' or ']', but got '<stream end>'",
    ),
    "missing section": ("## When it is over\nDry.\n", "", "6:1: missing section '## When it is over'"),
    "misspelt section": (
        "## Likely causes",
        "## Likely reasons",
        "9:1: missing section '## Likely causes' (is it 'Likely reasons'?)",
    ),
    "empty section": ("Wet.\n", "", "7:1: section '## What it looks like' is empty"),
    "causes without a list": (
        "- A hole, which may be\n  hard to see\n- A crack",
        "A hole",
        "9:1: section '## Likely causes' needs a bullet list ('- …')",
    ),
    "steps without numbers": (
        "1. Stop the pump.\n2. Close",
        "Stop. Close",
        "13:1: section '## What to do' needs a numbered list ('1. …')",
    ),
    "section twice": ("## When it is over", "## What to do", "17:1: duplicate section '## What to do'"),
}


@pytest.mark.parametrize(("old", "new", "problem"), RUNBOOK_PROBLEMS.values(), ids=RUNBOOK_PROBLEMS)
def test_a_problem_in_a_runbook_is_named_with_its_place(old, new, problem):
    assert old in RUNBOOK
    assert f"runbooks/leak.md:{problem}" in problems_of(runbook=RUNBOOK.replace(old, new, 1))


def test_a_heading_inside_a_code_block_is_no_section():
    text = RUNBOOK.replace("1. Stop the pump.", "1. Stop the pump.\n```\n## Not a heading\n```")
    assert len(Bundle.from_files(GOOD | {"runbooks/leak.md": text}).library.runbook("leak.md").passages) == 4


def test_lines_are_counted_right_in_a_file_from_windows():
    text = RUNBOOK.replace("[pump]", "[pumps]").replace("\n", "\r\n")
    assert problems_of(runbook=text) == [
        "runbooks/leak.md:3:13: unknown device class 'pumps' (did you mean 'pump'?)",
    ]


def test_a_rule_id_may_be_used_once_in_all_files():
    with pytest.raises(KnowledgeError) as caught:
        Bundle.from_files(GOOD | {"rules/z.yaml": RULES})
    assert str(caught.value) == "rules/z.yaml:3:9: duplicate rule id 'pump.high' (first in rules/pump.yaml:3:9)"


def test_a_class_and_a_device_may_be_described_once_in_all_files():
    text = DEVICES + "devices:\n  P1: {site: north}\n"
    with pytest.raises(KnowledgeError) as caught:
        Bundle.from_files(GOOD | {"devices/a.yaml": text, "devices/b.yaml": text, "devices/pump.yaml": "class: x"})
    assert "devices/b.yaml:1:8: duplicate class 'pump' (first in devices/a.yaml:1:8)" in str(caught.value).split("\n")
    assert "devices/b.yaml:7:3: duplicate device 'P1' (first in devices/a.yaml:7:3)" in str(caught.value).split("\n")


@pytest.mark.parametrize("path", ["rules/pump.yml", "rules/old/pump.yaml", "README.md", "/etc/passwd", ""])
def test_a_file_that_nothing_would_read_is_refused(path):
    with pytest.raises(KnowledgeError, match="not a file of a knowledge base"):
        Bundle.from_files(GOOD | {path: ""})


def test_text_that_no_file_can_hold_is_refused():
    assert problems_of(rules="applies_to: pump\nrules: \ud800") == ["rules/pump.yaml:2:1: not Unicode text"]


def test_everything_wrong_in_all_files_is_said_at_once_in_order():
    assert problems_of(
        devices=DEVICES.replace("1s", "1x"),
        rules=RULES.replace("30s", "30").replace("leak.md", "lek.md"),
        runbook=RUNBOOK.replace("hydraulic", "termal"),
    ) == [
        "devices/pump.yaml:3:11: 'interval' must be a duration such as 30s, not the text '1x'",
        "rules/pump.yaml:7:10: 'for' must be a duration such as 30s, not the number 30",
        "rules/pump.yaml:10:14: unknown runbook 'lek.md' (did you mean 'leak.md'?)",
        "runbooks/leak.md:4:11: unknown category 'termal' (did you mean 'thermal'?)",
    ]


def test_a_catalogue_file_that_cannot_be_read_is_not_held_against_the_rules():
    assert problems_of(devices="class: [") == [
        "devices/pump.yaml:1:9: not valid YAML: expected the node content, but found '<stream end>'"
    ]
