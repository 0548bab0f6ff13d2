"""docs/operations.md: its commands are ones, and its table names every check of the doctor."""

import re

import pytest

from tests.docs.pages import blocks, page
from watchkeeper_local import cli
from watchkeeper_local.cli import main

PAGE = "docs/operations.md"
LINES = [line for block in blocks(PAGE, "bash") for line in block.text.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_is_understood(line):
    name, *arguments = line.split()
    assert name == "watchkeeper"
    parsed = cli._parser().parse_args(arguments)
    assert parsed.command == arguments[0]


def test_every_check_of_the_doctor_is_in_the_table(tmp_path, capsys):
    main(["doctor", "--data-dir", str(tmp_path)])
    checks = set(re.findall(r"^(?:ok|WRONG) +(.{16}) ", capsys.readouterr().out, re.MULTILINE))
    table = "".join(re.findall(r"^\| ([A-Za-z ,]+) \|", page(PAGE), re.MULTILINE))
    names = {re.sub(r"^port \d+$", "ports", check.strip()) for check in checks}
    assert len(names) >= 7
    assert [name for name in names if name not in table] == []


def test_the_actions_of_dead_letters_are_all_shown():
    shown = {line.split()[2] for line in LINES if line.startswith("watchkeeper dead-letters")}
    assert shown == {"list", "show", "redrive", "discard"}
