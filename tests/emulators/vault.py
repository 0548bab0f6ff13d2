"""A stand-in of Key Vault: secrets over HTTPS, for who answers its challenge with a token that it knows.

Source: Microsoft Learn, "Authentication, requests and responses" of Azure Key Vault, and its REST API of secrets.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
    authority = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, folder / "vault.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Vault(f"https://127.0.0.1:{server.server_port}", str(authority), secrets, down, asked)
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """For loopback, signed by itself, for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault of the tests")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(loopback, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "vault.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = folder / "vault.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
