"""A stand-in of Azure Web PubSub: REST over HTTPS for who has a right, and WebSockets for who was given an address.

Sources: the REST API of its data plane, version 2024-12-01, and on Microsoft Learn "WebSocket client protocols" and
"JSON WebSocket subprotocol" of Azure Web PubSub. Keys are off: it takes tokens of Entra ID only. What is refused, and
how, where these do not say, is assumed: 413 for more than 1 MB.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.certificates import make_certificate
from tests.emulators.websocket import TEXT, accepted, frame, read_frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AUDIENCE = "https://webpubsub.azure.com"
PROTOCOL = "json.webpubsub.azure.v1"
LARGEST = 1024 * 1024
HUB = re.compile(r"[A-Za-z][A-Za-z0-9_`,.\[\]]{0,127}")
LONGEST_GROUP = 1024
VERSION = "2024-12-01"
TYPES = ("application/json", "text/plain")


class Listening:
    """One connection: who it is, and where it was let in."""

    def __init__(self, claims: Mapping[str, Any], wire: socket.socket, *, plain: bool) -> None:
        self.user, self.hub = claims["sub"], claims["aud"].rpartition("/")[2]
        self.groups, self.roles = claims["webpubsub.group"], claims["role"]
        self._wire, self._plain, self._writing = wire, plain, threading.Lock()

    def hand(self, group: str, data: bytes) -> None:
        """A message to its group, in the form that its protocol has."""
        told = {"type": "message", "from": "group", "group": group, "dataType": "json", "data": json.loads(data)}
        self.send(data if self._plain else json.dumps(told).encode())

    def send(self, data: bytes) -> None:
        """One frame."""
        with self._writing, contextlib.suppress(OSError):  # it may have gone
            self._wire.sendall(frame(data))

    def answer(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Whether it may do what it wants: join, leave or send to a group, each by a role."""
        role = f"webpubsub.{'sendToGroup' if wish['type'] == 'sendToGroup' else 'joinLeaveGroup'}"
        if role in self.roles or f"{role}.{wish['group']}" in self.roles:
            return {"type": "ack", "ackId": wish["ackId"], "success": True}
        error = {"name": "Forbidden", "message": f"the client has not the role {role}"}
        return {"type": "ack", "ackId": wish["ackId"], "success": False, "error": error}


class WebPubSub:
    """What the service has and has been asked. `down` is answered to all, if it is set; `slow_s` before each answer.

    `entitled`: whether the identity has a right to this service; `clock` is that by which addresses end.
    """

    def __init__(self, authority: str) -> None:
        self.url, self.authority = "", authority
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.listening: list[Listening] = []
        self.down, self.slow_s, self.entitled, self.key = 0, 0.0, True, b"a key of nobody but this service"
        self.clock = time.time

    def rest(self, path: str, query: dict[str, list[str]], headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Status and answer of a request to the data plane."""
        self.asked.append((path, query))
        time.sleep(self.slow_s)
        if status := self._refusal(headers.get("Authorization", "")):
            return status, {"code": "Refused", "message": f"refused by the test: {status}"}
        parts = path.split("/")  # before anything is decoded: a slash in a name would be another path
        if query.get("api-version") != [VERSION] or parts[:3] != ["", "api", "hubs"] or not HUB.fullmatch(parts[3]):
            return 400, {"code": "BadRequest"}
        if parts[4:] == [":generateToken"]:
            return 200, {"token": self._token(parts[3], query)}
        if len(parts) != 7 or parts[4] != "groups" or parts[6] != ":send":
            return 404, {"code": "NotFound"}
        return self._send(parts[3], unquote(parts[5]), headers.get("Content-Type", ""), body), None

    def claims(self, url: str, token: str) -> dict[str, Any] | None:
        """What an address says of who comes by it; None: it is none of ours, for another place, or has ended."""
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature, self._signature(head, body)):
            return None
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims if claims["aud"] == url and claims["exp"] > self.clock() else None

    def _refusal(self, token: str) -> int:
        if token != f"Bearer token for {AUDIENCE}/.default":
            return 401
        return self.down if self.entitled else 403

    def _send(self, hub: str, group: str, kind: str, body: bytes) -> int:
        if not 0 < len(group) <= LONGEST_GROUP:
            return 400
        if len(body) > LARGEST:
            return 413
        if not kind.startswith(TYPES):
            return 415
        for one in list(self.listening):
            if one.hub == hub and group in one.groups:
                one.hand(group, body)
        return 202

    def _token(self, hub: str, query: dict[str, list[str]]) -> str:
        minutes = int(query.get("minutesToExpire", ["60"])[0])
        claims = {"aud": f"{self.url}/client/hubs/{hub}", "exp": self.clock() + minutes * 60}
        claims |= {"sub": query.get("userId", [""])[0], "role": query.get("role", [])}
        claims |= {"webpubsub.group": query.get("group", [])}
        head, body = _part({"alg": "HS256", "typ": "JWT"}), _part(claims)
        return f"{head}.{body}.{self._signature(head, body)}"

    def _signature(self, head: str, body: str) -> str:
        digest = hmac.new(self.key, f"{head}.{body}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@contextlib.contextmanager
def web_pubsub(folder: Path) -> Iterator[WebPubSub]:
    """A service on loopback."""
    certificate = make_certificate(folder, "web-pubsub")
    service = WebPubSub(str(certificate.path))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Nothing: the test says what it has seen."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            status, answer = service.rest(url.path, parse_qs(url.query), self.headers, body)
            with contextlib.suppress(OSError):  # the client has not waited
                self._answer(status, b"" if answer is None else json.dumps(answer).encode())

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            claims = service.claims(service.url + url.path, parse_qs(url.query).get("access_token", [""])[0])
            if claims is None or self.headers.get("Upgrade") != "websocket":
                return self._answer(401 if claims is None else 400, b"")
            wanted = [each.strip() for each in self.headers.get("Sec-WebSocket-Protocol", "").split(",")]
            self.send_response(101)
            told = {"Upgrade": "websocket", "Connection": "Upgrade"}
            told["Sec-WebSocket-Accept"] = accepted(self.headers["Sec-WebSocket-Key"])
            told |= {"Sec-WebSocket-Protocol": PROTOCOL} if PROTOCOL in wanted else {}
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self._serve(Listening(claims, self.connection, plain=PROTOCOL not in wanted), plain=PROTOCOL not in wanted)
            return None

        def _serve(self, one: Listening, *, plain: bool) -> None:
            service.listening.append(one)
            if not plain:
                told = {"type": "system", "event": "connected", "userId": one.user, "connectionId": str(id(one))}
                one.send(json.dumps(told).encode())
            with contextlib.suppress(OSError):
                kind, data = read_frame(self.rfile)
                while kind == TEXT:
                    if not plain:
                        one.send(json.dumps(one.answer(json.loads(data))).encode())
                    kind, data = read_frame(self.rfile)
            service.listening.remove(one)
            self.close_connection = True

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    service.url = f"https://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
