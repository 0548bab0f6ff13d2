"""Something between a client and a server of HTTP that may refuse, delay, or swallow an answer: by plan."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Asked(NamedTuple):
    """A request that came by."""

    operation: str  # of DynamoDB, Secrets Manager, …; empty for S3 and Azure
    method: str
    path: str
    body: bytes


class Refuse(NamedTuple):
    """The server is not asked; this is the answer."""

    status: int
    body: bytes = b""
    kind: str = "application/x-amz-json-1.0"
    headers: tuple[tuple[str, str], ...] = ()


THROTTLED = Refuse(400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "Slow down"}')
AWAY = Refuse(503, b"<Error><Code>ServiceUnavailable</Code><Message>Away</Message></Error>", "application/xml")
SLOW_DOWN = Refuse(503, b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>", "application/xml")
FORBIDDEN = Refuse(403, b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>", "application/xml")
TOO_MANY = Refuse(429, b'{"code": "429"}', "application/json", (("x-ms-retry-after-ms", "5"),))
GONE = Refuse(503, b'{"code": "ServiceUnavailable"}', "application/json")
FORBIDDEN_BY_ROLE = Refuse(403, b'{"code": "Forbidden"}', "application/json")
LOSE = "lose"  # the server does it, and nobody hears of it

Plan = "Callable[[Asked], Refuse | str | None]"


class Interference:
    """Forwards to a server. `plan` says for each request what goes wrong; None: nothing."""

    def __init__(self, server: str) -> None:
        self.asked: list[Asked] = []
        self.answered: list[tuple[Asked, int]] = []  # by the server, with its status
        self.plan: Callable[[Asked], Refuse | str | None] = lambda _asked: None
        self.target = server
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_args: object) -> None:
                """Nothing: the test says what it has seen."""

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def do_GET(self) -> None:
                outer.pass_on(self)

            do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - names of http.server

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """One request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        operation = handler.headers.get("X-Amz-Target", "").rpartition(".")[2]
        asked = Asked(operation, handler.command, handler.path, body)
        self.asked.append(asked)
        wrong = self.plan(asked)
        if isinstance(wrong, Refuse):
            return self._answer(handler, wrong.status, [("Content-Type", wrong.kind), *wrong.headers], wrong.body)
        there = http.client.HTTPConnection(self.target, timeout=20)
        there.request(handler.command, handler.path, body, dict(handler.headers.items()))
        answer = there.getresponse()
        data = answer.read()
        there.close()
        self.answered.append((asked, answer.status))
        if wrong == LOSE:
            handler.close_connection = True
            return None
        return self._answer(handler, answer.status, answer.getheaders(), data)

    @staticmethod
    def _answer(
        handler: http.server.BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        handler.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in {"transfer-encoding", "connection"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


@contextlib.contextmanager
def interfering(server: str) -> Iterator[Interference]:
    """Between a client and a server."""
    between = Interference(server)
    try:
        yield between
    finally:
        between.close()


def first(number: int, wrong: Refuse | str, when: Callable[[Asked], bool] = lambda _asked: True):
    """A plan: the first `number` requests of a kind go wrong."""
    left = [number]

    def plan(asked: Asked) -> Refuse | str | None:
        if not when(asked) or not left[0]:
            return None
        left[0] -= 1
        return wrong

    return plan
