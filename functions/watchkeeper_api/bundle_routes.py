"""Bundles: what is in force and was before, what differs, and how another one is put in force or taken back.

There is one bundle for all tenants. What is put in force is picked up by every worker within seconds.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchkeeper.bundles import InForce, bundle_in_force, bundle_versions, publish_bundle, roll_back_bundle
from watchkeeper.errors import Conflict, KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.difference import differences
from watchkeeper_api.answers import as_json, documented, json_of, taking
from watchkeeper_api.bodies import read_command
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.knowledge import CURRENT, checked, decoded, etag, expected, files_over, read_knowledge, rule_view
from watchkeeper_api.knowledge import stored as stored_here
from watchkeeper_api.knowledge_schemas import (
    BundleDiff,
    BundleList,
    BundleMoved,
    BundleView,
    KnowledgeIn,
    MoveView,
    RollbackIn,
)
from watchkeeper_api.refusals import RefusedError

router = APIRouter(prefix="/api/bundles", tags=["bundles"])
_read_errors = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_move_errors = (
    *_read_errors,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
Against = Annotated[str, Query(max_length=100, description="The bundle before: a version, or `current`.")]
IfMatch = Annotated[
    str | None,
    Header(max_length=200, description="The version that is to be replaced (the `ETag`): 412 if another is in force."),
]


@router.get("", responses=documented(json_of(BundleList)))
def bundles(call: Admitted) -> Response:
    """Answer which bundle is in force, what was put in force before, and which are stored."""
    blobs = call.backend.ports.blobs
    held = bundle_in_force(blobs)
    moves = [MoveView(move.version, move.at, move.how) for move in reversed(held.moves)]
    return as_json(BundleList(held.version, held.previous, moves, bundle_versions(blobs)), headers=etag(held.version))


@router.get("/{version}", responses=documented(json_of(BundleView), *_read_errors))
def bundle(call: Admitted, version: str) -> Response:
    """Answer the files and rules of a bundle: a version, or `current`."""
    found = stored_here(call, version)
    in_force = bundle_in_force(call.backend.ports.blobs).version == found.version
    view = BundleView(found.version, in_force, dict(found.files), [rule_view(rule) for rule in found.rules.rules])
    return as_json(view, headers=etag(found.version))


@router.get("/{version}/diff", responses=documented(json_of(BundleDiff), *_read_errors))
def bundle_diff(call: Admitted, version: str, against: Against = CURRENT) -> Response:
    """Answer what differs in a bundle from another one, in force unless one is named."""
    before, after = stored_here(call, against), stored_here(call, version)
    return as_json(BundleDiff(before.version, after.version, differences(before, after)))


@router.post(
    "",
    responses=documented(json_of(BundleMoved), *_move_errors),
    openapi_extra=taking(json_of(KnowledgeIn), "The files of a knowledge base, or some to lay over a bundle's."),
)
async def publish(request: Request, call: Admitted, if_match: IfMatch = None) -> Response:
    """Put a knowledge base in force, if it has no mistakes. Where keys are set it takes one, as everything does."""
    return await run_in_threadpool(_publish, call, await read_knowledge(request), if_match)


@router.post(
    "/rollback",
    responses=documented(json_of(BundleMoved), *_move_errors),
    openapi_extra=taking(json_of(RollbackIn), "Nothing (`{}`), or the version to put in force."),
)
async def roll_back(request: Request, call: Admitted, if_match: IfMatch = None) -> Response:
    """Put the bundle before in force again, or a stored one. Where keys are set it takes one, as everything does."""
    return await run_in_threadpool(_roll_back, call, (await read_command(request, RollbackIn)).to, if_match)


def _publish(call: Call, body: bytes, if_match: str | None) -> Response:
    given, expect = decoded(body, KnowledgeIn), expected(if_match)
    over = stored_here(call, CURRENT).version if given.base == CURRENT else None  # what it was made from is to be there
    wanted = checked(files_over(call, given.files, over or given.base))
    blobs, now = call.backend.ports.blobs, call.backend.clock()
    replaces = over if expect is None and bundle_in_force(blobs).version else expect
    return _moved(call, expect, lambda: publish_bundle(blobs, wanted, now=now, expect=replaces))


def _roll_back(call: Call, to: str, if_match: str | None) -> Response:
    expect, blobs = expected(if_match), call.backend.ports.blobs
    held = bundle_in_force(blobs)
    replaces = held.version if expect is None and not to else expect
    to = to or held.previous
    if not to:
        raise RefusedError(HTTPStatus.CONFLICT, "there is no earlier bundle to roll back to")
    stored_here(call, to)
    return _moved(call, expect, lambda: roll_back_bundle(blobs, to, now=call.backend.clock(), expect=replaces))


def _moved(call: Call, expect: str | None, move: Callable[[], InForce]) -> Response:
    """Move the pointer. Refused (412, or 409 where no version was named): somebody else has moved it."""
    blobs = call.backend.ports.blobs
    before = bundle_in_force(blobs).version
    try:
        after = move()
    except Conflict as error:
        status = HTTPStatus.CONFLICT if expect is None else HTTPStatus.PRECONDITION_FAILED
        refused = RefusedError(status, str(error), where="" if expect is None else "header.If-Match")
        refused.headers |= etag(bundle_in_force(blobs).version)
        raise refused from error
    except KnowledgeError as error:
        raise RefusedError(HTTPStatus.CONFLICT, str(error)) from error
    changed = before != after.version
    lines = _differences(call, before, stored_here(call, after.version)) if changed and before else []
    return as_json(BundleMoved(after.version, after.previous, changed, lines), headers=etag(after.version))


def _differences(call: Call, before: str, after: Bundle) -> list[str]:
    try:
        return differences(stored_here(call, before), after)
    except RefusedError:  # what was in force cannot be read, so there is nothing to compare with
        return []
