"""`watchkeeper rules`: mistakes with their places, and when rules would have fired on recorded data."""

import shutil
import time

import numpy as np
import pytest

from tests.unit.reprocessing.support import HOUR, MINUTE, SECOND, SHARDS, World, wave
from watchkeeper.memory import MemoryReceiver
from watchkeeper_local.cli import main
from watchkeeper_local.knowledge import shipped_folder
from watchkeeper_local.sqlite import open_ports

OVEN = "tests/data/oven.csv"
RULES = """applies_to: {of}
rules:
  - id: oven.hot
    metric: temperature
    above: 200
    clear: 190
    for: 60s
    severity: warning
    summary: The oven is too hot
    runbook: unknown-anomaly.md
  - id: oven.cold
    metric: temperature
    below: -5
    severity: warning
    summary: The oven is cold
    runbook: unknown-anomaly.md
  - id: oven.silent
    no_data: 10m
    severity: info
    summary: The oven is silent
    runbook: device-silent.md
"""
MINUTES = [180, 201, 205, 230, 195, 189, 188, 180, 210, 211, 212]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.fixture
def data(tmp_path):
    """An oven by the minute: hot from 06:01 (for a minute, so from 06:02), cool from 06:05, hot again at the end."""
    lines = [f"2024-03-01 06:{minute:02d}:00,{value}" for minute, value in enumerate(MINUTES)]
    return write(tmp_path / "oven.csv", "\n".join(["timestamp,temperature", *lines]) + "\n")


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main(["rules", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def cells(out):
    """The rows of the table, head first."""
    table = out.split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell] for line in table]


# --- other kinds ----------------------------------------------------------------------------------------------------

OTHERS = """applies_to: oven
rules:
  - {id: oven.jumps, metric: temperature, rising: 20 per 1m, clear: 0.5, severity: info, summary: s, runbook: r}
  - {id: oven.odd, when: 'temperature in (230, 205)', severity: info, summary: s, runbook: r}
  - {id: oven.twice, metric: temperature, above: 200, times: 2, within: 8m, severity: info, summary: s, runbook: r}
"""


def test_rules_of_other_kinds_are_tried_too(run, tmp_path, data):
    root = shutil.copytree(shipped_folder(), tmp_path / "kb")
    write(root / "devices" / "oven.yaml", "class: oven\ninterval: 1m\nmetrics: {temperature: {range: [-50, 400]}}\n")
    rules = write(root / "rules" / "oven.yaml", OTHERS.replace("runbook: r", "runbook: unknown-anomaly.md"))
    code, said, err = run("test", rules, "--on", data, "--class", "oven")
    assert (code, err) == (0, "")
    rows = [
        [row[0], row[2][-8:], row[3].split()[-1] if row[3][0] == "2" else row[3], *row[4:]] for row in cells(said)[1:]
    ]
    assert rows == [
        ["oven.jumps", "06:01:00", "06:04:00", "4", "230"],
        ["oven.odd", "06:02:00", "06:04:00", "3", "-"],
        ["oven.jumps", "06:08:00", "still open", "3", "212"],
        ["oven.twice", "06:08:00", "06:10:00", "3", "212"],
    ]


# --- check ----------------------------------------------------------------------------------------------------------


def test_a_knowledge_base_without_mistakes_is_summed_up(run):
    code, said, _ = run("check", shipped_folder())
    assert code == 0
    assert "6 classes of devices, 36 rules, 25 runbooks; no mistakes" in said
    assert run("check")[0] == 0


def test_every_mistake_is_told_with_its_file_and_line(run, tmp_path):
    root = shutil.copytree(shipped_folder(), tmp_path / "kb")
    write(root / "rules" / "one.yaml", "applies_to: pmup\nrules: []\n")
    write(root / "rules" / "two.yml", "")
    (root / "rules" / "three.yaml").write_bytes(b"\xff\xfe\x00a")
    code, said, err = run("check", root)
    assert code == 1
    assert f"{root}/rules/three.yaml:1:1: not Unicode text" in said
    assert f"{root}/rules/two.yml:1:1: not a file of a knowledge base" in said
    assert err == "2 mistakes\n"
    (root / "rules" / "two.yml").unlink()
    (root / "rules" / "three.yaml").unlink()
    code, said, err = run("check", root)
    assert (code, err) == (1, "1 mistake\n")
    assert f"{root}/rules/one.yaml:1:13: unknown device class 'pmup' (did you mean 'pump'?)" in said


def test_what_is_no_knowledge_base_is_said(run, tmp_path):
    assert run("check", tmp_path / "no-such")[0] == 2
    code, _, err = run("check", tmp_path)
    assert (code, "no knowledge base" in err) == (2, True)


