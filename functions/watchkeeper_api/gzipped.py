"""Compressed bodies: gzip (RFC 1952) undone piece by piece, never further than a limit."""

import zlib

MAX_MEMBERS = 1_000  # bgzip, which makes one of each 64 KB, needs 160 for ten megabytes; empty ones only cost time
PIECE = 16_384  # what is left of a piece is copied at the end of each member
GZIP_HEADER = 31  # for zlib: the greatest window, within gzip


class NotGzipError(ValueError):
    """The bytes are not gzip, or end before it does."""


class OverLimitError(ValueError):
    """What comes out is longer than it may be."""


class Gunzip:
    """Undoes gzip as it arrives. It holds no more of what comes out than the caller was given, and a window."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many bytes may come out in all."""
        self._left = limit
        self._members = 0
        self._member = zlib.decompressobj(GZIP_HEADER)

    def feed(self, data: bytes) -> bytes:
        """What comes out of the next bytes. NotGzipError: they are none; OverLimitError: it is more than may be."""
        return b"".join([self._piece(data[start : start + PIECE]) for start in range(0, len(data), PIECE)])

    def end(self) -> None:
        """NotGzipError: more should have come."""
        if not self._member.eof:
            raise NotGzipError("it ends too early")

    def _piece(self, data: bytes) -> bytes:
        out: list[bytes] = []
        while data:
            if self._member.eof:
                self._begin_member()
            try:
                out.append(self._member.decompress(data, self._left + 1))
            except zlib.error as error:
                raise NotGzipError(str(error)) from error
            self._left -= len(out[-1])
            if self._left < 0:
                raise OverLimitError
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return b"".join(out)

    def _begin_member(self) -> None:
        self._members += 1
        if self._members >= MAX_MEMBERS:
            raise NotGzipError(f"it has more than {MAX_MEMBERS} members")
        self._member = zlib.decompressobj(GZIP_HEADER)
