"""A stand-in of Key Vault: secrets over HTTPS, for who answers its challenge with a token that it knows.

Source: Microsoft Learn, "Authentication, requests and responses" of Azure Key Vault, and its REST API of secrets.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken

from tests.emulators.certificates import make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESOURCE = "https://vault.azure.net"
TENANT = "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000001"


class Identity:
    """A credential whose tokens the vault knows."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_more: Any) -> AccessToken:
        """A token for what is asked."""
        self.scopes += scopes
        return AccessToken(f"token for {scopes[0]}", 2**40)

    def close(self) -> None:
        """Nothing is held."""


class Vault(NamedTuple):
    """`secrets` can be changed; `down`: what is answered instead, if a status is in it."""

    url: str
    authority: str  # file of the authority that has signed for it
    secrets: dict[str, str]
    down: list[int]
    asked: list[str]


@contextlib.contextmanager
def vault(folder: Path) -> Iterator[Vault]:
    """A vault on loopback."""
    secrets: dict[str, str] = {}
    down: list[int] = []
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer token for {RESOURCE}/.default":
                challenge = f'Bearer authorization="{TENANT}", resource="{RESOURCE}"'
                return self._send(401, {"error": {"code": "Unauthorized"}}, challenge)
            asked.append(self.path)
            if down:
                return self._send(down[0], {"error": {"code": "Away", "message": "Away"}})
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if parts[0] != "secrets" or "api-version=" not in url.query:
                return self._send(400, {"error": {"code": "BadParameter", "message": "no secret, or no version"}})
            if parts[1] not in secrets:
                return self._send(404, {"error": {"code": "SecretNotFound", "message": f"no secret {parts[1]}"}})
            name = f"{RESOURCE}/secrets/{parts[1]}/1"
            return self._send(200, {"value": secrets[parts[1]], "id": name, "attributes": {"enabled": True}})

        def _send(self, status: int, body: object, challenge: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    certificate = make_certificate(folder, "vault")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Vault(f"https://127.0.0.1:{server.server_port}", str(certificate.path), secrets, down, asked)
    finally:
        server.shutdown()
        server.server_close()
