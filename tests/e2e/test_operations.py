"""The operator's commands against a real `watchkeeper up`, while it runs and after it has ended."""

import json
import os
import time

import pytest

from watchkeeper_local.cli import main

MINUTE_MS = 60_000


@pytest.fixture
def operate(up, capsys, monkeypatch):
    """Runs a command with the flags of the running one; answers its exit code and what it has said."""
    for name in [name for name in os.environ if name.startswith("WATCHKEEPER_")]:
        monkeypatch.delenv(name)
    flags = ["--data-dir", str(up.folder / "data"), "--http-port", str(up.http_port), "--mqtt-port", str(up.mqtt_port)]

    def run(*arguments):
        code = main([*arguments, *(["--url", up.url] if arguments[0] == "devices" else flags)])
        return code, capsys.readouterr().out

    return run


def test_a_letter_is_found_by_the_doctor_redriven_stored_and_gone(up, operate):
    now = time.time_ns() // 1_000_000
    readings = [
        {"device": "oven-1", "ts": now, "values": {"temperature": 180}},
        {"device": "oven-1", "ts": now + 5 * MINUTE_MS + 3000, "values": {"temperature": 181}},
        {"device": "oven 1", "values": {"temperature": 182}},
    ]
    assert up.http.post(f"{up.url}/ingest/realtime", json=readings).json()["accepted"] == 2
    up.drained()
    code, said = operate("doctor")
    assert (code, said.count("WRONG")) == (1, 1), said
    assert "2 are open" in said

    told = json.loads(operate("dead-letters", "list", "--json")[1])
    stages = {letter["stage"]: letter["id"] for letter in told}
    assert set(stages) == {"ingest", "clean"}
    time.sleep(3.5)  # now it is no longer more than five minutes ahead
    assert operate("dead-letters", "redrive", stages["clean"])[0] == 0
    up.drained()
    points = up.get(f"/api/devices/oven-1/series?metric=temperature&from={now}&to={now + 9 * MINUTE_MS}")["points"]
    assert [value for _, value in points] == [180, 181]
    assert operate("dead-letters", "redrive", "--all")[0] == 1  # its device still has an impossible name
    assert operate("dead-letters", "discard", "--all")[0] == 0

    code, said = operate("devices")
    assert code == 0
    assert said.splitlines()[1].startswith("oven-1 ")
    code, said = operate("doctor")
    assert code == 0, said
    assert "held, by the Watchkeeper that runs" in said
    assert up.stop() == 0
    code, said = operate("doctor")
    assert code == 0, said
    assert operate("dead-letters", "list")[1] == "no dead letters are open\n"
