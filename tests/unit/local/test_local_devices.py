"""`watchkeeper devices`: all pages of the API in one table."""

import json

import pytest

from watchkeeper_local import devices
from watchkeeper_local.cli import main

NOW = 1_790_000_000_000


def device(number, silent_ms):
    return {
        "tenant": "default", "device": f"pump-{number}", "site": "", "device_class": "pump", "metrics": ["flow", "rpm"],
        "first_seen": NOW - 9, "last_seen": NOW - silent_ms, "v": 1,
    } | ({"quality": 0.9876} if number == 2 else {})  # fmt: skip


@pytest.fixture
def pages(monkeypatch):
    """An API with two pages of devices."""
    found = {
        "": {"devices": [device(1, 5000)], "next": "pump-1"},
        "pump-1": {"devices": [device(2, 90_000)], "next": ""},
    }
    monkeypatch.setattr(devices, "fetch", lambda url, path, key: found[path.rpartition("=")[2]])
    monkeypatch.setattr(devices, "clock", lambda: NOW)


def test_every_device_is_a_row_with_how_long_it_is_silent(pages, capsys):
    assert main(["devices"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "id"
    assert [(row.split()[0], row.split("  ")[-1].strip()) for row in rows] == [("pump-1", "5 s"), ("pump-2", "1.5 min")]


def test_how_good_its_readings_are_is_shown_once_that_is_known(pages, capsys):
    assert main(["devices"]) == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert "  -  " in first
    assert "  98.8 %  " in second


def test_as_json_it_is_what_the_api_says_and_the_silence(pages, capsys):
    assert main(["devices", "--json"]) == 0
    assert [d["silent_ms"] for d in json.loads(capsys.readouterr().out)] == [5000, 90_000]


@pytest.mark.parametrize(
    ("ms", "shown"), [(-1, "0 s"), (59_000, "59 s"), (60_000, "1.0 min"), (5_400_000, "1.5 h"), (172_800_000, "2.0 d")]
)
def test_a_duration_is_shown_in_its_largest_unit(ms, shown):
    assert devices.duration(ms) == shown


def test_where_nobody_answers_it_is_said(capsys):
    assert main(["devices", "--url", "http://127.0.0.1:1"]) == 2
    assert "is `watchkeeper up` running there?" in capsys.readouterr().err


def test_of_a_device_that_is_named_it_is_told_how_the_model_is_set_for_it(monkeypatch, capsys):
    told = {
        "device": "pump 1", "device_class": "pump", "class_factor": 1.25, "readings": 400, "warming": False,
        "warm_readings": 100, "interval_ms": 60_000.0, "bar": 11.25, "joint_bar": 9.5, "raised": 0.39, "is_open": True,
        "target_a_week": 0.4, "weeks": 3.0, "expected": 1.2, "observed": 2, "scored": ["flow"], "unscored": ["rpm"],
    }  # fmt: skip
    asked = []
    monkeypatch.setattr(devices, "fetch", lambda url, path, key: asked.append(path) or told)
    assert main(["devices", "pump 1"]) == 0
    said = capsys.readouterr().out
    assert asked == ["/api/devices/pump%201/calibration"]
    for part in (
        "400 readings, is judged", "every 1.0 min", "11.2 nats", "class x1.25", "39% more for now",
        "2 episodes opened in 3.0 weeks, one is open", "explains 1.2 of them", "not scored: rpm",
    ):  # fmt: skip
        assert part in said
    told |= {"warming": True, "bar": None, "interval_ms": None}
    assert main(["devices", "pump 1"]) == 0
    assert "warms up until it has more than 100" in capsys.readouterr().out
    assert main(["devices", "pump 1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
