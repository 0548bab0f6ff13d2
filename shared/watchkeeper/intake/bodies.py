"""Understanding what was sent: bodies of each form into readings, each bad one told apart from its neighbours."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import json
import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.intake import sent
from watchkeeper.intake.sent import Bad, SentReading, limit
from watchkeeper.intake.tables import read_table

if TYPE_CHECKING:
    from watchkeeper.intake.sent import Form

LINE = re.compile(rb"\S[^\n]*")  # of NDJSON, if it is not blank
REFUSALS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)  # how msgspec says that it cannot decode


class _Wrapped(msgspec.Struct):
    readings: msgspec.Raw = msgspec.Raw()


_Decoder: TypeAlias = msgspec.json.Decoder[SentReading] | msgspec.msgpack.Decoder[SentReading]

_many = msgspec.json.Decoder(list[SentReading])
_one = msgspec.json.Decoder(SentReading)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped = msgspec.json.Decoder(_Wrapped)
_packed_many = msgspec.msgpack.Decoder(list[SentReading])
_packed_one = msgspec.msgpack.Decoder(SentReading)
_packed_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_packed_wrapped = msgspec.msgpack.Decoder(_Wrapped)


def readings_of(body: bytes, form: Form, device: str = "") -> list[SentReading | Bad]:
    """The readings of a body, in order. DecodeError: the body as a whole is not what `form` says.

    `device` is that of the rows of a table which name none; in other forms each reading names its own.
    """
    match form:
        case "json":
            return _json(body)
        case "ndjson":
            return _ndjson(body)
        case "msgpack":
            return _msgpack(body)
        case "csv":
            return list(read_table(body, device))


def _json(body: bytes) -> list[SentReading | Bad]:
    body = body.strip()
    try:
        if body[:1] == b"{":
            with contextlib.suppress(*REFUSALS):
                return [_one.decode(body)]
            inner = bytes(_wrapped.decode(body).readings)
            body = inner or b"[" + body + b"]"
        with contextlib.suppress(*REFUSALS):
            return _limited(_many.decode(body))
        items = _raws.decode(body)
    except REFUSALS as error:
        lenient = _not_quite_json(body)
        if lenient is None:
            message = f"not JSON with a reading, a list of readings, or {{'readings': […]}}: {error}"
            raise DecodeError(message) from error
        return lenient
    limit(len(items))
    return [_single(bytes(item)) for item in items]


def _limited(found: list[SentReading]) -> list[SentReading | Bad]:
    limit(len(found))
    return [*found]


def _not_quite_json(body: bytes) -> list[SentReading | Bad] | None:
    """What many programs write and JSON does not know, NaN and Infinity: bad where they stand. None: not even that."""
    try:
        loaded = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    if isinstance(loaded, dict):
        loaded = loaded.get("readings", [loaded])
    if not isinstance(loaded, list):
        return None
    limit(len(loaded))
    return [_perhaps(item) for item in loaded]


def _perhaps(item: object) -> SentReading | Bad:
    try:
        return _single(json.dumps(item, allow_nan=False).encode())
    except ValueError:
        return Bad(json.dumps(item).encode(), "NaN or Infinity; a finite number or null is expected")


def _single(item: bytes, one: _Decoder = _one) -> SentReading | Bad:
    try:
        return one.decode(item)
    except REFUSALS as error:
        return Bad(item, str(error))


def _ndjson(body: bytes) -> list[SentReading | Bad]:
    lines = LINE.finditer(body.removeprefix(codecs.BOM_UTF8))
    # Counted before they are looked at: ten megabytes may be millions of lines.
    found = [line[0] for line in itertools.islice(lines, sent.MAX_READINGS + 1)]
    if not found:
        raise DecodeError("not NDJSON: there is no line with a reading")
    limit(len(found))
    return [_single(line) for line in found]


def _msgpack(body: bytes) -> list[SentReading | Bad]:
    try:
        if _is_map(body):
            body = bytes(_packed_wrapped.decode(body).readings) or b"\x91" + body
        limit(_announced(body))
        with contextlib.suppress(*REFUSALS):
            return _limited(_packed_many.decode(body))
        items = _packed_raws.decode(body)
    except REFUSALS as error:
        message = f"not MessagePack with a reading, an array of readings, or a map with 'readings': {error}"
        raise DecodeError(message) from error
    return [_single(bytes(item), _packed_one) for item in items]


def _is_map(packed: bytes) -> bool:
    return b"\x80" <= packed[:1] <= b"\x8f" or packed[:1] in {b"\xde", b"\xdf"}


def _announced(packed: bytes) -> int:
    """How long a MessagePack array says it is, where that may be too long."""
    return int.from_bytes(packed[1:5]) if packed[:1] == b"\xdd" else 0
