"""`watchkeeper up` as a new user meets it: MQTT and HTTP in, series, anomalies and alerts out, and a clean end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Up
from tests.ports import free_ports
from watchkeeper_local.node import open_node
from watchkeeper_local.settings import Settings
from watchkeeper_local.sources.send import open_sender

NAB = Path(__file__).parents[3] / "shared" / "data" / "nab"
TAXIS = "realKnownCause/nyc_taxi.csv"


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "watchkeeper_local.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A running one for tests that leave it running, and count only what they have sent themselves."""
    runtime = Up(tmp_path_factory.mktemp("one") / "wk")
    yield runtime.start()
    runtime.close()


def test_a_reading_sent_by_mqtt_is_in_its_series_within_five_seconds(one):
    now = int(time.time() * 1000)
    with open_sender(one.mqtt_url) as sender:
        sender.send([{"device": "boiler-1", "ts": now, "values": {"temperature": 61.5}}])
    until = time.monotonic() + 5
    while time.monotonic() < until:
        answer = one.http.get(f"{one.url}/api/devices/boiler-1/series?metric=temperature")
        if answer.status_code == 200 and answer.json()["points"]:
            break
        time.sleep(0.05)
    assert answer.json()["points"] == [[now, 61.5]]


def test_a_broken_rule_becomes_one_alert_with_its_runbook_and_is_resolved(one):
    start = int(time.time() * 1000) - 60_000
    hot = [96.0] * 40 + [60.0] * 40
    readings = [
        {"device": "pump-1", "ts": start + 1000 * i, "values": {"bearing_temperature": t}} for i, t in enumerate(hot)
    ]
    readings = [r for r in readings if r["ts"] <= start + 80_000]
    assert one.http.post(f"{one.url}/ingest/realtime", json=readings).json()["accepted"] == len(readings)
    one.drained()
    alerts = [a for a in one.get("/api/alerts")["alerts"] if a["detector"] == "rule:pump.bearing-hot"]
    assert [a["status"] for a in alerts] == ["resolved"]
    assert alerts[0]["report"]["sources"][0]["file"] == "pump-bearing-wear.md"
    told = [json.loads(line) for line in one.alerts.read_text().splitlines()]
    mine = [alert["status"] for alert in told if alert["id"] == alerts[0]["id"]]
    assert mine == ["firing", "resolved"]


def test_bad_messages_become_dead_letters_and_cost_their_neighbours_nothing(one):
    before = one.drained()["readings"]
    with open_sender(one.mqtt_url) as sender:
        sender._client.publish("devices/pump-1/telemetry", b"\x00 not json", qos=1).wait_for_publish(5)
        sender.send([{"device": "pump-1", "ts": int(time.time() * 1000), "values": {"flow": 120.0}}])
    body = [{"device": "pump-1", "values": {"flow": "much"}}, {"device": "pump-1", "values": {"flow": 121.0}}]
    answer = one.http.post(f"{one.url}/ingest/realtime", json=body).json()
    assert (answer["accepted"], [r["index"] for r in answer["rejected"]]) == (1, [0])
    until = time.monotonic() + 10
    while time.monotonic() < until and one.drained()["readings"]["accepted"] < before["accepted"] + 4:
        time.sleep(0.1)
    after = one.drained()["readings"]
    assert [after[end] - before[end] for end in ("accepted", "stored", "dead")] == [4, 2, 2]


@pytest.mark.skipif(not NAB.is_dir(), reason="the labelled data are not beside the checkout")
def test_a_replayed_half_year_is_stored_its_oddest_days_are_found_and_nobody_is_paged(up):
    sent = command("replay", "--speed", "max", "--to", up.url, str(NAB / TAXIS))
    assert sent.returncode == 0, sent.stderr
    rows = len((NAB / TAXIS).read_text().splitlines()) - 1
    assert f"{rows} readings accepted, 0 rejected, 0 bad rows" in sent.stdout
    counts = up.drained()["readings"]
    assert counts["accepted"] == rows == counts["stored"]

    device = Path(TAXIS).stem
    series = up.get(f"/api/devices/{device}/series?metric=value&from=0&points=500")
    assert sum(point[4] for point in series["points"]) == rows
    windows = json.loads((NAB / "windows.json").read_text())[TAXIS]
    anomalies = up.get(f"/api/anomalies?device={device}&limit=500")["anomalies"]
    opened = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(a["opened"] / 1000)) for a in anomalies]
    found = [window for window in windows if any(window[0] <= moment <= window[1] for moment in opened)]
    assert len(found) >= 2, (windows, opened)
    assert all(anomaly["backfill"] for anomaly in anomalies)
    assert not up.alerts.exists(), "a backfill has paged somebody"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_when_asked_and_leaves_no_process_behind(up, how):
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert up.stop(how) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert "has stopped" in up.log()
    assert "Traceback" not in up.log()
    assert "WARNING" not in up.log(), "an orderly end is no news"


def test_beyond_loopback_it_wants_keys_and_with_them_it_lets_in_only_their_holders(up_with, tmp_path):
    refused = command("up", "--host", "0.0.0.0", "--data-dir", str(tmp_path / "x"))  # noqa: S104 - it is refused
    assert refused.returncode == 2
    assert "api_keys" in refused.stderr
    assert "mqtt_password" in refused.stderr

    up = up_with("--api-keys", "dashboard=k1", "--mqtt-user", "plant", "--mqtt-password", "p w")
    assert up.http.get(f"{up.url}/api/status").status_code == 401
    assert up.http.get(f"{up.url}/api/status", headers={"X-API-Key": "k1"}).status_code == 200
    with open_sender(f"mqtt://plant:p%20w@127.0.0.1:{up.mqtt_port}") as sender:
        assert sender.send([{"device": "d", "ts": int(time.time() * 1000), "values": {"a": 1.0}}]).accepted == 1


def test_a_taken_port_is_said_plainly(one, tmp_path):
    flags = ("--data-dir", str(tmp_path / "other"), "--http-port", str(one.http_port))
    taken = command("up", *flags, "--mqtt-port", str(free_ports()[1]))
    assert taken.returncode == 2
    assert f"{one.http_port}" in taken.stderr
    assert "--http-port" in taken.stderr


def test_a_changed_number_of_shards_is_said_plainly(tmp_path):
    settings = Settings(data_dir=str(tmp_path / "data"))
    open_node(settings, durable=True)[0].close()
    changed = command("up", "--data-dir", settings.data_dir, "--shards", "32", "--http-port", str(free_ports()[0]))
    assert changed.returncode == 2
    assert "set shards to 4" in changed.stderr
    assert "32" in changed.stderr


def test_two_workers_share_the_partitions_and_together_lose_nothing(up_with):
    up = up_with("--workers", "2")
    start = int(time.time() * 1000)
    readings = [
        {"device": f"d{i % 40}", "ts": start + i // 40, "values": {"a": float(i)}, "tags": {"line": "a"}}
        for i in range(4_000)
    ]
    assert up.http.post(f"{up.url}/ingest/batch", json=readings, timeout=30).json()["accepted"] == 4_000
    status = up.drained()
    assert status["pipeline"]["workers"] == 2
    assert status["readings"]["stored"] == 4_000


def test_a_second_one_on_the_same_data_folder_is_refused(one):
    second = command("up", "--data-dir", str(one.folder / "data"), "--http-port", str(one.http_port + 1))
    assert second.returncode == 2
    assert f"in use by another Watchkeeper (process {one.process.pid})" in second.stderr
