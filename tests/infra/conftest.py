"""The whole program is run once for all tests, over gRPC, in the virtual environment that Pulumi uses."""

import fcntl
import json
import subprocess

import pytest

from tests.docs.pages import ROOT
from tests.infra.graph import AzureGraph, Graph
from tests.infra.scenarios import PLANTS, SCENARIOS, as_pulumi
from watchkeeper_infra.config import Given, read_config

PYTHON = ROOT / ".venv-infra" / "bin" / "python"


@pytest.fixture(scope="session")
def answer(tmp_path_factory, worker_id):
    """What came out of all scenarios; workers of one test run share it."""
    if not PYTHON.exists():
        pytest.skip("needs .venv-infra, which `make infra` makes")
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "infra-engine"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = shared / "answer.json"
        if not made.exists():
            _run(shared)
        return json.loads(made.read_text())


@pytest.fixture(scope="session")
def graphs(answer):
    """The graphs by scenario, each with the configuration that it was made from."""
    for name, scenario in SCENARIOS.items():
        made = answer["graphs"][name] | {
            "cloud": scenario.cloud,
            "stack": scenario.stack,
            "secret_values": scenario.secret_values,
        }
        if not made["error"]:
            values, secret = as_pulumi(scenario, "bundles")
            made["config"] = read_config(Given(scenario.stack, values, frozenset(secret)))
        answer["graphs"][name] = made
    return {name: (AzureGraph if made["cloud"] == "azure" else Graph)(made) for name, made in answer["graphs"].items()}


def _run(folder):
    bundles = folder / "bundles"
    bundles.mkdir(exist_ok=True)
    for name in ("code", "stream", "explain", "web", "train"):
        (bundles / f"{name}.zip").write_bytes(name.encode())
    scenarios = []
    for name, scenario in SCENARIOS.items():
        values, secret = as_pulumi(scenario, str(bundles))
        scenarios.append(
            {"name": name, "stack": scenario.stack, "config": values, "secret": secret, "preview": scenario.preview}
        )
    request = folder / "request.json"
    request.write_text(json.dumps({"program": str(ROOT / "infra"), "scenarios": scenarios, "plants": PLANTS}))
    command = [PYTHON, ROOT / "tests" / "infra" / "engine" / "run.py", request, folder / "answer.part"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "answer.part").rename(folder / "answer.json")
