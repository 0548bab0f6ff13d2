"""What our own providers do to Azure: packages are put, kept and rolled back, groups made, pages uploaded."""

import os
import subprocess

import pytest

from tests.docs.pages import ROOT
from tests.infra.azure_loopback import TOKENS, Azure, served
from watchkeeper_infra import credentials, onedeploy, static_site
from watchkeeper_infra.enrolment import dismiss, enrol
from watchkeeper_infra.onedeploy import release

APP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/wk-clean"
AUTHORITY = (ROOT / "tests" / "infra" / "device_ca.pem").read_text("utf-8")


@pytest.fixture
def azure(monkeypatch):
    for module in (credentials, onedeploy):
        for name in ("PAUSE_S", "LOOK_S"):
            monkeypatch.setattr(module, name, 0.01, raising=False)
    server = Azure()
    end = served(server)
    yield server
    end()


def deploy(azure, digest, package, token=TOKENS.__getitem__):
    release(APP, f"{azure.address}/packages", digest, package, azure.address, token)


@pytest.fixture
def packages(tmp_path):
    files = {name: tmp_path / f"{name}.zip" for name in ("one", "two")}
    for name, file in files.items():
        file.write_bytes(name.encode())
    return files


def test_a_package_is_kept_under_its_digest_released_and_taken(azure, packages):
    deploy(azure, "d1", packages["one"])
    assert azure.blobs == {"/packages/d1.zip": b"one", "/packages/released-package.zip": b"one"}
    assert azure.deployed == [b"one"]
    assert azure.looks == 0, "it was waited for"


def test_the_package_before_is_kept_and_can_be_released_again(azure, packages):
    deploy(azure, "d1", packages["one"])
    deploy(azure, "d2", packages["two"])
    deploy(azure, "d1", None)
    assert azure.deployed == [b"one", b"two", b"one"]
    assert set(azure.blobs) == {"/packages/d1.zip", "/packages/d2.zip", "/packages/released-package.zip"}


def test_a_deployment_that_was_broken_off_can_be_repeated(azure, packages):
    azure.blobs["/packages/d1.zip"] = b"one"
    azure.slow_copy = True
    deploy(azure, "d1", packages["one"])
    assert azure.deployed == [b"one"]


def test_a_package_that_never_was_there_is_named(azure):
    with pytest.raises(RuntimeError, match="the package d9 was never deployed to wk-clean: watchkeeper:packages"):
        deploy(azure, "d9", None)
    assert azure.deployed == []


def test_an_app_that_does_not_take_its_package_is_an_error(azure, packages):
    azure.fails = True
    with pytest.raises(RuntimeError, match="wk-clean did not take its package"):
        deploy(azure, "d1", packages["one"])


def test_a_right_that_azure_does_not_know_of_yet_is_waited_for(azure, packages):
    azure.refusals = 3
    deploy(azure, "d1", packages["one"])
    assert azure.deployed == [b"one"]


def test_a_right_that_never_comes_and_a_wrong_token_are_errors(azure, packages, monkeypatch):
    monkeypatch.setattr(credentials, "PATIENCE_S", 0.05)
    azure.refusals = 10_000
    with pytest.raises(RuntimeError, match=r"PUT http://127.0.0.1:\d+/packages/d1.zip: 403 .*no right"):
        deploy(azure, "d1", packages["one"])
    with pytest.raises(RuntimeError, match="401"):
        deploy(azure, "d1", packages["one"], token=lambda resource: "another")


def test_devices_of_an_authority_are_let_in_and_the_authority_can_be_another(azure):
    enrol(azure.address, "devices", AUTHORITY, TOKENS.__getitem__)
    (path,) = azure.groups
    assert path == "/enrollmentGroups/devices"
    assert azure.groups[path]["attestation"]["type"] == "x509"
    assert azure.groups[path]["provisioningStatus"] == "enabled"
    enrol(azure.address, "devices", AUTHORITY.replace("MII", "MIJ"), TOKENS.__getitem__)
    assert "MIJ" in str(azure.groups[path])
    dismiss(azure.address, "devices", TOKENS.__getitem__)
    dismiss(azure.address, "devices", TOKENS.__getitem__)
    assert azure.groups == {}


@pytest.mark.parametrize("status", [0, 3])
def test_pages_are_uploaded_by_the_command_line_and_the_token_is_in_no_list(tmp_path, monkeypatch, status):
    """A command of the same name writes down how it was called."""
    command = tmp_path / "swa"
    command.write_text(
        f'#!/bin/sh\necho "$@" > "{tmp_path}/called"\necho "$SWA_CLI_DEPLOYMENT_TOKEN" > "{tmp_path}/token"\n'
        f'echo "it says $SWA_CLI_DEPLOYMENT_TOKEN"\nexit {status}\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if status:
        with pytest.raises(RuntimeError, match=r"swa deploy: it says …$"):
            static_site.upload(tmp_path / "pages", "t0k3n")
    else:
        static_site.upload(tmp_path / "pages", "t0k3n")
    pages = tmp_path / "pages"
    assert (tmp_path / "called").read_text().split() == [
        "deploy", str(pages), "--env", "production", "--swa-config-location", str(pages),
    ]  # fmt: skip
    assert (tmp_path / "token").read_text().strip() == "t0k3n"


def test_a_command_line_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="npm install --global @azure/static-web-apps-cli"):
        static_site.upload(tmp_path, "t0k3n")


def test_the_token_of_whoever_deploys_can_be_asked_for_where_pulumi_runs():
    python = ROOT / ".venv-infra" / "bin" / "python"
    if not python.exists():
        pytest.skip("needs .venv-infra, which `make infra` makes")
    code = "from azure.identity import DefaultAzureCredential; print(DefaultAzureCredential.__name__)"
    done = subprocess.run([python, "-c", code], text=True, capture_output=True, check=False)
    assert done.stdout.strip() == "DefaultAzureCredential", done.stderr
