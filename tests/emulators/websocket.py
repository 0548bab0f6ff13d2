"""WebSockets, as far as tests need them: a client, and the frames of either side. Source: RFC 6455."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8


class NotLetInError(Exception):
    """The server has answered another status than 101; `args` has it."""


def accepted(key: str) -> str:
    """What a server answers to a client's key."""
    digest = hashlib.sha1((key + GUID).encode()).digest()  # noqa: S324 - as the RFC has it
    return base64.b64encode(digest).decode()


def frame(data: bytes, kind: int = TEXT, *, masked: bool = False) -> bytes:
    """A whole message; clients mask theirs."""
    size = len(data)
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size)
    length = length if size < 65_536 else struct.pack(">BQ", 127, size)
    head = bytes([0x80 | kind, length[0] | (0x80 if masked else 0)]) + length[1:]
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(data))


def read_frame(stream: BinaryIO) -> tuple[int, bytes]:
    """The kind of the next message, and what is in it; a stream that has ended is one that was closed."""
    head = stream.read(2)
    if len(head) < 2:
        return CLOSE, b""
    size = head[1] & 0x7F
    if size > 125:
        form = ">H" if size == 126 else ">Q"
        (size,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    mask = stream.read(4) if head[1] & 0x80 else bytes(4)
    return head[0] & 0x0F, bytes(byte ^ mask[number % 4] for number, byte in enumerate(stream.read(size)))


class Client:
    """A connection that was let in; `protocol` is the one that the server has chosen."""

    def __init__(self, made: socket.socket, stream: BinaryIO, protocol: str) -> None:
        self._socket, self._stream, self.protocol = made, stream, protocol

    def say(self, message: Any) -> None:
        """Send a message as JSON."""
        self._socket.sendall(frame(json.dumps(message).encode(), masked=True))

    def next(self, wait_s: float = 5.0) -> Any:
        """The next message, from JSON; None: none has come."""
        self._socket.settimeout(wait_s)
        try:
            kind, data = read_frame(self._stream)
        except TimeoutError:
            return None
        assert kind == TEXT, f"a message of kind {kind}"
        return json.loads(data)


@contextlib.contextmanager
def connected(url: str, authority: str, protocol: str = "") -> Iterator[Client]:
    """A client at a wss address, whose server the authority in a file vouches for. NotLetInError: it was refused."""
    parts = urlsplit(url)
    assert parts.scheme == "wss"
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection((parts.hostname, parts.port or 443), 5) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as made,
        made.makefile("rb") as stream,
    ):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        made.sendall("\r\n".join([*lines, "", ""]).encode())
        status = int(stream.readline().split()[1])
        told = dict(_headers(stream))
        if status != 101:
            raise NotLetInError(status)
        assert told["sec-websocket-accept"] == accepted(key)
        yield Client(made, stream, told.get("sec-websocket-protocol", ""))


def _headers(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        yield name.lower(), value.strip()
