"""Compressed bodies: gzip (RFC 1952) undone piece by piece, never further than a limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MEMBERS = 1_000  # bgzip, which makes one of each 64 KB, needs 160 for ten megabytes; empty ones only cost time
MEMBER_BYTES = 1_024  # of the members beyond that, on the average
PIECE = 16_384  # what is left of a piece is copied at the end of each member
PIECE_OUT = 262_144  # what comes out of a piece is handed on in parts of this size
FREE_BYTES = 4_000_000  # may come out before the ratio is looked at
MOST_RATIO = 250  # telemetry packs ten to sixty times; only what was made to burst packs a thousand times
GZIP_HEADER = 31  # for zlib: the greatest window, within gzip


class NotGzipError(ValueError):
    """The bytes are not gzip, or end before it does."""


class OverLimitError(ValueError):
    """What comes out is longer than it may be."""


class Gunzip:
    """Undoes gzip as it arrives. It holds no more of what comes out than the caller was given, and a window."""

    def __init__(self, limit: int, most_ratio: float = 0.0) -> None:
        """`limit`: how many bytes may come out in all; `most_ratio`: and how many for each that went in (0: any)."""
        self._limit = self._left = limit
        self._most_ratio = most_ratio
        self._read = 0
        self._members = 0
        self._member = zlib.decompressobj(GZIP_HEADER)

    def feed(self, data: bytes) -> bytes:
        """What comes out of the next bytes. NotGzipError: they are none; OverLimitError: it is more than may be."""
        return b"".join(self.parts(data))

    def parts(self, data: bytes) -> Iterator[bytes]:
        """The same, handed on in parts of at most `PIECE_OUT` bytes: no more than one of them is held."""
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._read += len(piece)
            yield from self._piece(piece)

    def end(self) -> None:
        """NotGzipError: more should have come."""
        if not self._member.eof:
            raise NotGzipError("it ends too early")

    def _piece(self, data: bytes) -> Iterator[bytes]:
        more = False  # it may hold back what did not fit into the part before
        while data or more:
            if self._member.eof:
                self._begin_member()
            try:
                out = self._member.decompress(data, min(self._left + 1, PIECE_OUT))
            except zlib.error as error:
                raise NotGzipError(str(error)) from error
            self._left -= len(out)
            unpacked = self._limit - self._left
            if self._left < 0 or (self._most_ratio and unpacked > FREE_BYTES + self._most_ratio * self._read):
                raise OverLimitError
            more = len(out) == PIECE_OUT and not self._member.eof
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            yield out

    def _begin_member(self) -> None:
        self._members += 1
        if self._members >= MAX_MEMBERS + (self._limit - self._left) // MEMBER_BYTES:
            raise NotGzipError(f"it has more than {MAX_MEMBERS} members, of less than {MEMBER_BYTES} bytes each")
        self._member = zlib.decompressobj(GZIP_HEADER)
