"""Deployed, as far as a machine can: packages that were built, in an empty Python 3.13, from a device to a card."""

import base64
import contextlib
import http.server
import json
import shutil
import subprocess
import threading
import time
import zipfile
from importlib.metadata import files
from pathlib import Path

import pytest

from tests.azure_functions.azure_world import LATE
from tests.azure_functions.conftest import PARTITIONS, SHARDS
from tests.azure_functions.events import batch_of
from tests.emulators import functions_worker
from tests.emulators.functions_worker import MISSING
from tests.emulators.vault import vault
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_infra.build import build_package


def new_python():
    """A Python 3.13 that starts; empty: there is none."""
    for found in (shutil.which("python3.13"), *map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))):
        if found and not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
            return found
    return ""


pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.skipif(not new_python(), reason="needs Python 3.13, for which packages are built"),
]
APPS = {
    "stream": ("ingest", "clean", "rule_check", "ml_score", "store", "notify", "budget_cutoff"),
    "explain": ("rag_explain",),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Nothing but the worker library."""
    folder = tmp_path_factory.mktemp("worker")
    for name in ("azure-functions-runtime", "azurefunctions-extensions-base"):
        for file in files(name):
            if file.suffix == ".py":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), folder / file)
    return folder


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


class App:
    """A package that runs."""

    def __init__(self, kind, folder, library, authority, environment):
        with zipfile.ZipFile(build_package(kind, folder).path) as archive:
            archive.extractall(folder / kind)
        self._log = (folder / f"{kind}.log").open("w+")
        asked = [new_python(), "-I", "-S", str(Path(__file__).with_name("deployed.py")), str(folder / kind)]
        self._process = subprocess.Popen(
            [*asked, str(library), functions_worker.__file__, authority],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=environment | {"WATCHKEEPER_STAGE": ",".join(APPS[kind]), "HOME": str(folder)},
        )  # fmt: skip
        self.about = self._answer()

    def take(self, stage, topic, partition, messages):
        events, metadata = batch_of(topic, partition, messages, stage)
        told = {"bodies": [base64.b64encode(body).decode() for body in events.value.bytes]}
        told["metadata"] = {name: datum.value for name, datum in metadata.items()}
        return self._ask(f"{stage}_{topic.replace('-', '_')}", told)

    def ring(self, stage):
        return self._ask(f"{stage}_timer", {"timer": LATE, "metadata": {}})

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
        self._log.close()

    def _ask(self, function, told):
        print(json.dumps(told | {"function": function}), file=self._process.stdin, flush=True)
        return self._answer()["error"]

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(self._log.read()[-3000:])
        return json.loads(line)


def bridge(stack, apps, places):
    """What the host does: each partition that has something new goes to its function."""
    for kind, app in apps.items():
        for stage in APPS[kind]:
            for topic in STAGES[stage].topics:
                if topic is DEVICE_TELEMETRY:
                    continue
                for partition, messages in stack.messages(topic.name).items():
                    done = places.get((stage, topic.name, partition), 0)
                    if messages[done:] and not app.take(stage, topic.name, partition, messages[done:]):
                        places[stage, topic.name, partition] = len(messages)
            if STAGES[stage].timer:
                assert app.ring(stage) == ""


def test_a_devices_message_ends_as_a_card_in_teams(stack, library, tmp_path):
    told = stack.settings
    with vault(tmp_path) as secrets, cards() as (address, got), contextlib.ExitStack() as running:
        secrets.secrets["receivers"] = json.dumps({"receivers": f"teams={address}"})
        environment = {
            "WATCHKEEPER_EVENT_HUBS_CONNECTION": told.event_hubs_connection,
            "WATCHKEEPER_COSMOS": told.cosmos,
            "WATCHKEEPER_COSMOS_KEY": told.cosmos_key,
            "WATCHKEEPER_COSMOS_DATABASE": told.cosmos_database,
            "WATCHKEEPER_STORAGE_CONNECTION": told.storage_connection,
            "WATCHKEEPER_BLOB_CONTAINER": told.blob_container,
            "WATCHKEEPER_KEY_VAULT": secrets.url,
            "WATCHKEEPER_RECEIVERS_SECRET": "receivers",
            "WATCHKEEPER_SHARDS": str(SHARDS),
            "WATCHKEEPER_PARTITIONS": str(PARTITIONS),
        }
        apps = {kind: App(kind, tmp_path, library, secrets.authority, environment) for kind in APPS}
        for app in apps.values():
            running.callback(app.close)
            assert app.about["python"] == [3, 13]
            assert str(tmp_path) in app.about["azure"]
        assert apps["explain"].about["functions"] == [
            "command", "rag_explain_rag_error_reporting", "rag_explain_timer",
        ]  # fmt: skip
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
        assert apps["stream"].take("ingest", DEVICE_TELEMETRY.name, 0, sent) == ""
        places, ends = {}, time.monotonic() + 60
        while not got and time.monotonic() < ends:
            bridge(stack, apps, places)
        card = got[0]["attachments"][0]
        assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert "pump-07" in json.dumps(card["content"])
        assert "vibration" in json.dumps(card["content"]).lower()
        assert "pump-07" in {row.key.sort for row in stack.ports.tables.query("devices", "default")}