# --- test -----------------------------------------------------------------------------------------------------------


def test_a_file_of_rules_is_tried_on_recorded_data(run, tmp_path, data):
    code, said, _ = run("test", write(tmp_path / "oven.yaml", RULES.format(of="generic")), "--on", data)
    assert code == 0
    assert cells(said) == [
        ["rule", "device", "opened", "cleared", "readings", "worst value"],
        ["oven.hot", "oven", "2024-03-01 06:02:00", "2024-03-01 06:06:00", "5", "230"],
        ["oven.hot", "oven", "2024-03-01 06:09:00", "still open", "2", "212"],
    ]
    assert "11 readings; devices: 1 of class generic." in said
    assert "did not fire: oven.cold, oven.silent\n" in said


def test_a_silence_is_found_when_its_device_speaks_again(run, tmp_path, data):
    more = write(tmp_path / "late" / "oven.csv", "timestamp,temperature\n2024-03-01 07:00:00,180\n")
    rules = write(tmp_path / "oven.yaml", RULES.format(of="generic"))
    _, said, _ = run("test", rules, "--on", data, more)
    assert ["oven.silent", "oven", "2024-03-01 06:20:00", "2024-03-01 07:00:00", "-", "-"] in cells(said)


def test_devices_can_be_taken_for_ones_of_a_class(run, tmp_path):
    lines = [f"2024-03-01 06:{minute:02d}:00,{70 if minute < 5 else 99}" for minute in range(20)]
    data = write(tmp_path / "x.csv", "\n".join(["timestamp,bearing_temperature", *lines]) + "\n")
    motor = shipped_folder() / "rules" / "motor.yaml"
    assert "no rule would have fired" in run("test", motor, "--on", data)[1]
    said = run("test", motor, "--on", data, "--class", "motor")[1]
    assert cells(said)[1] == ["motor.bearing-hot", "x", "2024-03-01 06:06:00", "still open", "14", "99"]
    code, _, err = run("test", motor, "--on", data, "--class", "moter")
    assert (code, "did you mean 'motor'?" in err) == (2, True)


def test_a_whole_folder_is_tried_with_many_devices_and_readings(run, tmp_path):
    rows = [f"{1_700_000_000 + i},d{i % 7},{300 if i >= 15_000 else 20}" for i in range(20_000)]
    data = write(tmp_path / "all.csv", "\n".join(["ts,device,temperature", *rows]) + "\n")
    root = shutil.copytree(shipped_folder(), tmp_path / "kb")
    write(root / "rules" / "oven.yaml", RULES.format(of="generic"))
    said = run("test", root, "--on", data)[1]
    hot = [row for row in cells(said) if row[0] == "oven.hot"]
    assert sorted(row[1] for row in hot) == [f"d{n}" for n in range(7)]
    assert sum(int(row[4]) for row in hot) == pytest.approx(5_000, abs=7 * 10)
    assert "20000 readings; devices: 7 of class generic." in said


def test_mistakes_in_the_rules_or_the_data_are_told(run, tmp_path, data):
    bad = write(tmp_path / "oven.yaml", RULES.format(of="ovn"))
    code, said, _ = run("test", bad, "--on", data)
    assert (code, f"{bad}:1:13: unknown device class 'ovn'" in said) == (1, True)
    good = write(tmp_path / "oven.yaml", RULES.format(of="generic"))
    torn = write(tmp_path / "torn.csv", "timestamp,temperature\n2024-03-01 06:00:00,1\nyesterday,2\n")
    code, said, err = run("test", good, "--on", torn)
    assert (code, "torn.csv:3: " in err, "1 readings, 1 bad rows" in said) == (1, True, True)
    empty = write(tmp_path / "empty.csv", "timestamp,temperature\n")
    assert run("test", good, "--on", empty)[0] == 2
    assert "no such file or folder: no.csv" in run("test", good, "--on", "no.csv")[2]
    assert "no such file or folder" in run("test", tmp_path / "no.yaml", "--on", data)[2]


def test_a_wrong_flag_of_an_action_is_told_with_what_was_meant(capsys):
    with pytest.raises(SystemExit):
        main(["rules", "test", "x.yaml", "--on", "x.csv", "--class=x", "--onn"])
    assert "did you mean --on?" in capsys.readouterr().err


def test_the_result_does_not_depend_on_how_many_readings_are_taken_at_once(run, tmp_path, data, monkeypatch):
    rules = write(tmp_path / "oven.yaml", RULES.format(of="generic"))
    told = []
    for at_once in (1, 3, 5_000):
        monkeypatch.setattr("watchkeeper.trial.AT_ONCE", at_once)
        told.append(run("test", rules, "--on", data, data))  # the second time all are repetitions
    assert told[0] == told[1] == told[2]
    assert "22 readings, 11 repetitions left out" in told[0][1]


