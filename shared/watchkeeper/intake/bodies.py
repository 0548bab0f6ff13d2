"""Understanding what was sent: JSON or CSV into readings, each bad one told apart from its neighbours."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watchkeeper.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_READINGS = 100_000  # in one body
MAX_METRICS = 256
MAX_TAGS = 64
EARLIEST_MS = 946_684_800_000  # 2000-01-01; anything before is a time in another unit
LATEST_MS = 7_258_118_400_000  # 2200-01-01
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
METRIC = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
TAG_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
TAG_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,256}")
TIME_COLUMNS = ("ts", "timestamp", "datetime", "time")


class SentReading(msgspec.Struct, forbid_unknown_fields=True):
    """A reading as it is sent. `ts`: ISO 8601 (without a zone: UTC), epoch ms, or absent."""

    values: dict[str, float | None]
    device: str = ""
    ts: int | float | str | None = None
    tags: dict[str, str | int | float | bool] = {}
    site: str = ""

    def tags_as_text(self) -> tuple[tuple[str, str], ...]:
        """The tags in the order they were sent, each value as JSON would write it."""
        return tuple((name, _as_text(value)) for name, value in self.tags.items()) if self.tags else ()


def _as_text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Wrapped(msgspec.Struct):
    readings: msgspec.Raw = msgspec.Raw()


class Bad(NamedTuple):
    """A reading that cannot be taken: its bytes, and why."""

    body: bytes
    reason: str


_many = msgspec.json.Decoder(list[SentReading])
_one = msgspec.json.Decoder(SentReading)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped = msgspec.json.Decoder(_Wrapped)


def readings_of(body: bytes, form: str) -> list[SentReading | Bad]:
    """The readings of a body, in order. DecodeError: the body as a whole is not `form` (`json` or `csv`)."""
    return list(_csv(body)) if form == "csv" else _json(body)


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
    _limit(len(items))
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
    _limit(len(loaded))
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


def _csv(body: bytes) -> Iterator[SentReading | Bad]:
    try:
        rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        rest = list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"not CSV in UTF-8: {error}"
        raise DecodeError(message) from error
    names = [name.strip() for name in header]
    if "device" not in names or len(set(names)) != len(names):
        message = f"the first row must name the columns once each, 'device' among them; it is {','.join(names)[:200]!r}"
        raise DecodeError(message)
    times = [name for name in names if name in TIME_COLUMNS]
    if len(times) > 1:
        message = f"columns {' and '.join(map(repr, times))} both name the time; keep one of them"
        raise DecodeError(message)
    _limit(len(rest))
    for row in rest:
        if row:
            yield _csv_row(names, row)


def _limit(count: int) -> None:
    if count > MAX_READINGS:
        message = f"{count} readings in one body; send at most {MAX_READINGS} at once"
        raise DecodeError(message)


def _csv_row(names: list[str], row: list[str]) -> SentReading | Bad:
    raw = ",".join(row).encode()
    if len(row) != len(names):
        return Bad(raw, f"{len(row)} cells for {len(names)} columns")
    cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
    sent = SentReading({}, cells.pop("device"), site=cells.pop("site", ""))
    for name, cell in cells.items():
        if name in TIME_COLUMNS:
            sent.ts = int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 20 else cell or None
        elif name.startswith("tag."):
            if cell:
                sent.tags[name.removeprefix("tag.")] = cell
        else:
            try:
                sent.values[name] = float(cell) if cell else None
            except ValueError:
                return Bad(raw, f"column {name!r}: {cell[:40]!r} is not a number")
    return sent


def time_of(ts: float | str | None) -> int | None:
    """Epoch ms of a sent time, None for none. DecodeError: it is no time, or not one between 2000 and 2200."""
    if ts is None:
        return None
    if isinstance(ts, str):
        try:
            moment = datetime.fromisoformat(ts)
            ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            message = f"ts {ts[:40]!r} is neither ISO 8601 nor epoch milliseconds"
            raise DecodeError(message) from error
    else:
        ms = int(ts) if isinstance(ts, int) or math.isfinite(ts) else -1
    if not EARLIEST_MS <= ms < LATEST_MS:
        hint = " (is it in seconds? milliseconds are expected)" if 0 < ms * 1000 < LATEST_MS else ""
        message = f"ts {str(ts)[:40]} is not between the years 2000 and 2200{hint}"
        raise DecodeError(message)
    return ms


def fault_of(sent: SentReading) -> str:
    """What is wrong with a reading's names and numbers; empty where nothing is."""
    if not sent.values:
        return "no values"
    if len(sent.values) > MAX_METRICS:
        return f"{len(sent.values)} values; at most {MAX_METRICS} in a reading"
    if len(sent.tags) > MAX_TAGS:
        return f"{len(sent.tags)} tags; at most {MAX_TAGS} in a reading"
    if sent.site and not NAME.fullmatch(sent.site):
        return f"site {sent.site[:40]!r}: letters, digits and . _ : @ - are expected, at most 128"
    for name, value in sent.values.items():
        if fault := _value_fault(name, value):
            return fault
    return next(filter(None, (_tag_fault(name, text) for name, text in sent.tags_as_text())), "")


def _tag_fault(name: str, text: str) -> str:
    if not TAG_NAME.fullmatch(name):
        return f"tag name {name[:40]!r}: 1 to 64 printable characters are expected"
    if not TAG_VALUE.fullmatch(text):
        return f"tag {name!r} is {text[:40]!r}; at most 256 printable characters are expected"
    return ""


def _value_fault(name: str, value: float | None) -> str:
    if not METRIC.fullmatch(name):
        return f"metric name {name[:40]!r}: 1 to 128 printable characters are expected"
    if value is not None and not math.isfinite(value):
        return f"value of {name!r} is {value}; a finite number or null is expected"
    return ""


def device_fault(device: str) -> str:
    """What is wrong with a device id; empty where nothing is."""
    if NAME.fullmatch(device):
        return ""
    return f"device {device[:40]!r}: 1 to 128 letters, digits and . _ : @ - are expected, and a letter or digit first"
