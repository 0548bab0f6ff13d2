"""The whole program is run once for all tests, over gRPC, in the virtual environment that Pulumi uses."""

import json
import subprocess

import pytest

from tests.docs.pages import ROOT
from tests.infra.graph import AzureGraph, Graph
from tests.infra.scenarios import PLANTS, SCENARIOS, as_pulumi
from tests.once import alone_in, shared_folder
from watchkeeper_infra.config import Given, read_config

ENGINE_S = 270  # on a machine that does much else
PYTHON = ROOT / ".venv-infra" / "bin" / "python"


@pytest.fixture(scope="session")
def answer(tmp_path_factory, worker_id):
    """What came out of all scenarios on AWS; workers of one test run share it."""
    return _answer("aws", tmp_path_factory, worker_id)


@pytest.fixture(scope="session")
def azure_answer(tmp_path_factory, worker_id):
    """The same on Azure."""
    return _answer("azure", tmp_path_factory, worker_id)


@pytest.fixture(scope="session")
def graphs(answer):
    """The graphs on AWS by scenario, each with the configuration that it was made from."""
    return {name: Graph(made) for name, made in _configured("aws", answer).items()}


@pytest.fixture(scope="session")
def azure_graphs(azure_answer):
    """The same on Azure."""
    return {name: AzureGraph(made) for name, made in _configured("azure", azure_answer).items()}


def _answer(cloud, tmp_path_factory, worker_id):
    if not PYTHON.exists():
        pytest.skip("needs .venv-infra, which `make infra` makes")
    shared = shared_folder(f"infra-engine-{cloud}", tmp_path_factory, worker_id)
    with alone_in(shared):
        made = shared / "answer.json"
        if not made.exists():
            _run(cloud, shared)
        return json.loads(made.read_text())


def _of(cloud):
    return {name: scenario for name, scenario in SCENARIOS.items() if scenario.cloud == cloud}


def _configured(cloud, answer):
    for name, scenario in _of(cloud).items():
        made = answer["graphs"][name] | {"stack": scenario.stack, "secret_values": scenario.secret_values}
        if not made["error"]:
            values, secret = as_pulumi(scenario, "bundles")
            made["config"] = read_config(Given(scenario.stack, values, frozenset(secret)))
        answer["graphs"][name] = made
    return answer["graphs"]


def _run(cloud, folder):
    bundles = folder / "bundles"
    bundles.mkdir(exist_ok=True)
    for name in ("code", "stream", "explain", "web", "train"):
        (bundles / f"{name}.zip").write_bytes(name.encode())
    scenarios = []
    for name, scenario in _of(cloud).items():
        values, secret = as_pulumi(scenario, str(bundles))
        scenarios.append(
            {"name": name, "stack": scenario.stack, "config": values, "secret": secret, "preview": scenario.preview}
        )
    plants = [plant for plant in PLANTS if plant["of"] in _of(cloud)]
    request = folder / "request.json"
    request.write_text(
        json.dumps({"cloud": cloud, "program": str(ROOT / "infra"), "scenarios": scenarios, "plants": plants})
    )
    command = [PYTHON, ROOT / "tests" / "infra" / "engine" / "run.py", request, folder / "answer.part"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=ENGINE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "answer.part").rename(folder / "answer.json")
