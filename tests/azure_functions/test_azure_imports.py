"""What a cold start loads: the functions on the way of a reading load no model library, and nothing for training."""

import json
import subprocess
import sys

import pytest

from tests.emulators.functions_worker import MISSING

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
HOT = ("ingest", "clean", "rule_check", "ml_score", "store")
HEAVY = {"openai", "sklearn", "scipy", "pandas", "joblib", "fastapi", "starlette", "httpx", "matplotlib"}
LOOK = """
import json, sys, time
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container
from watchkeeper_azure.settings import Settings
from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import FunctionsWorker

now = int(time.time() * 1000)
ports = memory_ports(1)
container = Container(Settings(shards=1), ports, lambda: now)
container.__dict__["published"] = Published(ports, Bundle.from_files({}))
body = json.dumps({"ts": now, "values": {"flow": 1.0}}).encode()
ports.stream.append("device-telemetry", [Message(0, body, {"device": "pump-07", "received": str(now)})])
worker = FunctionsWorker(open_app(lambda: container, ",".join(sys.argv[1:])))
for name in sys.argv[1:]:
    for topic in STAGES[name].topics:
        messages = ports.stream.read(topic.name, 0, -1, 100)
        if messages:
            events, metadata = batch_of(topic.name, 0, messages, name)
            answer = worker.invoke(f"{name}_{topic.name.replace('-', '_')}", "events", events, metadata)
            assert answer.fine, answer.error
assert ports.tables.query("devices", "default"), "nothing came to store"
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_functions_on_the_way_of_a_reading_load_nothing_heavy_even_when_they_have_worked():
    done = subprocess.run([sys.executable, "-c", LOOK, *HOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) & HEAVY == set()


@pytest.mark.parametrize("name", ["api", "retrain", "rag_explain", "notify"])
def test_others_load_what_they_need_when_it_is_needed(name):
    code = (
        f"import sys; from watchkeeper_azure.app import open_app; open_app(names={name!r}); print(*sorted(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(told) & HEAVY == set()
