"""README.md: every command is run, every example does what the page says."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks, page

PAGE = "README.md"
BIN = Path(sys.executable).parent
SHELL = blocks(PAGE, "bash", "console", "sh")
PYTHON = blocks(PAGE, "python")
LOOK_S = 20.0


def made_short(block: Block) -> bool:
    """Is it one that takes as long as it takes, and is run by a test of its own?"""
    return block.text.startswith("make ") or block.text.strip() == ".venv/bin/watchkeeper up"


def placed(text, running):
    """The example on the ports and with the programs of this test."""
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{running.http_port}").replace(
        "-p 1883", f"-p {running.mqtt_port}"
    )
    for command in ("status", "replay"):
        flag = {"status": "--url", "replay": "--to"}[command]
        text = text.replace(f".venv/bin/watchkeeper {command}", f"{BIN}/watchkeeper {command} {flag} {running.url}")
    return text


@pytest.fixture
def shell(running, tmp_path):
    """Runs a script as a user's shell would; answers what it has said."""
    if not shutil.which("mosquitto_pub"):
        program = tmp_path / "mosquitto_pub"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests/docs/stand_ins.py"} "$@"\n')
        program.chmod(0o755)

    def run(text):
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", placed(text, running)],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def points(running, device, metric, value):
    """The values of a series, as soon as this one is among them."""
    until = time.monotonic() + LOOK_S
    path = f"/api/devices/{device}/series?metric={metric}&from=0&points=10000"
    while time.monotonic() < until:
        if any(known["device"] == device for known in running.get("/api/devices?limit=1000")["devices"]):
            found = [each for _, each in running.get(path)["points"]]
            if value in found:
                return found
        time.sleep(0.1)
    pytest.fail(f"no {value} in {metric} of {device}:\n{running.log()}")


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in SHELL if not made_short(block)], ids=str)
def test_a_command_works(block, shell):
    if "series?" in block.text:  # of a device that an example above it has sent
        shell(next(other.text for other in SHELL if "ingest/realtime" in other.text))
        time.sleep(2)
    said = shell(block.text)
    assert '"error"' not in said, said


@pytest.mark.slow
def test_the_example_of_mqtt_is_stored(shell, running):
    shell(next(block.text for block in SHELL if "mosquitto_pub" in block.text))
    assert points(running, "pump-07", "vibration", 1.9)


@pytest.mark.slow
def test_the_example_of_curl_is_accepted_and_stored(shell, running):
    said = shell(next(block.text for block in SHELL if "curl -sS http" in block.text and "ingest" in block.text))
    assert said.startswith('{"accepted":1,"rejected":[]'), said
    assert points(running, "pump-07", "flow", 102.6)


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in PYTHON if "watchkeeper_client" in block.text], ids=str)
def test_the_example_of_the_client_is_stored(block, running, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    exec(compile(placed(block.text, running), str(block), "exec"), {})  # noqa: S102 - our own page
    assert points(running, "checkout-service", "queue_depth", 17) == [17]
    assert points(running, "checkout-service", "render.count", 1) == [1]


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in PYTHON if "urllib" in block.text], ids=str)
def test_the_example_in_python_is_accepted_and_stored(block, running, capsys):
    exec(compile(placed(block.text, running), str(block), "exec"), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out.startswith('{"accepted":1,"rejected":[]')
    assert points(running, "oven-3", "temperature", 181.5)


@pytest.mark.slow
def test_the_example_of_replay_stores_every_row_and_pages_nobody(shell, running):
    block = next(block for block in SHELL if "replay" in block.text)
    file = ROOT / re.search(r"\S+\.csv", block.text)[0]
    rows = len(file.read_text().splitlines()) - 1
    assert f"{rows} readings accepted, 0 rejected, 0 bad rows left out." in shell(block.text)
    running.drained()
    assert len(points(running, file.stem, "temperature", 178.9)) == rows
    assert [a for a in running.get(f"/api/alerts?device={file.stem}")["alerts"] if a["pages"]] == []


# --- commands that take as long as they take ------------------------------------------------------------------------


def recipe(target):
    """The lines that make would run for a target."""
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)+)", page("Makefile"), re.MULTILINE)
    assert found, f"no target {target} in the Makefile"
    return found[1].replace("\t", "").splitlines()


def test_the_make_targets_of_the_readme_are_there_and_two_of_them_are_enough():
    named = [block.text.split()[1] for block in SHELL if block.text.startswith("make ")]
    assert named == ["demo", "test"]
    assert recipe("demo") == ["$(BIN)/watchkeeper demo --seconds $(DEMO_SECONDS)"]
    assert [line.split()[0:3] for line in recipe("test")] == [["$(BIN)/python", "-m", "pytest"]]


@pytest.mark.slow
def test_up_says_where_it_listens_and_where_the_data_is(running):
    (block,) = (block for block in SHELL if block.text.strip().endswith("watchkeeper up"))
    assert block.text.strip() == ".venv/bin/watchkeeper up"
    assert f"http://127.0.0.1:{running.http_port}" in running.log()
    assert "Data is kept in" in running.log()
    assert "`watchkeeper-data`" in page(PAGE)
