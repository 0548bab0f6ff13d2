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
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.where = where
        self.problems = tuple(problems)
        self.headers: dict[str, str] = {}
        if retry_after_s:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        if challenge:
            self.headers["WWW-Authenticate"] = challenge


async def _refused(request: Request, error: RefusedError) -> Response:
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        request.app.state.services.backend.refusals["throttled"] += 1
    problem = Problem(CODES.get(error.status, "error"), error.message, error.where, error.problems)
    return as_json(ErrorAnswer(problem), error.status, error.headers)


async def _wrong_parameter(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _answer(HTTPStatus.BAD_REQUEST, f"{first['loc'][-1]}: {first['msg']}", where)


async def _not_routed(_: Request, error: HTTPException) -> Response:
    return _answer(HTTPStatus(error.status_code), error.detail, headers=error.headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    headers = {"Retry-After": str(UNAVAILABLE_RETRY_S)}
    return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "a dependency is down; try again later", headers=headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "an error on our side; it has been logged")


def _answer(status: HTTPStatus, message: str, where: str = "", headers: Mapping[str, str] | None = None) -> Response:
    return as_json(ErrorAnswer(Problem(CODES.get(status, "error"), message, where)), status, headers)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RefusedError: _refused,
    RequestValidationError: _wrong_parameter,
    HTTPException: _not_routed,
    Unavailable: _unavailable,
    Conflict: _unavailable,
    Exception: _unexpected,
}
"""Every error in the one shape: ours, the framework's, a dependency's, and those nobody expected."""
