"""The pages agree with the code: made parts, options, settings, links, and what is said of data formats."""

import argparse
import os
import re
import tomllib

import msgspec
import pytest

from tests.docs.pages import FENCE, MADE, PAGES, ROOT, blocks, made_part, openapi, page
from watchkeeper.describe import as_mermaid
from watchkeeper.intake import sent, tables
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import DEAD_LETTER, DEVICE_TELEMETRY, IOT_DATA_INGESTION, TOPICS
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
    """The parser of each command, by its words; one that has actions stands for them (`bundle list`)."""
    return {"": cli._parser(), **dict(inside(cli._parser()))}


def inside(parser, words=""):
    for found in (action for action in parser._actions if isinstance(action, argparse._SubParsersAction)):
        for word, command in found.choices.items():
            actions = dict(inside(command, f"{words}{word} "))
            yield from actions.items() if actions else {f"{words}{word}": command}.items()


def settings_flags():
    names = {name.replace("_", "-") for name in HELP}
    return {f"--{name}" for name in names} | {f"--no-{name}" for name in names}


@pytest.mark.parametrize("command", commands())
def test_every_option_of_a_command_is_documented(command):
    everything = "".join(map(page, NAMES))
    options = {text for action in commands()[command]._actions for text in action.option_strings}
    options -= {"-h", "--help"}
    assert {option for option in options if f"{option}`" not in everything and f"{option} " not in everything} == set()
    name = f"watchkeeper {command}".strip()
    row = re.search(rf"^\| `{name}(?: [A-Z]+…?)*` \|([^|]*)\|", page("docs/configuration.md"), re.MULTILINE)
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
    assert (settings.http_port, settings.mqtt_port, settings.log_level, settings.workers) == (3, 2, "info", 2)


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
    receivers = ("console", "file=alerts.jsonl")
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
    r"<!-- send as (\w+)(?: for ([\w-]+))?: (\d+) accepted(?:, (\d+) rejected)? -->\n```(\w+)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXAMPLES = [match.groups() for match in SENDING.finditer(page("docs/data-formats.md"))]


def sent_by_mqtt(body):
    """The readings and the dead letters that ingest makes of a message of pump-07."""
    ports = memory_ports()
    message = Message(0, body, {"device": "pump-07", "tenant": "default", "received": str(NOW)})
    ports.stream.append(DEVICE_TELEMETRY.name, [message])
    runner = Runner(STAGES["ingest"], DEVICE_TELEMETRY, ports, Published(ports, read_bundle()), 16, lambda: NOW)
    runner.take(0, ports.stream.read(DEVICE_TELEMETRY.name, 0, -1, 10))
    return readings_on(ports, IOT_DATA_INGESTION), ports.stream.read(DEAD_LETTER.name, 0, -1, 100)


def sent_by_http(body, form, unnamed=""):
    """The readings that ingest makes of a body, and its receipt."""
    ports, receipts = memory_ports(), []
    runner = Runner(STAGES["ingest"], None, ports, Published(ports, read_bundle()), 16, lambda: NOW)
    message = RawMessage(body, NOW, "default", format=form, request="r", unnamed=unnamed)

    def decide(ctx):
        outcome, made = admit([message], IOT_DATA_INGESTION, ctx)
        receipts.extend(made)
        return outcome

    runner.request(decide)
    return readings_on(ports, IOT_DATA_INGESTION), receipts[0]


def readings_on(ports, topic):
    places = range(ports.stream.partitions(topic.name))
    stored = [message for place in places for message in ports.stream.read(topic.name, place, -1, 100)]
    return [reading for message in stored for reading in Pack.decode(message.value).readings()]


def test_every_example_of_a_format_is_sent():
    assert len(EXAMPLES) == len(blocks("docs/data-formats.md", "json", "csv"))
    assert {how for how, *_ in EXAMPLES} == {"mqtt", "json", "ndjson", "csv", "replay"}


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{index}-{how}" for index, (how, *_) in enumerate(EXAMPLES)])
def test_an_example_of_a_format_does_what_the_page_says(example, tmp_path):
    how, device, accepted, rejected, _, text = example
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
        readings, dead = sent_by_mqtt(body)
    else:
        readings, receipt = sent_by_http(body, how, device or "")
        dead = receipt.rejected
        assert (receipt.error, receipt.accepted) == ("", int(accepted))
    assert len(readings) == int(accepted)
    assert len(dead) == int(rejected or 0)


def test_the_limits_on_the_page_are_those_of_the_code():
    text = page("docs/data-formats.md")
    assert f"1 to {sent.MAX_METRICS} numbers" in text
    assert f"up to {sent.MAX_TAGS} by name" in text
    assert f"up to {sent.MAX_READINGS:,} readings" in text
    for name in tables.TIME_COLUMNS:
        assert f"`{name}`" in text


def test_an_unknown_field_is_an_error_as_the_page_says():
    body = b'{"device": "pump-07", "value": {"flow": 1}, "values": {"flow": 1}}'
    readings, receipt = sent_by_http(body, "json")
    assert (len(readings), receipt.accepted, len(receipt.rejected)) == (0, 0, 1)


# --- the picture ----------------------------------------------------------------------------------------------------

NODE = r'\w+(?:\["[^"]+"\]|\(\["[^"]+"\]\)|\[\("[^"]+"\)\]|\{\{"[^"]+"\}\})?'
LINE = re.compile(rf'{NODE}(?: & {NODE})*(?: (?:-->|-\.->)(?:\|(?:"[^"|]+"|[^"|]+)\|)? {NODE})*')
RESERVED = {"end", "graph", "flowchart", "subgraph", "style", "class", "classDef", "click", "linkStyle", "default"}


def test_the_picture_is_made_of_lines_that_mermaid_understands():
    head, *lines = as_mermaid(PIPELINE).splitlines()
    assert head == "flowchart TD"
    assert [line for line in lines if not LINE.fullmatch(line.strip())] == []
    assert RESERVED.isdisjoint(
        word for line in lines for word in re.findall(r"\w+", re.sub(r'"[^"]*"|\|[^|]*\|', "", line))
    )


def test_the_picture_shows_every_stage_topic_and_written_table():
    text = as_mermaid(PIPELINE)
    for stage in PIPELINE:
        assert f'{stage.name}["{stage.name}"]' in text
        assert [table.name for table in stage.writes if table.name not in text] == []
    assert [name for name in TOPICS if name not in text] == []


def test_the_text_of_the_pipeline_has_a_block_for_every_stage(capsys):
    assert cli.main(["pipeline"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[2:] if line[0] != " "] == [stage.name for stage in PIPELINE]
    assert cli.main(["pipeline", "--mermaid"]) == 0
    assert capsys.readouterr().out == as_mermaid(PIPELINE) + "\n"
