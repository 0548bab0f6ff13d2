"""Bodies of requests: of the right type, no larger than allowed (unpacked too), and read no further than that."""

from collections.abc import Collection
from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from watchkeeper.intake.gzipped import Gunzip, NotGzipError, OverLimitError
from watchkeeper_api.refusals import RefusedError

Model = TypeVar("Model", bound=msgspec.Struct)
MAX_COMMAND_BYTES = 64_000
PLAIN = ("identity",)
GZIP = ("gzip", "x-gzip")  # two names of one thing (RFC 9110, 8.4.1.3)


def media_type_of(request: Request, known: Collection[str]) -> str:
    """Which of the known types the body is said to be of. Refused (415): none of them."""
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in known:
        message = f"content type {given[:80]!r}; {' or '.join(known)} is expected"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, where="header.Content-Type")
    return media_type


async def read_body(request: Request, limit: int, encodings: Collection[str] = PLAIN) -> bytes:
    """The body, unpacked. Refused (413): it is, or says it will be, over `limit` bytes; the rest is not read.

    Refused (415): it is compressed in a way that is not among `encodings`; (400): it is not compressed as it says.
    """
    gunzip = Gunzip(limit) if encoding_of(request, encodings) in GZIP else None
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(gunzip.feed(chunk) if gunzip else chunk)
        if gunzip:
            gunzip.end()
    except NotGzipError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}", where="body") from error
    except OverLimitError as error:
        raise _too_large(limit, "unpacked, ") from error
    except ClientDisconnect as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the client went away before the body was complete") from error
    return b"".join(chunks)


async def read_command(request: Request, model: type[Model]) -> Model:
    """A small JSON body as a record. Refused: it is of another type (415), too large (413), or not one (400)."""
    media_type_of(request, ["application/json"])
    body = await read_body(request, MAX_COMMAND_BYTES)
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not as expected: {error}", where="body") from error


def encoding_of(request: Request, known: Collection[str]) -> str:
    """How the body is compressed. Refused (415): in a way that is not known."""
    given = request.headers.get("content-encoding", "identity")
    encoding = given.strip().lower()
    if encoding not in known:
        message = f"content encoding {given[:80]!r}; {' or '.join(known)} is expected"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, where="header.Content-Encoding")
    return encoding


def _too_large(limit: int, how: str = "") -> RefusedError:
    message = f"{how}the body is over {limit:,} bytes; send it in parts, or a table or NDJSON to /ingest/upload"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, where="body")
