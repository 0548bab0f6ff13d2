"""Frames with all of their fields.

AMQP lets who sends leave out empty fields at the end of a frame, and proton does. Azure's library takes fields by their
place and fails where they lack, since the service never leaves them out; so they are put back on the way to the socket.
Source: OASIS, "AMQP 1.0", parts 1.6 (encodings) and 2.3 (frames).
"""

from __future__ import annotations

import select
import struct
from typing import Any

from proton.handlers import IOHandler

# Of open, begin, attach, flow, transfer, disposition, detach, end and close.
FIELDS = {0x10: 10, 0x11: 8, 0x12: 14, 0x13: 11, 0x14: 11, 0x15: 6, 0x16: 3, 0x17: 1, 0x18: 1}
EMPTY_LIST, SHORT_LIST, LONG_LIST, NULL = 0x45, 0xC0, 0xD0, b"\x40"
HEADER = 8  # bytes of a frame's header, and of the protocol's own
PATIENCE_S = 5.0


class PaddingIO(IOHandler):
    """Sends what a transport has to say, frame by frame."""

    def on_selectable_writable(self, event: Any) -> None:
        """Whole frames are sent; the beginning of one is kept until the rest has come."""
        there, transport = event.selectable, event.selectable._transport
        if not transport:
            return
        if (pending := transport.pending()) > 0:
            said = bytes(transport.peek(pending))
            transport.pop(len(said))
            padded, there.unfinished = padded_frames(getattr(there, "unfinished", b"") + said)
            try:
                _send_all(there, padded)
            except OSError:
                transport.close_head()
        self.update(transport, there, there._reactor.now)


def padded_frames(data: bytes) -> tuple[bytes, bytes]:
    """All whole frames of some bytes, with all of their fields; and what is left."""
    done = b""
    while len(data) >= HEADER:
        size = HEADER if data.startswith(b"AMQP") else struct.unpack(">I", data[:4])[0]
        if len(data) < size:
            break
        done += _padded(data[:size])
        data = data[size:]
    return done, data


def _padded(frame: bytes) -> bytes:
    start = frame[4] * 4  # where its body begins, in words of four bytes
    is_amqp = not frame.startswith(b"AMQP") and frame[5] == 0
    if not is_amqp or len(frame) < start + 4:  # the protocol's header, a log-in, or a sign of life
        return frame
    descriptor, kind, body = frame[start : start + 3], frame[start + 3], frame[start + 4 :]
    wanted = FIELDS.get(descriptor[2], 0)
    if kind == EMPTY_LIST:
        count, fields, payload = 0, b"", body
    elif kind == SHORT_LIST:
        size, count = body[0], body[1]
        fields, payload = body[2 : size + 1], body[size + 1 :]
    elif kind == LONG_LIST:
        size, count = struct.unpack(">II", body[:8])
        fields, payload = body[8 : size + 4], body[size + 4 :]
    else:
        raise ValueError(f"a frame whose body is no list: {kind:#x}")
    if count >= wanted:
        return frame
    fields += NULL * (wanted - count)
    listed = descriptor + bytes([LONG_LIST]) + struct.pack(">II", len(fields) + 4, wanted) + fields + payload
    return struct.pack(">I", start + len(listed)) + frame[4:start] + listed


def _send_all(there: Any, data: bytes) -> None:
    while data:
        try:
            data = data[there.send(data) :]
        except BlockingIOError:
            if not select.select([], [there.fileno()], [], PATIENCE_S)[1]:
                raise
