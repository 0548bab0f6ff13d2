"""Understanding what was sent: bodies of each form into readings, each bad one told apart from its neighbours."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import DecodeError
from watchkeeper.intake import sent
from watchkeeper.intake.sent import Bad, SentReading, limit
from watchkeeper.intake.tables import read_table

if TYPE_CHECKING:
    from watchkeeper.intake.sent import Form

LINE = re.compile(rb"\S[^\n]*")  # of NDJSON, if it is not blank


class _Wrapped(msgspec.Struct):
    readings: msgspec.Raw = msgspec.Raw()


_many = msgspec.json.Decoder(list[SentReading])
_one = msgspec.json.Decoder(SentReading)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped = msgspec.json.Decoder(_Wrapped)


def readings_of(body: bytes, form: Form) -> list[SentReading | Bad]:
    """The readings of a body, in order. DecodeError: the body as a whole is not what `form` says."""
    match form:
        case "json":
            return _json(body)
        case "ndjson":
            return _ndjson(body)
        case "csv":
            return list(read_table(body))


def _json(body: bytes) -> list[SentReading | Bad]:
    body = body.strip()
    try:
        if body[:1] == b"{":
            inner = bytes(_wrapped.decode(body).readings)
            body = inner or b"[" + body + b"]"
        items = _raws.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        lenient = _not_quite_json(body)
        if lenient is None:
            message = f"not JSON with a reading, a list of readings, or {{'readings': […]}}: {error}"
            raise DecodeError(message) from error
        return lenient
    limit(len(items))
    try:
        return list(_many.decode(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return [_single(bytes(item)) for item in items]


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


def _single(item: bytes) -> SentReading | Bad:
    try:
        return _one.decode(item)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return Bad(item, str(error))


def _ndjson(body: bytes) -> list[SentReading | Bad]:
    lines = LINE.finditer(body.removeprefix(codecs.BOM_UTF8))
    # Counted before they are looked at: ten megabytes may be millions of lines.
    found = [line[0] for line in itertools.islice(lines, sent.MAX_READINGS + 1)]
    if not found:
        raise DecodeError("not NDJSON: there is no line with a reading")
    limit(len(found))
    return [_single(line) for line in found]
