"""The pages agree with the code: made parts, options, settings, links, and what is said of data formats."""

import argparse
import os
import re
import tomllib

import msgspec
import pytest

from tests.docs.pages import FENCE, MADE, PAGES, ROOT, blocks, made_part, openapi, page
from watchkeeper.context import Context
from watchkeeper.ids import shard_of
from watchkeeper.intake import bodies
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import Delivered, RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.published import Published
from watchkeeper.stages.ingest import admit, ingest
from watchkeeper.topology import IOT_DATA_INGESTION
from watchkeeper_local import cli
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.settings import HELP, LISTS, Settings, read_settings
from watchkeeper_local.sources.csv_readings import CsvReading, read_csv

NOW = 1_790_000_000_000
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


@pytest.mark.parametrize(("name", "part"), MADE)
def test_what_is_made_from_the_code_is_up_to_date(name, part):
    assert made_part(page(name), part)[2] == MADE[name, part]() + "\n", "run `.venv/bin/python -m tests.docs.pages`"


@pytest.mark.parametrize("name", NAMES)
def test_links_to_files_lead_somewhere(name):
    folder = (ROOT / name).parent
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", FENCE.sub("", page(name)))
    assert [target for target in targets if not (folder / target).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_no_folder_of_the_machine_it_was_written_on(name):
    unwanted = rf"{re.escape(str(ROOT))}|{re.escape(str(ROOT.parent))}/|/home/|/root/|/Users/"
    assert re.findall(unwanted, page(name)) == []


# --- the command line -----------------------------------------------------------------------------------------------


def commands():
    parser = cli._parser()
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {"": parser, **found.choices}


def settings_flags():
    return {f"--{name.replace('_', '-')}" for name in HELP}


@pytest.mark.parametrize("command", commands())
def test_every_option_of_a_command_is_documented(command):
    everything = "".join(map(page, NAMES))
    options = {text for action in commands()[command]._actions for text in action.option_strings}
    options -= {"-h", "--help"}
    assert {option for option in options if f"{option}`" not in everything and f"{option} " not in everything} == set()
    name = f"watchkeeper {command}".strip()
    row = re.search(rf"^\| `{name}(?: [A-Z]+…?)?` \|([^|]*)\|", page("docs/configuration.md"), re.MULTILINE)
    assert row, f"docs/configuration.md has no row for {command}"
    for option in options - settings_flags():
        assert option in row[1], (command, option)


def test_every_command_is_named_in_the_readme_or_the_docs():
    everything = "".join(map(page, NAMES))
    assert [name for name in commands() if f"watchkeeper {name}" not in everything] == []


# --- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_has_its_help_and_no_other_has():
    assert set(HELP) == {field.name for field in msgspec.structs.fields(Settings)}


def test_the_settings_file_of_the_page_is_one(tmp_path):
    (block,) = blocks("docs/configuration.md", "toml")
    file = tmp_path / "watchkeeper.toml"
    file.write_text(block.text, "utf-8")
    settings = read_settings({}, {}, str(file))
    given = tomllib.loads(block.text)
    assert {name: getattr(settings, name) for name in given} == {
        name: tuple(value) if name in LISTS else value for name, value in given.items()
    }


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text('http_port = 1\nmqtt_port = 1\nlog_level = "info"\n')
    environment = {"WATCHKEEPER_HTTP_PORT": "2", "WATCHKEEPER_MQTT_PORT": "2", "WATCHKEEPER_CONFIG": str(file)}
    settings = read_settings({"http_port": "3"}, environment)
    assert (settings.http_port, settings.mqtt_port, settings.log_level, settings.workers) == (3, 2, "info", 1)


def test_the_examples_of_flags_and_environment_are_understood(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (toml,) = blocks("docs/configuration.md", "toml")
    (tmp_path / "watchkeeper.toml").write_text(toml.text, "utf-8")
    seen = []
    monkeypatch.setattr(cli, "_up", lambda parsed: seen.append(cli.settings_of(parsed)) or 0)
    for block in blocks("docs/configuration.md", "bash"):
        words = block.text.split()
        names = [word for word in words if word.startswith("WATCHKEEPER_")]
        with monkeypatch.context() as environment:
            for name in [name for name in os.environ if name.startswith("WATCHKEEPER_")]:
                environment.delenv(name)
            for name in names:
                environment.setenv(*name.split("=", 1))
            assert words[len(names)] == "watchkeeper"
            assert cli.main(words[len(names) + 1 :]) == 0
    receivers = ("console", "file=/tmp/alerts.jsonl")
    assert [(s.http_port, s.receivers) for s in seen[:2]] == [(8081, receivers)] * 2
    assert seen[2].budget == 50.0


# --- the API --------------------------------------------------------------------------------------------------------


def test_every_endpoint_is_in_the_table():
    text = page("docs/api.md")
    for path, item in openapi()["paths"].items():
        for method in item:
            assert f"`{method.upper()} {path}`" in text


# --- data formats ---------------------------------------------------------------------------------------------------

SENDING = re.compile(
    r"<!-- send as (\w+): (\d+) accepted(?:, (\d+) rejected)? -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
EXAMPLES = [match.groups() for match in SENDING.finditer(page("docs/data-formats.md"))]


def context():
    ports = memory_ports()
    return Context(STAGES["ingest"], ports, Published(ports, read_bundle()), {}, NOW, 16)


def test_every_example_of_a_format_is_sent():
    assert len(EXAMPLES) == len(blocks("docs/data-formats.md", "json", "csv"))
    assert {how for how, *_ in EXAMPLES} == {"mqtt", "json", "csv", "replay"}


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{index}-{how}" for index, (how, *_) in enumerate(EXAMPLES)])
def test_an_example_of_a_format_does_what_the_page_says(example, tmp_path):
    how, accepted, rejected, _, text = example
    body = text.encode()
    if how == "replay":
        file = tmp_path / "machine.csv"
        file.write_bytes(body)
        found = list(read_csv(file))
        assert all(isinstance(row, CsvReading) for row in found)
        assert {row.reading["device"] for row in found} == {"machine"}
        assert next((row.reading["values"], row.reading["tags"]) for row in found) == (
            {"temperature": 71.5},
            {"state": "running"},
        )
        assert len(found) == int(accepted)
        return
    if how == "mqtt":
        shard = shard_of("default", "pump-07", 16)
        outcome = ingest(
            [Delivered("device-telemetry", shard % 4, 0, RawMessage(body, NOW, "default", "pump-07"))], context()
        )
        dead = len(outcome.dead)
    else:
        outcome, (receipt,) = admit(
            [RawMessage(body, NOW, "default", format=how, request="r")], IOT_DATA_INGESTION, context()
        )
        assert not receipt.error
        assert receipt.accepted == int(accepted)
        dead = len(receipt.rejected)
    readings = [reading for emit in outcome.emits for reading in emit.record.readings()]
    assert len(readings) == int(accepted)
    assert dead == int(rejected or 0)


def test_the_limits_on_the_page_are_those_of_the_code():
    text = page("docs/data-formats.md")
    assert f"1 to {bodies.MAX_METRICS} numbers" in text
    assert f"up to {bodies.MAX_TAGS} by name" in text
    assert f"up to {bodies.MAX_READINGS:,} readings" in text
    for name in bodies.TIME_COLUMNS:
        assert f"`{name}`" in text


def test_an_unknown_field_is_an_error_as_the_page_says():
    body = b'{"device": "pump-07", "value": {"flow": 1}, "values": {"flow": 1}}'
    _, (receipt,) = admit([RawMessage(body, NOW, "default", request="r")], IOT_DATA_INGESTION, context())
    assert (receipt.accepted, len(receipt.rejected)) == (0, 1)
