"""Deployed, as far as a machine can: packages that were built, in an empty Python 3.13, from a device to a card."""

import contextlib
import http.server
import json
import threading
import time

import pytest

from tests.azure_functions.azure_world import LATE
from tests.azure_functions.events import batch_of
from tests.azure_functions.package import LACKING, DeployedWorker, environment_of
from tests.emulators.functions_worker import datum
from tests.emulators.vault import vault
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.topology import DEVICE_TELEMETRY

pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)
APPS = {
    "stream": ("ingest", "clean", "rule_check", "ml_score", "store", "notify", "budget_cutoff"),
    "explain": ("rag_explain",),
}


@contextlib.contextmanager
def cards():
    """A webhook, and what it has got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/workflow", got
    finally:
        server.shutdown()
        server.server_close()


def take(app, stage, topic, partition, messages):
    """Whether an app has taken a batch."""
    events, metadata = batch_of(topic, partition, messages, stage)
    return app.invoke(f"{stage}_{topic.replace('-', '_')}", "events", events, metadata).fine


def bridge(stack, apps, places):
    """What the host does: each partition that has something new goes to its function."""
    for kind, app in apps.items():
        for stage in APPS[kind]:
            for topic in STAGES[stage].topics:
                if topic is DEVICE_TELEMETRY:
                    continue
                for partition, messages in stack.messages(topic.name).items():
                    done = places.get((stage, topic.name, partition), 0)
                    if messages[done:] and take(app, stage, topic.name, partition, messages[done:]):
                        places[stage, topic.name, partition] = len(messages)
            if STAGES[stage].timer:
                answer = app.invoke(f"{stage}_timer", "timer", datum(LATE, "json"))
                assert answer.fine, answer.error


def test_a_devices_message_ends_as_a_card_in_teams(stack, packages, tmp_path):
    with vault(tmp_path) as secrets, cards() as (address, got), contextlib.ExitStack() as running:
        secrets.secrets["receivers"] = json.dumps({"receivers": f"teams={address}"})
        environment = environment_of(stack.settings) | {
            "WATCHKEEPER_KEY_VAULT": secrets.url,
            "WATCHKEEPER_RECEIVERS_SECRET": "receivers",
        }
        apps = {}
        for kind, stages in APPS.items():
            here = environment | {"WATCHKEEPER_STAGE": ",".join(stages)}
            package = packages.unpacked(kind)
            apps[kind] = DeployedWorker(package, packages, tmp_path / f"{kind}.log", here, secrets.authority)
            running.callback(apps[kind].close)
            assert apps[kind].about["python"] == [3, 13]
            assert str(package) in apps[kind].about["azure"][0]
        assert apps["explain"].metadata == ["command", "rag_explain_rag_error_reporting", "rag_explain_timer"]
        now = int(time.time() * 1000)
        headers = {"device": "pump-07"}
        sent = [
            Stored(
                second,
                0,
                json.dumps({"ts": now - (60 - second) * 1000, "values": {"flow": 102.5, "vibration": 8.9}}).encode(),
                headers | {"received": str(now)},
            )
            for second in range(60)
        ]
        assert take(apps["stream"], "ingest", DEVICE_TELEMETRY.name, 0, sent)
        places, ends = {}, time.monotonic() + 60
        while not got and time.monotonic() < ends:
            bridge(stack, apps, places)
        card = got[0]["attachments"][0]
        assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert "pump-07" in json.dumps(card["content"])
        assert "vibration" in json.dumps(card["content"]).lower()
        assert "pump-07" in {row.key.sort for row in stack.ports.tables.query("devices", "default")}
