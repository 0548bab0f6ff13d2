"""A door before a Kafka broker: TLS, then SCRAM-SHA-512; who is not let in never reaches the broker.

Sources: Kafka's protocol guide (SaslHandshake 1, SaslAuthenticate 0 and 1, error codes 33 and 58); RFC 5802 and 7677
for SCRAM, without channel binding.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import socket
import socketserver
import ssl
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulators.certificates import Certificate

METADATA, FIND_COORDINATOR, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 10, 17, 18, 36
UNSUPPORTED_MECHANISM, AUTHENTICATION_FAILED = 33, 58
MECHANISM = "SCRAM-SHA-512"
ITERATIONS = 4096


class RefusedError(Exception):
    """The login fails; its text goes to the client."""


class Scram:
    """The server's side of one login. It keeps what a server keeps of a password: not the password."""

    def __init__(self, user: str, password: str, *, impostor: bool = False) -> None:
        """`impostor`: a server that does not know the password, and claims that the login is right."""
        self._user, self._impostor = user, impostor
        self._salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), self._salt, ITERATIONS)
        self._stored = hashlib.sha512(_hmac(salted, b"Client Key")).digest()
        self._server_key = _hmac(salted, b"Server Key")
        self._bare = self._first = self._nonce = ""

    def first(self, message: str) -> str:
        """Answer the client's first message."""
        header, self._bare = message[:3], message[3:]
        fields = _fields(self._bare)
        if header != "n,," or list(fields) != ["n", "r"] or not fields["r"]:
            raise RefusedError("the first message is not n,,n=USER,r=NONCE")
        if fields["n"].replace("=2C", ",").replace("=3D", "=") != self._user:
            raise RefusedError("invalid credentials")
        self._nonce = fields["r"] + secrets.token_hex(12)
        self._first = f"r={self._nonce},s={base64.b64encode(self._salt).decode()},i={ITERATIONS}"
        return self._first

    def final(self, message: str) -> str:
        """Check the client's proof, and give the server's signature."""
        unproved, _, proof = message.rpartition(",p=")
        if unproved != f"c={base64.b64encode(b'n,,').decode()},r={self._nonce}":
            raise RefusedError("channel binding or nonce are not those of this login")
        told = f"{self._bare},{self._first},{unproved}".encode()
        given, signature = base64.b64decode(proof, validate=True), _hmac(self._stored, told)
        key = bytes(a ^ b for a, b in zip(given, signature, strict=False))
        right = len(given) == len(signature) and hmac.compare_digest(hashlib.sha512(key).digest(), self._stored)
        if not right and not self._impostor:
            raise RefusedError("invalid credentials")
        return "v=" + base64.b64encode(_hmac(self._server_key, told)).decode()


class Door:
    """Listens at `address`; `entered` counts the logins, `refused` says why the others failed."""

    def __init__(
        self, broker: str, certificate: Certificate, user: str, password: str, *, impostor: bool = False
    ) -> None:
        self.entered, self.refused = 0, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        host, port = broker.split(":")
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, EOFError):
                    self.request.settimeout(20)
                    with (
                        context.wrap_socket(self.request, server_side=True) as client,
                        socket.create_connection((host, int(port)), timeout=20) as behind,
                    ):
                        outer._serve(client, behind, Scram(user, password, impostor=impostor))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        here = self._server.server_address[1]
        self.address = f"127.0.0.1:{here}"
        self._broker, self._here = b"127.0.0.1" + struct.pack(">i", int(port)), b"127.0.0.1" + struct.pack(">i", here)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: ssl.SSLSocket, behind: socket.socket, login: Scram) -> None:
        try:
            self._let_in(client, behind, login)
        except RefusedError as error:
            self.refused.append(str(error))
            return
        self.entered += 1
        while True:
            self._pass_on(client, behind, receive(client))

    def _let_in(self, client: ssl.SSLSocket, behind: socket.socket, login: Scram) -> None:
        shaken, steps = False, [login.first, login.final]
        while steps:
            request = receive(client)
            key, version, correlation = struct.unpack_from(">hhi", request)
            body = request[10 + max(0, struct.unpack_from(">h", request, 8)[0]) :]
            if key == API_VERSIONS and not shaken:
                self._pass_on(client, behind, request)
            elif (key, version) == (SASL_HANDSHAKE, 1) and not shaken:
                shaken = body[2:].decode() == MECHANISM
                code = 0 if shaken else UNSUPPORTED_MECHANISM
                send(client, struct.pack(">ihi", correlation, code, 1) + _text(MECHANISM))
                if not shaken:
                    raise RefusedError(f"mechanism {body[2:].decode()}")
            elif key == SASL_AUTHENTICATE and version in {0, 1} and shaken:
                lifetime = bytes(8 * version)
                try:
                    answer = steps.pop(0)(body[4:].decode()).encode()
                except RefusedError as error:
                    text = _text(f"Authentication failed: {error}")
                    send(client, struct.pack(">ih", correlation, AUTHENTICATION_FAILED) + text + bytes(4) + lifetime)
                    raise
                send(client, struct.pack(">ihhi", correlation, 0, -1, len(answer)) + answer + lifetime)
            else:
                raise RefusedError(f"request {key} of version {version} before a login")

    def _pass_on(self, client: ssl.SSLSocket, behind: socket.socket, request: bytes) -> None:
        """Ask the broker, which answers a connection's requests in turn; its address becomes the door's."""
        send(behind, request)
        answer = receive(behind)
        if struct.unpack_from(">h", request)[0] in {METADATA, FIND_COORDINATOR}:
            answer = answer.replace(self._broker, self._here)
        send(client, answer)


@contextlib.contextmanager
def door(broker: str, certificate: Certificate, user: str, password: str, *, impostor: bool = False) -> Iterator[Door]:
    """A door before this broker, which lets in one user."""
    made = Door(broker, certificate, user, password, impostor=impostor)
    try:
        yield made
    finally:
        made.close()


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha512")


def _fields(message: str) -> dict[str, str]:
    return {part[:1]: part[2:] for part in message.split(",") if part[1:2] == "="}


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def send(to: socket.socket, frame: bytes) -> None:
    to.sendall(struct.pack(">i", len(frame)) + frame)


def receive(of: socket.socket) -> bytes:
    return _exactly(of, struct.unpack(">i", _exactly(of, 4))[0])


def _exactly(of: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = of.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return bytes(found)
