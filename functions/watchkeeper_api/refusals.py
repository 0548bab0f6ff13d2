"""Requests that are not served: one exception, and one shape of answer, whatever the reason."""

import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from watchkeeper.errors import Conflict, Unavailable, WatchkeeperError
from watchkeeper_api.answers import as_json
from watchkeeper_api.schemas import ErrorAnswer, KnowledgeProblem, Problem

log = logging.getLogger(__name__)
UNAVAILABLE_RETRY_S = 2
OTLP_PATH, OTLP_PROTOBUF, OTLP_JSON = "/v1/metrics", "application/x-protobuf", "application/json"
CODES = {  # Python's own phrases for some of these change with its version
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.PRECONDITION_FAILED: "precondition_failed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class RefusedError(WatchkeeperError):
    """A request that is answered with an error. `where` names the parameter or header that is wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        where: str = "",
        retry_after_s: float = 0.0,
        challenge: str = "",
        problems: Sequence[KnowledgeProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.where = where
        self.problems = tuple(problems)
        self.headers: dict[str, str] = dict(headers or {})
        if retry_after_s:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        if challenge:
            self.headers["WWW-Authenticate"] = challenge


async def _refused(request: Request, error: RefusedError) -> Response:
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        request.app.state.services.backend.refusals["throttled"] += 1
    return _answer(request, error.status, error.message, error.where, error.headers, error.problems)


async def _wrong_parameter(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _answer(request, HTTPStatus.BAD_REQUEST, f"{first['loc'][-1]}: {first['msg']}", where)


async def _not_routed(request: Request, error: HTTPException) -> Response:
    return _answer(request, HTTPStatus(error.status_code), error.detail, headers=error.headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    headers = {"Retry-After": str(UNAVAILABLE_RETRY_S)}
    why = "a dependency is down; try again later"
    return _answer(request, HTTPStatus.SERVICE_UNAVAILABLE, why, headers=headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "an error on our side; it has been logged")


def _answer(
    request: Request,
    status: HTTPStatus,
    message: str,
    where: str = "",
    headers: Mapping[str, str] | None = None,
    problems: tuple[KnowledgeProblem, ...] = (),
) -> Response:
    if request.url.path == OTLP_PATH:
        return _otlp_status(request, status, message, headers)
    return as_json(ErrorAnswer(Problem(CODES.get(status, "error"), message, where, problems)), status, headers)


def _otlp_status(request: Request, status: HTTPStatus, message: str, headers: Mapping[str, str] | None) -> Response:
    """A google.rpc.Status in the request's own form, as OTLP/HTTP asks for."""
    if request.headers.get("content-type", "").lower().startswith(OTLP_JSON):
        return as_json({"message": message}, status, headers)
    text = message.encode()[:1_000].decode(errors="ignore").encode()
    length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 127 | 128, len(text) >> 7])
    return Response(b"\x12" + length + text, status, dict(headers or {}), media_type=OTLP_PROTOBUF)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RefusedError: _refused,
    RequestValidationError: _wrong_parameter,
    HTTPException: _not_routed,
    Unavailable: _unavailable,
    Conflict: _unavailable,
    Exception: _unexpected,
}
"""Every error in the one shape: ours, the framework's, a dependency's, and those nobody expected."""
