"""Bodies of requests: of the right type, no larger than allowed, and read no further than that."""

from collections.abc import Collection
from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from watchkeeper_api.refusals import RefusedError

Model = TypeVar("Model", bound=msgspec.Struct)
MAX_COMMAND_BYTES = 64_000


def media_type_of(request: Request, known: Collection[str]) -> str:
    """Which of the known types the body is said to be of. Refused (415): none of them, or it is compressed."""
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in known:
        message = f"content type {given[:80]!r}; {' or '.join(known)} is expected"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, where="header.Content-Type")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        message = f"content encoding {encoding[:80]!r}; an uncompressed body is expected"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, where="header.Content-Encoding")
    return media_type


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Refused (413): it is, or says it will be, over `limit` bytes; the rest is not read."""
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
            chunks.append(chunk)
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


def _too_large(limit: int) -> RefusedError:
    message = f"the body is over {limit:,} bytes; send it in parts"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, where="body")
