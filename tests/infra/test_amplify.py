"""The dashboard's upload: begun, put, started and waited for, as Amplify wants it."""

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from watchkeeper_infra import amplify


class Amplify:
    """Amplify's side: jobs that end after some looks, and a place that takes one PUT."""

    def __init__(self, address, statuses):
        self.address, self.statuses, self.calls = address, list(statuses), []

    def create_deployment(self, **asked):
        self.calls.append(("create", asked))
        return {"jobId": "7", "zipUploadUrl": self.address}

    def start_deployment(self, **asked):
        self.calls.append(("start", asked))

    def get_job(self, **asked):
        self.calls.append(("look", asked))
        return {"job": {"summary": {"status": self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]}}}


@pytest.fixture
def place():
    """Where the zip is put; what came is in `bodies`."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.bodies.append((self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<h1>Watchkeeper</h1>")
    (tmp_path / "assets" / "app.js").write_text("1")
    return tmp_path


def test_a_folder_is_put_onto_the_branch_and_waited_for(place, folder, monkeypatch):
    monkeypatch.setattr(amplify, "LOOK_S", 0.01)
    client = Amplify(f"http://127.0.0.1:{place.server_port}/upload", ["PENDING", "RUNNING", "SUCCEED"])
    assert amplify.deploy(client, "app", "live", folder) == "7"
    assert [name for name, _ in client.calls] == ["create", "start", "look", "look", "look"]
    assert client.calls[1][1] == {"appId": "app", "branchName": "live", "jobId": "7"}
    ((kind, body),) = place.bodies
    assert kind == "application/zip"
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == ["assets/app.js", "index.html"]


@pytest.mark.parametrize(("status", "said"), [("FAILED", "Amplify says FAILED of job 7"), ("RUNNING", "has not ended")])
def test_a_job_that_fails_or_does_not_end_is_an_error(place, folder, monkeypatch, status, said):
    monkeypatch.setattr(amplify, "LOOK_S", 0.01)
    monkeypatch.setattr(amplify, "PATIENCE_S", 0.5)
    client = Amplify(f"http://127.0.0.1:{place.server_port}/upload", [status])
    with pytest.raises(RuntimeError, match=said):
        amplify.deploy(client, "app", "live", folder)