# --- stored data, folders and pictures ------------------------------------------------------------------------------

PUMP_RULES = """applies_to: pump
rules:
  - id: pump.flow-high
    metric: flow
    above: 110
    clear: 109
    severity: warning
    summary: Too much flow
    runbook: unknown-anomaly.md
  - id: pump.silent
    no_data: 20m
    severity: info
    summary: The pump is silent
    runbook: device-silent.md
"""


@pytest.fixture(scope="module")
def stored_folder(tmp_path_factory):
    """A data folder with two pumps' readings of the last hours, one of which paused for half an hour; to be copied."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    ports = open_ports(folder, partitions=2, shards=SHARDS, receivers={"memory": MemoryReceiver()})
    begin = time.time_ns() // 1_000_000 - 8 * HOUR
    world = World(ports, begin)
    for device in ("pump-01", "pump-02"):
        world.send(device, begin, wave(800))
        world.send(device, begin + 8000 * SECOND + (device == "pump-02") * 30 * MINUTE, wave(800))
    ports.close()
    return folder


@pytest.fixture
def stored(tmp_path, stored_folder):
    folder = shutil.copytree(stored_folder, tmp_path / "data")
    return ["--data-dir", str(folder), "--shards", str(SHARDS), "--partitions", "2"]


def test_rules_are_tried_on_what_is_stored_as_on_recorded_data(run, tmp_path, stored):
    rules = write(tmp_path / "rules.yaml", PUMP_RULES)
    code, said, _ = run("test", rules, "--last", "7d", *stored)
    assert code == 0
    table = cells(said)
    assert table[0] == ["rule", "device", "opened", "cleared", "readings", "worst value"]
    assert {row[1] for row in table[1:] if row[0] == "pump.flow-high"} == {"pump-01", "pump-02"}
    assert [row[1] for row in table[1:] if row[0] == "pump.silent"] == ["pump-02"]
    assert said.endswith("3200 readings; devices: 2 of class pump.\n")
    flows = [float(row[5]) for row in table[1:] if row[0] == "pump.flow-high"]
    assert min(flows) > 110

    recorded = [f"{1_700_000_000_000 + at * 10_000},{value}" for at, value in enumerate(wave(800).tolist())]
    write(tmp_path / "recorded" / "pump-01.csv", "\n".join(["ts,flow", *recorded]) + "\n")
    on_files = [row[4:] for row in cells(run("test", rules, "--on", tmp_path / "recorded")[1])[1:]]
    on_stored = [row[4:] for row in table[1:] if row[:2] == ["pump.flow-high", "pump-01"]]
    whole = len(on_files) - 1  # the last one goes on in what is stored
    assert on_files[:whole] == on_stored[:whole]
    assert whole > 1


def test_a_picture_is_drawn_of_each_metric_with_episodes(run, tmp_path, stored, data):
    from matplotlib import image  # slow to load, and no other test here draws

    rules = write(tmp_path / "rules.yaml", PUMP_RULES)
    code, said, _ = run("test", rules, "--last", "1d", "--png", tmp_path / "fired.png", *stored)
    assert code == 0
    files = sorted(tmp_path.glob("fired*.png"))
    assert [file.name for file in files] == ["fired-pump-01-flow.png", "fired-pump-02-flow.png"]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert str(file) in said
        picture = image.imread(file)
        assert picture.shape[1] > 1000
        assert len(np.unique(picture[::4, ::4, :3].reshape(-1, 3), axis=0)) > 20
    oven = write(tmp_path / "oven.yaml", RULES.format(of="generic"))
    said = run("test", oven, "--on", data, "--png", tmp_path / "oven.png")[1]
    assert said.endswith(f"drawn: {tmp_path / 'oven.png'}\n")
    quiet = write(tmp_path / "quiet.yaml", PUMP_RULES)
    assert run("test", quiet, "--on", data, "--png", tmp_path / "no.png")[1].endswith("nothing fired to be drawn\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--last", "soon"], "--last: not a duration"),
        (["--last", "1m"], "no readings of the last 1m are stored there"),
        (["--last", "1d", "--on", "x.csv"], "not allowed with argument"),
        ([], "one of the arguments --on --last is required"),
    ],
)
def test_data_that_are_named_wrongly_are_told(run, tmp_path, stored, arguments, said, capsys):
    rules = write(tmp_path / "rules.yaml", PUMP_RULES)
    try:
        code, _, error = run("test", rules, *arguments, *stored)
    except SystemExit as exit_:
        code, error = exit_.code, capsys.readouterr().err
    assert code == 2
    assert said in error
