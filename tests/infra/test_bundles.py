"""What the functions carry: from the lock file, the same bytes each time, within limits, without tests and caches."""

import ast
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from watchkeeper_infra import build
from watchkeeper_infra.archive import Part, is_needed, write_archive
from watchkeeper_infra.build import MB, build_all, build_code, build_layer
from watchkeeper_infra.bundles import CODE, LAYERS, built_bundles
from watchkeeper_infra.lockfile import read_lock, subset
from watchkeeper_infra.recipes import RECIPES

LOCK = """\
# This file was made
numpy==2.0 ; python_version < '3.13' \\
    --hash=sha256:aa
    # via watchkeeper (pyproject.toml)
numpy==2.1 ; python_version >= '3.13' \\
    --hash=sha256:ab
    # via
    #   scipy
    #   watchkeeper (pyproject.toml)
openai==3.0 \\
    --hash=sha256:bb
    # via watchkeeper (pyproject.toml)
httpx==1.0 \\
    --hash=sha256:cc
    # via
    #   -c requirements/dev.txt
    #   openai
scipy==1.0 \\
    --hash=sha256:dd
    # via scikit-learn
idna==3.0 \\
    --hash=sha256:ee
    # via httpx
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """All of it, once."""
    return build_all(tmp_path_factory.mktemp("bundles"))


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_a_subset_of_the_lock_has_what_is_needed_and_nothing_that_only_the_others_need():
    lock = read_lock(LOCK)
    assert lock["numpy"].needed_by == {"scipy", "watchkeeper (pyproject.toml)"}
    assert subset(lock, {"openai"}).splitlines() == [
        "numpy==2.0 ; python_version < '3.13' \\",
        "    --hash=sha256:aa",
        "numpy==2.1 ; python_version >= '3.13' \\",
        "    --hash=sha256:ab",
    ]
    assert [line.partition("==")[0] for line in subset(lock, ()).splitlines() if "==" in line] == [
        "httpx", "idna", "numpy", "numpy", "openai",
    ]  # fmt: skip


def test_the_bundles_are_within_their_limits(built):
    sizes = {name: (built[name].size + built[CODE].size) / MB for name in LAYERS}
    limit = RECIPES["aws"].limit_mb
    assert {name: size for name, size in sizes.items() if size > limit[name]} == {}
    assert (limit["stream"], limit["train"]) == (90, 250)


def test_a_bundle_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build_layer", lambda name, folder: build.Built(folder / name, 90 * MB))
    with pytest.raises(RuntimeError, match=r"stream: 9\d\.\d MB unpacked, and it may have 90"):
        build_all(tmp_path)


def test_the_packages_are_for_the_machine_that_lambda_has(built):
    for name in LAYERS:
        libraries = [file for file in names_in(built[name].path) if file.endswith(".so")]
        assert libraries
        assert [file for file in libraries if "x86_64" in file or "darwin" in file] == []
        versions = {part for file in libraries for part in file.split(".") if part.startswith("cpython-")}
        assert versions == {"cpython-313-aarch64-linux-gnu"}


def test_each_kind_of_function_has_its_packages_and_no_others(built):
    packages = {name: {file.split("/")[1] for file in names_in(built[name].path)} for name in LAYERS}
    assert {"numpy", "msgspec", "confluent_kafka", "aws_lambda_powertools"} <= set.intersection(*packages.values())
    assert {name for name in LAYERS if "openai" in packages[name]} == {"explain"}
    assert {name for name in LAYERS if "fastapi" in packages[name]} == {"web"}
    assert {name for name in LAYERS if packages[name] & {"sklearn", "scipy"}} == {"train"}
    assert set.union(*packages.values()) & {"boto3", "botocore", "pandas", "pulumi", "pytest"} == set()


def test_nothing_is_in_them_that_a_function_does_not_run(built):
    for name in LAYERS:
        files = [Path(file).relative_to("python") for file in names_in(built[name].path)]
        assert [file for file in files if not is_needed(file)] == []
        assert [file for file in files if "__pycache__" in file.parts or file.name == "RECORD"] == []


def test_the_code_has_our_packages_and_the_knowledge_base(built):
    files = names_in(built[CODE].path)
    assert {file.split("/")[0] for file in files} >= {"knowledge_base", "watchkeeper", "watchkeeper_api"}
    assert "watchkeeper/pipeline.py" in files
    assert any(file.startswith("knowledge_base/runbooks/") and file.endswith(".md") for file in files)
    assert [file for file in files if "watchkeeper_local" in file or "__pycache__" in file] == []


def test_the_same_inputs_make_the_same_bytes(built, tmp_path, monkeypatch):
    """In another folder, at another time, with other rights, and files that were made in another order."""
    copy = tmp_path / "copy"
    for folder in ("shared", "functions", "knowledge_base", "requirements"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in sorted(copy.rglob("*"), reverse=True):
        file.chmod(0o755 if file.is_dir() else 0o600)
        os.utime(file, (0, 0))
    monkeypatch.setattr(build, "ROOT", copy)
    for name, again in ((CODE, build_code(tmp_path)), ("stream", build_layer("stream", tmp_path))):
        assert again.path.read_bytes() == built[name].path.read_bytes()


def test_other_inputs_make_other_bytes(tmp_path):
    digests = []
    for text in ("a", "b"):
        folder = tmp_path / text
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "module.py").write_text(text)
        write_archive(folder / "code.zip", [Part(folder / "in")])
        digests.append((folder / "code.zip").read_bytes())
    assert digests[0] != digests[1]
    with zipfile.ZipFile(io.BytesIO(digests[0])) as archive:
        (info,) = archive.infolist()
        assert (info.date_time, info.compress_type) == ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)


def test_a_package_that_does_not_have_its_hash_is_refused(tmp_path, monkeypatch):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "aws.txt").write_text(
        "msgspec==0.20.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via watchkeeper (pyproject.toml)\n"
    )
    monkeypatch.setattr(build, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="the packages cannot be had for aarch64"):
        build_layer("stream", tmp_path)


def test_what_the_functions_import_is_not_stripped():
    """All modules that the pipeline, the API and training load here are among those that a layer keeps."""
    code = (
        "import sys, watchkeeper.worker, watchkeeper_api, sklearn.ensemble, openai, numpy.testing\n"
        "print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    place = Path(sysconfig.get_path("purelib"))
    loaded = [Path(line) for line in done.stdout.splitlines()]
    inside = [file.relative_to(place) for file in loaded if file.is_relative_to(place)]
    assert len(inside) > 300
    assert [file for file in inside if not is_needed(file)] == []


def test_whatever_our_code_imports_is_in_a_layer_or_in_the_runtime(built):
    """Also what is imported only where it is used: Lambda would find out when an alert is to be sent."""
    carried = {name: {module_of(file) for file in names_in(built[name].path)} for name in LAYERS}
    everywhere = set.union(*carried.values()) | set(sys.stdlib_module_names) | {"boto3", "botocore"}
    imported = {}
    with zipfile.ZipFile(built[CODE].path) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                for module in imports_of(archive.read(name)):
                    imported.setdefault(module, name)
    ours = {name.split("/")[0] for name in names_in(built[CODE].path)}
    assert {module: name for module, name in imported.items() if module not in everywhere | ours} == {}
    assert {"httpx", "confluent_kafka", "aws_lambda_powertools"} <= carried["stream"]


def module_of(file):
    """The module at the top that a file of a layer belongs to: `python/six.py`, `python/numpy/…`."""
    return file.split("/")[1].partition(".")[0]


def imports_of(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_bundles_that_are_built_are_found(built):
    found = built_bundles(built[CODE].path.parent, (CODE, *LAYERS))
    assert set(found) == {CODE, *LAYERS}
    assert all(len(bundle.hexdigest) == 64 for bundle in found.values())
