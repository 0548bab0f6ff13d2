"""The dashboard's folder as Static Web Apps serve it, by their own command line."""

import json
import shutil
import urllib.error
import urllib.request

import pytest

from tests.docs.pages import ROOT
from tests.emulators.servers import NotToBeHadError, Server, tool
from tests.ports import free_port

FOLDER = ROOT / "infra" / "status_page"
CONFIG = "staticwebapp.config.json"


def swa(folder, place):
    """The emulator, serving a folder."""
    try:
        command = tool("swa")
    except NotToBeHadError as error:
        pytest.skip(str(error))
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--swa-config-location", folder]
    return Server([command, "start", folder, *options], port, place)


def get(server, path):
    """Status, headers and text of what is at a path."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=30) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    server = swa(FOLDER, tmp_path_factory.mktemp("swa"))
    yield server
    server.stop()


def test_pages_are_served_with_what_a_browser_must_be_told(site):
    status, headers, text = get(site, "/")
    assert (status, "Watchkeeper runs" in text) == (200, True)
    for name, value in json.loads((FOLDER / CONFIG).read_text("utf-8"))["globalHeaders"].items():
        assert headers[name] == value
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_what_is_not_there_is_not_found_and_the_configuration_is_no_page(site):
    assert get(site, "/nowhere")[0] == 404
    assert get(site, f"/{CONFIG}")[0] == 404


def test_another_configuration_is_served_in_another_way(tmp_path):
    """What the tests above see is the emulator's doing, and not just what every server says."""
    folder = tmp_path / "pages"
    shutil.copytree(FOLDER, folder)
    (folder / CONFIG).write_text(json.dumps({"globalHeaders": {"X-Frame-Options": "SAMEORIGIN"}}))
    server = swa(folder, tmp_path)
    try:
        _, headers, _ = get(server, "/")
    finally:
        server.stop()
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Content-Security-Policy"] is None
