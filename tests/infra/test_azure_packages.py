"""What the functions on Azure carry: one package for each kind, whole, the same bytes each time, for their machine."""

import json
import sys
import zipfile

import pytest

from tests.docs.pages import ROOT
from tests.infra.test_bundles import imports_of, names_in
from watchkeeper_infra import build
from watchkeeper_infra.build import MB, build_package, build_packages
from watchkeeper_infra.bundles import LAYERS, built_bundles
from watchkeeper_infra.recipes import RECIPES

AZURE = RECIPES["azure"]
pytestmark = pytest.mark.skipif(
    not all((ROOT / root).exists() for root in AZURE.roots), reason="the functions' own code is not in this checkout"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """All of it, once."""
    return build_packages(tmp_path_factory.mktemp("packages"))


def packages_in(files):
    return {
        file.removeprefix(AZURE.packages_in).split("/")[0].partition(".")[0]
        for file in files
        if file.startswith(AZURE.packages_in)
    }


def test_a_package_has_at_its_root_what_the_host_looks_for(built):
    for name in LAYERS:
        with zipfile.ZipFile(built[name].path) as archive:
            assert json.loads(archive.read("host.json"))["version"] == "2.0"
            assert archive.read("function_app.py") == (ROOT / AZURE.roots[0]).read_bytes()
            top = {file.split("/")[0] for file in archive.namelist()}
        assert top == {
            "host.json", "function_app.py", ".python_packages", "knowledge_base",
            "watchkeeper", "watchkeeper_adapters", "watchkeeper_api", "watchkeeper_azure",
        }  # fmt: skip


def test_the_packages_are_within_their_limits_and_for_the_machine_that_runs_them(built):
    for name in LAYERS:
        assert built[name].size < AZURE.limit_mb[name] * MB
        libraries = [file for file in names_in(built[name].path) if file.endswith(".so")]
        versions = {part for file in libraries for part in file.split(".") if part.startswith("cpython-")}
        assert versions == {"cpython-313-x86_64-linux-gnu"}


def test_each_kind_has_its_packages_and_no_others(built):
    carried = {name: packages_in(names_in(built[name].path)) for name in LAYERS}
    assert {"numpy", "msgspec", "azure"} <= set.intersection(*carried.values())
    assert {name for name in LAYERS if "openai" in carried[name]} == {"explain"}
    assert {name for name in LAYERS if "fastapi" in carried[name]} == {"web"}
    assert {name for name in LAYERS if carried[name] & {"sklearn", "scipy"}} == {"train"}
    assert set.union(*carried.values()) & {"boto3", "confluent_kafka", "pandas", "pulumi", "pytest"} == set()


def test_the_same_inputs_make_the_same_bytes(built, tmp_path):
    assert build_package("stream", tmp_path).path.read_bytes() == built["stream"].path.read_bytes()


def test_whatever_our_code_imports_is_in_a_package_or_in_the_runtime(built):
    """Also what is imported only where it is used: the host would find out when an alert is to be sent."""
    carried = set.union(*(packages_in(names_in(built[name].path)) for name in LAYERS))
    imported = {}
    with zipfile.ZipFile(built["stream"].path) as archive:
        ours = {file.split("/")[0].removesuffix(".py") for file in archive.namelist()}
        for file in archive.namelist():
            if file.endswith(".py") and not file.startswith(".python_packages"):
                for module in imports_of(archive.read(file)):
                    imported.setdefault(module, file)
    known = carried | ours | set(sys.stdlib_module_names)
    assert {module: file for module, file in imported.items() if module not in known} == {}
    assert "httpx" in packages_in(names_in(built["stream"].path)), "notify calls webhooks"


def test_a_package_without_its_code_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "azure.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="belongs into an archive"):
        build_package("stream", tmp_path)


def test_packages_that_are_built_are_found(built):
    found = built_bundles(built["stream"].path.parent, LAYERS)
    assert {name: len(bundle.hexdigest) for name, bundle in found.items()} == dict.fromkeys(LAYERS, 64)
