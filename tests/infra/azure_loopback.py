"""Stand-ins of the services that our own providers speak to, as far as those must be refused: storage, ARM, DPS."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = {
    "https://storage.azure.com": "for-storage",
    "https://management.azure.com": "for-management",
    "https://azure-devices-provisioning.net": "for-devices",
}


class Azure(ThreadingHTTPServer):
    """Blobs with If-None-Match, copies within the account, OneDeploy that takes a while, and enrolment groups.

    `refusals` requests are refused first, as long as Azure does not know of a right; `fails`: the app does not start.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs, self.groups, self.deployed, self.asked = {}, {}, [], []
        self.refusals, self.looks, self.fails, self.slow_copy = 0, 2, False, False

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._allowed():
            return
        path = self.path.partition("?")[0]
        if "/packages/" in path:
            self._put_blob(path, body)
        elif path.endswith("/extensions/onedeploy"):
            self._deploy(json.loads(body)["properties"])
        else:
            self._put_group(path, json.loads(body))

    def do_GET(self):
        if not self._allowed():
            return
        path = self.path.partition("?")[0]
        if path == "/operation":
            self.server.looks -= 1
            state = "Failed" if self.server.fails else "Succeeded"
            self._answer(202 if self.server.looks > 0 else 200, {"properties": {"provisioningState": state}})
        else:
            group = self.server.groups.get(path)
            self._answer(200 if group else 404, group or {})

    def do_HEAD(self):
        if self._allowed():
            self._answer(200 if self.path in self.server.blobs else 404, None, {"x-ms-copy-status": "success"})

    def do_DELETE(self):
        if self._allowed():
            gone = self.server.groups.pop(self.path.partition("?")[0], None)
            self._answer(204 if gone else 404, None)

    def _allowed(self):
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        whose = "for-storage" if "/packages/" in self.path else "for-devices"
        whose = "for-management" if "/subscriptions/" in self.path or "/operation" in self.path else whose
        if self.server.refusals or self.headers["Authorization"] != f"Bearer {whose}":
            self.server.refusals = max(0, self.server.refusals - 1)
            self._answer(403 if self.headers["Authorization"] == f"Bearer {whose}" else 401, {"error": "no right"})
            return False
        return True

    def _put_blob(self, path, body):
        if not self.headers["x-ms-version"]:
            self._answer(400, {"error": "x-ms-version"})
        elif source := self.headers["x-ms-copy-source"]:
            self.server.blobs[path] = self.server.blobs[source.removeprefix(self.server.address)]
            self._answer(202, None, {"x-ms-copy-status": "pending" if self.server.slow_copy else "success"})
        elif self.headers["x-ms-blob-type"] != "BlockBlob":
            self._answer(400, {"error": "x-ms-blob-type"})
        elif self.headers["If-None-Match"] == "*" and path in self.server.blobs:
            self._answer(409, {"error": "BlobAlreadyExists"})
        else:
            self.server.blobs[path] = body
            self._answer(201, None)

    def _deploy(self, properties):
        package = properties["packageUri"].removeprefix(self.server.address)
        if properties["remoteBuild"] is not False or package not in self.server.blobs:
            self._answer(400, {"error": "no package"})
            return
        self.server.deployed.append(self.server.blobs[package])
        self._answer(202, {}, {"Location": f"{self.server.address}/operation"})

    def _put_group(self, path, group):
        certificate = group["attestation"]["x509"]["signingCertificates"]["primary"]["certificate"]
        if "BEGIN CERTIFICATE" not in certificate or not path.endswith(group["enrollmentGroupId"]):
            self._answer(400, {"error": "certificate"})
        elif (path in self.server.groups) != (self.headers["If-Match"] == "*"):
            self._answer(409 if path in self.server.groups else 412, {"error": "etag"})
        else:
            self.server.groups[path] = group
            self._answer(200, group)

    def _answer(self, status, body, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        """Quiet."""


def served(server):
    """Serve in a thread; answers what ends it."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def end():
        server.shutdown()
        thread.join()
        server.server_close()

    return end
