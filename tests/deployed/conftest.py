"""The stack of the smallest configuration, applied to emulated AWS from the graph that the program really makes."""

import contextlib
import dataclasses
import importlib.util
import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.deployed.applying import Applied
from tests.deployed.bridge import Bridge
from tests.emulators.aws import REGION
from tests.emulators.servers import NotToBeHadError, ministack, noida
from tests.infra.conftest import ENGINE_S, PYTHON
from tests.infra.graph import Graph
from tests.infra.scenarios import SCENARIOS, as_pulumi
from watchkeeper_infra import build
from watchkeeper_infra.archive import write_archive
from watchkeeper_infra.bundles import CODE, LAYERS
from watchkeeper_infra.recipes import RECIPES

ROOT = build.ROOT
ACCOUNT = "123456789012"  # the one that the graph's engine answers with; an emulated account is named by its key
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCOUNT,
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
EMULATOR = CREDENTIALS | {"MINISTACK_REGION": REGION, "MINISTACK_ACCOUNT_ID": ACCOUNT, "AUTH": "true"}
"""`AUTH`: every call is held to the rights of who makes it."""
UNCHECKED = bytes([1, *[0] * 11])
"""What follows the magic number of a compiled module that is not held against its source; times are lost in a zip."""
NO_WAY = ("train",)  # nothing on the way of a reading has it, and it is large: it is built empty


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """The bundles as `make bundles` builds them, but for this machine and its Python: Lambda's is another one."""
    folder = tmp_path_factory.mktemp("deployed-bundles")
    build.build_code(folder)
    python = ".".join(map(str, sys.version_info[:2]))
    here = dataclasses.replace(RECIPES["aws"], platform=platform(), python=python)
    for name in LAYERS:
        if name in NO_WAY:
            write_archive(folder / f"{name}.zip", [])
        else:
            build.build_layer(name, folder, here)
    assert {path.stem for path in folder.iterdir()} == {CODE, *LAYERS}
    for path in folder.iterdir():
        _add_compiled(path)
    return folder


@pytest.fixture(scope="session")
def recorded(bundles, tmp_path_factory):
    """What the program registers with these bundles."""
    if not PYTHON.exists():
        pytest.skip("needs .venv-infra, which `make infra` makes")
    folder = tmp_path_factory.mktemp("deployed-graph")
    values, secret = as_pulumi(SCENARIOS["small"], str(bundles))
    scenario = {"name": "small", "stack": "aws-dev", "config": values, "secret": secret, "preview": False}
    request = folder / "request.json"
    request.write_text(
        json.dumps({"cloud": "aws", "program": str(ROOT / "infra"), "scenarios": [scenario], "checked": False})
    )
    engine = ROOT / "tests" / "infra" / "engine" / "run.py"
    done = subprocess.run(
        [PYTHON, engine, request, folder / "answer.json"], text=True, capture_output=True, timeout=ENGINE_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    graph = json.loads((folder / "answer.json").read_text())["graphs"]["small"]
    assert graph["error"] == ""
    return graph | {"stack": "aws-dev", "secret_values": []}


@pytest.fixture
def deploy(recorded, tmp_path_factory, monkeypatch):
    """Deploys the recorded graph, with a fault in it where one is given, to AWS and Kafka of its own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    opened = contextlib.ExitStack()

    def deployed(plant=None):
        made = json.loads(json.dumps(recorded))
        if plant is not None:
            plant(made)
        folder = tmp_path_factory.mktemp("deployed")
        try:
            aws = opened.enter_context(ministack(folder, EMULATOR))
            kafka = opened.enter_context(noida(folder))
        except NotToBeHadError as error:
            pytest.skip(str(error))
        applied = Applied(aws, kafka, str(_runtime_packages()))
        applied.apply(Graph(made))
        return opened.enter_context(contextlib.closing(Bridge(applied)))

    with opened:
        yield deployed


def _add_compiled(bundle):
    """Add what is compiled of the same modules here: each function would unpack and compile its own for seconds."""
    with zipfile.ZipFile(bundle, "a") as archive:
        for name in archive.namelist():
            for folder in (_runtime_packages(), ROOT / "shared", ROOT / "functions"):
                source = folder / name.removeprefix("python/")
                compiled = Path(importlib.util.cache_from_source(source)) if source.suffix == ".py" else source
                if source == compiled or not compiled.exists() or source.read_bytes() != archive.read(name):
                    continue
                magic, code = compiled.read_bytes()[:4], compiled.read_bytes()[16:]
                there = str(Path(name).parent / "__pycache__" / compiled.name)
                archive.writestr(there, magic + UNCHECKED + code)


def platform():
    """This machine, as uv names it."""
    machine = sysconfig.get_platform().rpartition("-")[2]
    return "macos" if sys.platform == "darwin" else f"{machine}-manylinux_2_28"


def _runtime_packages():
    """What Lambda's runtime has by itself: the SDK, of which the functions carry no copy."""
    import boto3

    return Path(boto3.__file__).parents[1]
