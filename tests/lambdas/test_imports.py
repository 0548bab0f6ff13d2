"""What a cold start loads: the functions on the way of a reading load no model library, and nothing for training."""

import json
import os
import subprocess
import sys

import pytest

from tests.emulators.lambda_runtime import PARENT, TRACE_ID

HOT = ("ingest", "clean", "rule_check", "ml_score", "store")
HEAVY = ("openai", "sklearn", "scipy", "pandas", "joblib", "fastapi", "starlette", "httpx", "matplotlib")
LOOK = """
import importlib, json, sys, time
from watchkeeper.memory import memory_ports
from watchkeeper_aws.container import Container
from watchkeeper_aws.settings import Settings
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.published import Published
from tests.lambdas.events import event, from_msk, telemetry
from watchkeeper.ports import Stored
from watchkeeper.pipeline import STAGES

class Context:  # a module of the tests that has one loads the API
    aws_request_id = "8e3d5f30-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self):
        return 60_000

ports = memory_ports(1)
container = Container(Settings(shards=1), ports, lambda: int(time.time() * 1000))
container.__dict__["published"] = Published(ports, Bundle.from_files({}))
ports.stream.append("device-telemetry", [telemetry("pump-07", 0, {"flow": 1.0}, int(time.time() * 1000))])
for name in sys.argv[1:]:
    handler = importlib.import_module(f"watchkeeper_aws.handlers.{name}").handler
    handler._container = lambda: container
    for topic in STAGES[name].topics:
        messages = ports.stream.read(topic.name, 0, -1, 100)
        assert handler(from_msk(topic.name, {0: messages}), Context()) == {"batchItemFailures": []}
assert ports.tables.query("devices", "default"), "nothing came to store"
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*functions):
    asked = [sys.executable, "-c", LOOK, *functions]
    lambdas = {"LAMBDA_TASK_ROOT": "/var/task", "_X_AMZN_TRACE_ID": f"Root={TRACE_ID};Parent={PARENT};Sampled=0"}
    done = subprocess.run(asked, env=os.environ | lambdas, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_functions_on_the_way_of_a_reading_load_nothing_heavy_even_when_they_have_worked():
    assert loaded(*HOT) & set(HEAVY) == set()


@pytest.mark.parametrize("name", ["api", "retrain"])
def test_others_load_what_they_need_when_it_is_needed(name):
    code = f"import sys, watchkeeper_aws.handlers.{name}; print(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(told) & {"sklearn", "openai", "fastapi", "scipy"} == set()
