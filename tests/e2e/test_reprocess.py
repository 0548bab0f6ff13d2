"""`watchkeeper reprocess` beside a running `watchkeeper up`, on the same data folder."""

import re
import subprocess
import sys
import threading
import time

DEVICES = [f"pump-{number:02d}" for number in range(1, 5)]
RULE = """applies_to: pump
rules:
  - id: pump.flow-very-high
    metric: flow
    above: 150
    severity: warning
    summary: Too much flow
    runbook: unknown-anomaly.md
"""


def command(up, *arguments):
    words = [sys.executable, "-m", "watchkeeper_local.cli", "reprocess", *arguments, "--data-dir", up.folder / "data"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def send(up, start, count, step=1000):
    for low in range(0, count, 200):
        sent = [
            {"device": device, "ts": start + at * step, "values": {"flow": 100 + at % 97, "pressure": 2 + at % 3}}
            for at in range(low, min(low + 200, count))
            for device in DEVICES
        ]
        assert up.http.post(f"{up.url}/ingest/realtime", json=sent, timeout=30).status_code == 202


def series(up, device, start, end):
    path = f"/api/devices/{device}/series?metric=flow&from={start}&to={end}&points=10000"
    return up.get(path)["points"]


def test_a_span_is_replayed_with_another_rule_and_promoted_while_readings_arrive(up):
    end = time.time_ns() // 1_000_000 - 1000
    start = end - 900_000
    send(up, start, 900)
    up.drained()
    alerts = up.alerts.read_text() if up.alerts.exists() else ""
    body = {"files": {"rules/more.yaml": RULE}, "base": "current"}
    published = up.http.post(f"{up.url}/api/bundles", json=body, timeout=30)
    assert published.status_code == 200, published.text
    version = published.json()["version"]
    span = ("--from", str(start), "--to", str(end))
    said = command(up, *span, "--stage", "rule_check", "--bundle", version)
    name = re.search(r"r-[0-9a-f]{12}", said)[0]
    assert f"{4 * 900} readings" in said
    assert "readings: rule:pump.flow-very-high" in command(up, "compare", name)
    assert (up.alerts.read_text() if up.alerts.exists() else "") == alerts

    before = {device: series(up, device, start, end) for device in DEVICES}
    arriving = threading.Thread(target=send, args=(up, start + 500, 900))
    arriving.start()
    for action in ("promote", "rollback", "promote"):
        command(up, action, name)
    arriving.join()
    status = up.drained()
    assert status["readings"]["stored"] == 2 * 4 * 900 == status["readings"]["accepted"]
    for device in DEVICES:
        points = series(up, device, start, end + 1000)
        assert len(points) == 2 * 900
        assert [point for point in points if (point[0] - start) % 1000 == 0] == before[device]
    assert f"{name}  promoted" in command(up, "list")
    command(up, "discard", name)
    assert "blocked" not in up.log()
