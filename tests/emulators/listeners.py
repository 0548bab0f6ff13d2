"""API Gateway's Management API for WebSockets, as strict as the service: signed requests, frames, who has gone."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.emulators.aws import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 128 * 1024
STAGE = "/live/@connections/"


class Gateway:
    """Who is connected, and what each has been sent.

    `slow_s`: how long each answer takes; `broken`: 500 to all; `secret` is the key that requests must be signed with.
    """

    def __init__(self, *connected: str) -> None:
        self.sent: dict[str, list[bytes]] = {name: [] for name in connected}
        self.asked, self.slow_s, self.broken = 0, 0.0, False
        self.url, self.secret = "", CREDENTIALS["AWS_SECRET_ACCESS_KEY"]

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """Status and error type of a post."""
        self.asked += 1
        time.sleep(self.slow_s)
        if not _signed(self.url.rpartition("/")[0] + path, headers, body, self.secret):
            return 403, "ForbiddenException"
        if self.broken:
            return 500, "InternalServerErrorException"
        if not unquote(path).startswith(STAGE):
            return 404, "NotFoundException"
        name = unquote(path).removeprefix(STAGE)
        if name not in self.sent:
            return 410, "GoneException"
        if len(body) > LARGEST:
            return 413, "PayloadTooLargeException"
        self.sent[name].append(body)
        return 200, ""


def _signed(url: str, headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Whether the request carries the signature that is due, for this service and region."""
    said = headers.get("authorization", "")
    if f"/{REGION}/execute-api/aws4_request" not in said:
        return False
    names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", url, {name: headers[name] for name in names}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    keys = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], secret)
    auth = SigV4Auth(keys, "execute-api", REGION)
    due = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return said.endswith(f"Signature={due}")


@contextlib.contextmanager
def listening(*connected: str) -> Iterator[Gateway]:
    """A gateway on a port of its own."""
    gateway = Gateway(*connected)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Nothing: the test says what it has seen."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind = gateway.answer(self.path, headers, body)
            with contextlib.suppress(ConnectionError):  # the client has not waited
                self.send_response(status)
                if kind:
                    self.send_header("x-amzn-ErrorType", kind)
                self.send_header("Content-Length", "0")
                self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}/live"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
