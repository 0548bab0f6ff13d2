"""Answers as JSON through msgspec, and how the OpenAPI document speaks of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Response

from watchkeeper_api.schemas import ErrorAnswer

SCHEMA_REF = "#/components/schemas/{name}"


def as_json(content: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with `content` as JSON."""
    return Response(msgspec.json.encode(content), status, dict(headers or {}), media_type="application/json")


def documented(
    right: dict[str, Any], *errors: HTTPStatus, status: HTTPStatus = HTTPStatus.OK, keyless: bool = False
) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation, for `responses=`: the content of the right one, and the errors it may give.

    Every operation may find a dependency down (503); but for `keyless` ones all may refuse a key (401) or ask to slow
    down (429).
    """
    guard = () if keyless else (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    contents = {status: right} | dict.fromkeys((*errors, *guard, HTTPStatus.SERVICE_UNAVAILABLE), json_of(ErrorAnswer))
    return {
        status.value: {"description": status.phrase, "content": content} for status, content in sorted(contents.items())
    }


def taking(content: dict[str, Any], description: str) -> dict[str, Any]:
    """The body that an operation takes, for `openapi_extra=`."""
    return {"requestBody": {"required": True, "description": description, "content": content}}


def json_of(model: type[msgspec.Struct], *media_types: str) -> dict[str, Any]:
    """Content that is a record, as JSON or in any of these types that hold the same shapes."""
    schema = {"schema": {"$ref": SCHEMA_REF.format(name=model.__name__)}}
    return dict.fromkeys(media_types or ("application/json",), schema)


def text_of(*media_types: str) -> dict[str, Any]:
    """Content that is text, of any of these types."""
    return {media_type: {"schema": {"type": "string"}} for media_type in media_types}
