"""A stream of bytes, however long, in slices that end where a record ends: the same ones however the bytes arrive.

An upload, a file in a folder, an object in a bucket: each is bytes, piece by piece. A slice is a body of its own, taken
and made durable by itself; so memory is bounded by a slice, and what is sent again is recognised slice by slice.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.errors import DecodeError
from watchkeeper.intake.gzipped import MOST_RATIO, Gunzip, NotGzipError, OverLimitError
from watchkeeper.intake.tables import end_of_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.intake.sent import Form

SLICE_BYTES = 512 * 1024
RECORD_BYTES = 64 * 1024  # a record that a slice ends with is looked for no further
WHOLE_BYTES = 10_000_000  # of forms that cannot be cut: JSON and MessagePack
MOST_BYTES = 100_000_000_000  # of one stream, unpacked
BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Slice(NamedTuple):
    """A part of a stream that can be understood by itself: its number from 0, its bytes and their form."""

    number: int
    body: bytes
    form: Form


class Slices:
    """Cuts one stream. `feed` it what comes, then `end` it."""

    def __init__(self, form: Form, *, packed: bool = False, most_bytes: int = MOST_BYTES) -> None:
        """`packed`: the stream is gzip; `most_bytes` may come out of it."""
        self._gunzip = Gunzip(most_bytes, MOST_RATIO) if packed else None
        self._left = most_bytes
        self._cutter: _Whole | _Records = _Records(form) if form in {"csv", "ndjson"} else _Whole(form)

    def feed(self, data: bytes) -> Iterator[Slice]:
        """The slices that are whole with these bytes. They must be taken before more is fed.

        DecodeError: the stream is not what it should be, or too long. What was given before it is right.
        """
        try:
            for part in self._gunzip.parts(data) if self._gunzip else (data,):
                self._count(part)
                yield from self._cutter.feed(part)
        except NotGzipError as error:
            message = f"not gzip: {error}"
            raise DecodeError(message) from error
        except OverLimitError as error:
            message = (
                f"more comes out of it than may be, or more than {MOST_RATIO} times what went in; send it in parts"
            )
            raise DecodeError(message) from error

    def end(self) -> Iterator[Slice]:
        """What is left. DecodeError: more should have come."""
        if self._gunzip:
            try:
                self._gunzip.end()
            except NotGzipError as error:
                message = f"not gzip: {error}"
                raise DecodeError(message) from error
        yield from self._cutter.end()

    def _count(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise OverLimitError


class _Whole:
    """A form that cannot be cut is one slice, and may not be long."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._held = bytearray()

    def feed(self, part: bytes) -> Iterator[Slice]:
        self._held += part
        if len(self._held) > WHOLE_BYTES:
            message = (
                f"over {WHOLE_BYTES:,} bytes of {self._form}, which cannot be cut; write a reading a line (NDJSON)"
            )
            raise DecodeError(message)
        yield from ()

    def end(self) -> Iterator[Slice]:
        yield Slice(0, bytes(self._held), self._form)


class _Records:
    """Lines of JSON, or rows of a table whose first row goes before each slice. UTF-16 becomes UTF-8."""

    def __init__(self, form: Form) -> None:
        self._rows = form == "csv"
        self._form: Form = "csv-slice" if self._rows else "ndjson-slice"
        self._head: bytes | None = None if self._rows else b""
        self._begun = False
        self._wide: codecs.IncrementalDecoder | None = None
        self._held = bytearray()
        self._number = 0

    def feed(self, part: bytes) -> Iterator[Slice]:
        self._add(part)
        # Only when it sees as far as it will ever look does it cut: so the cut is the same whatever has come so far.
        while self._begun and len(self._held) >= SLICE_BYTES + RECORD_BYTES:
            yield self._cut()

    def end(self) -> Iterator[Slice]:
        self._begin()
        if self._wide:
            self._held += self._narrow(b"", final=True)
        while self._held or not self._number:
            yield self._cut()

    def _add(self, part: bytes) -> None:
        self._held += self._narrow(part) if self._wide else part
        if not self._begun and len(self._held) >= len(codecs.BOM_UTF8):
            self._begin()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        if self._held.startswith(BOMS):
            self._wide = codecs.getincrementaldecoder("utf-16")()
            self._held = bytearray(self._narrow(bytes(self._held)))
        elif self._held.startswith(codecs.BOM_UTF8):
            del self._held[: len(codecs.BOM_UTF8)]

    def _narrow(self, part: bytes, *, final: bool = False) -> bytes:
        try:
            return self._wide.decode(part, final).encode() if self._wide else part
        except UnicodeDecodeError as error:
            message = f"not UTF-16, as its byte order mark says: {error.reason}"
            raise DecodeError(message) from error

    def _cut(self) -> Slice:
        if self._head is None:
            end = self._end_of_record(0)
            self._head = bytes(self._held[:end]).rstrip(b"\r\n") + b"\n"
            del self._held[:end]
        end = len(self._held)
        if end > SLICE_BYTES:
            end = self._end_of_record(SLICE_BYTES)
        body = self._head + bytes(self._held[:end])
        del self._held[:end]
        self._number += 1
        return Slice(self._number - 1, body, self._form)

    def _end_of_record(self, start: int) -> int:
        limit = min(len(self._held), start + RECORD_BYTES)
        end = end_of_row(self._held, start, limit) if self._rows else None
        end = end or self._held.find(b"\n", start, limit) + 1  # in a table: a quote that is not closed is a mistake
        if not end and len(self._held) <= limit:
            return len(self._held)
        if not end:
            message = f"slice {self._number}: no line ends within {RECORD_BYTES:,} bytes; is it CSV or NDJSON?"
            raise DecodeError(message)
        return end
