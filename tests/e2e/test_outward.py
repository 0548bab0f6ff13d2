"""What leaves a running Watchkeeper: alerts by webhook, explanations by a language model, and TLS on the way in."""

import json
import shutil
import subprocess
import time

import pytest

from tests.unit.adapters.stand_ins import ChatStandIn, StandIn, chat
from watchkeeper_adapters.receivers import signature
from watchkeeper_local.sources.send import open_sender


@pytest.fixture
def hot_pump():
    """Readings that break a rule of pumps for long enough, live."""
    start = int(time.time() * 1000) - 60_000
    return [
        {"device": "pump-1", "ts": start + 1000 * i, "values": {"bearing_temperature": 97.0}, "site": "north"}
        for i in range(45)
    ]


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def test_an_alert_reaches_a_webhook_that_was_away_when_it_fired_and_is_signed(up_with, hot_pump):
    hook = StandIn((503, {}, b""), (503, {}, b""), (204, {}, b""))
    try:
        up = up_with("--receivers", f"webhook={hook.url}/alerts/s3cret", "--webhook-secret", "shared")
        up.http.post(f"{up.url}/ingest/realtime", json=hot_pump)
        assert until(lambda: len(hook.seen) >= 3), up.log()
        last = hook.seen[-1]
        assert last.json["device"] == "pump-1"
        assert last.headers["X-Watchkeeper-Event"] == "firing"
        stamp, signed = last.headers["X-Watchkeeper-Timestamp"], last.headers["X-Watchkeeper-Signature"]
        assert signed == signature("shared", stamp, last.body)
        assert "s3cret" not in up.log()
    finally:
        hook.close()


def test_a_language_models_words_follow_the_alert_as_an_update_and_are_paid_for(up_with, hot_pump):
    model = ChatStandIn()
    try:
        flags = ("--model-url", f"{model.url}/v1", "--model-name", "small", "--model-key", ChatStandIn.KEY)
        up = up_with(*flags, "--budget", "5")
        up.http.post(f"{up.url}/ingest/realtime", json=hot_pump)

        def written():
            reports = [alert["report"] for alert in up.get("/api/alerts")["alerts"]]
            return [report for report in reports if report and report["written_by"] != "rules"]

        assert until(written), up.log()
        assert written()[0]["sources"][0]["file"] == "pump-bearing-wear.md"
        told = [json.loads(line)["status"] for line in up.alerts.read_text().splitlines()]
        assert told[0] == "firing"
        assert until(lambda: "update" in up.alerts.read_text())
        assert until(lambda: (up.get("/api/status")["budget"]["spend"] or {}).get("per_stage", {}).get("rag_explain"))
    finally:
        model.close()


def test_a_model_that_invents_its_sources_is_not_believed(up_with, hot_pump):
    model = ChatStandIn()
    invented = {"what": "It was sabotage, says passage nine.", "causes": ["Sabotage"], "steps": ["Run"], "sources": [9]}
    model.script = [chat(json.dumps(invented))]
    try:
        up = up_with("--model-url", f"{model.url}/v1", "--model-name", "small", "--model-key", ChatStandIn.KEY)
        up.http.post(f"{up.url}/ingest/realtime", json=hot_pump)
        assert until(lambda: model.seen), up.log()

        def rejected():
            reports = [anomaly["report"] for anomaly in up.get("/api/anomalies")["anomalies"]]
            return [report for report in reports if report and report["rejected"]]

        assert until(rejected), up.log()
        assert "was not given" in rejected()[0]["rejected"]
        assert "sabotage" not in json.dumps(up.get("/api/alerts")).lower()
    finally:
        model.close()


def test_devices_speak_tls_and_give_their_password(up_with, tmp_path):
    openssl = shutil.which("openssl") or pytest.skip("needs openssl to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made, *subject], check=True, capture_output=True)
    tls = ("--mqtt-certificate", str(cert), "--mqtt-key", str(key), "--mqtt-ca", str(cert))
    up = up_with(*tls, "--mqtt-user", "plant", "--mqtt-password", "pw")
    now = int(time.time() * 1000)
    with open_sender(f"mqtts://plant:pw@127.0.0.1:{up.mqtt_port}", ca_file=str(cert)) as sender:
        assert sender.send([{"device": "d", "ts": now, "values": {"a": 1.0}}]).accepted == 1
    assert until(lambda: up.get("/api/status")["readings"]["stored"] == 1)
    with pytest.raises(Exception, match=r"cannot be reached|says nothing|hangs up"):
        open_sender(f"mqtt://plant:pw@127.0.0.1:{up.mqtt_port}")
