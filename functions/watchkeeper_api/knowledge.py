"""Bundles as requests speak of them: files over a base, versions, and mistakes as data."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
import numpy as np
from fastapi import Request

from watchkeeper.bundles import bundle_in_force, bundle_versions, stored_bundle
from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.rules import Rule
from watchkeeper_api.bodies import media_type_of, read_body
from watchkeeper_api.call import Call
from watchkeeper_api.knowledge_schemas import RuleView
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.schemas import KnowledgeProblem

Model = TypeVar("Model", bound=msgspec.Struct)
CURRENT = "current"
MAX_KNOWLEDGE_BYTES = 4_000_000
_PROBLEM = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?:(?P<column>\d+):)? (?P<text>.*)")


async def read_knowledge(request: Request) -> bytes:
    """A JSON body that may hold a knowledge base. Refused: it is of another type (415) or too large (413)."""
    media_type_of(request, ["application/json"])
    return await read_body(request, MAX_KNOWLEDGE_BYTES)


def decoded(body: bytes, model: type[Model]) -> Model:
    """The body as a record; large ones take a while. Refused (400): it is none."""
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not as expected: {error}", where="body") from error


def current(call: Call) -> Bundle:
    """The bundle in force. Refused (409): this release cannot read it."""
    held, version = call.backend.published.bundle, bundle_in_force(call.backend.ports.blobs).version
    return held if version in {"", held.version} else stored(call, version)


def stored(call: Call, version: str) -> Bundle:
    """A stored bundle, or what is in force. Refused: it is not there (404), or this release cannot read it (409)."""
    if version == CURRENT:
        return current(call)
    if version == call.backend.published.bundle.version:
        return call.backend.published.bundle
    if version not in bundle_versions(call.backend.ports.blobs):
        raise RefusedError(HTTPStatus.NOT_FOUND, f"unknown bundle: {version!r}", where="version")
    try:
        return stored_bundle(call.backend.ports.blobs, version)
    except KnowledgeError as error:
        message = f"bundle {version} is stored, and this release finds mistakes in it"
        raise RefusedError(HTTPStatus.CONFLICT, message, problems=problems_of(error)) from error


def files_over(call: Call, files: Mapping[str, str | None], base: str) -> dict[str, str]:
    """Files laid over a bundle's. Refused (404): there is no such bundle."""
    held = dict(stored(call, base).files) if base else {}
    for name, text in files.items():
        if text is None:
            held.pop(name, None)
        else:
            held[name] = text
    return held


def checked(files: Mapping[str, str]) -> Bundle:
    """The bundle of files. Refused (400): with all that is wrong with them."""
    try:
        return Bundle.from_files(files)
    except KnowledgeError as error:
        problems = problems_of(error)
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        message = f"the files are no bundle, and nothing was done: {count}, the first one {error!s:.500}"
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, message.splitlines()[0], where="body.files", problems=problems
        ) from error


def problems_of(error: KnowledgeError) -> list[KnowledgeProblem]:
    """The lines of an error as data."""
    found = []
    for line in str(error).splitlines():
        match = _PROBLEM.fullmatch(line)
        if match is None:
            found.append(KnowledgeProblem("", 0, line))
        else:
            found.append(KnowledgeProblem(match["file"], int(match["line"]), match["text"], int(match["column"] or 0)))
    return found


def rule_view(rule: Rule) -> RuleView:
    """A rule as it is shown."""
    low, high, clear_low, clear_high = (
        None if np.isinf(level) else level for level in (rule.fire_low, rule.fire_high, rule.clear_low, rule.clear_high)
    )
    return RuleView(
        rule.id, rule.applies_to, rule.kind, rule.metric, rule.severity, rule.summary, rule.runbook,
        low, high, clear_low, clear_high, rule.for_ms, rule.no_data_ms,
    )  # fmt: skip


def expected(header: str | None) -> str | None:
    """The version that `If-Match` names; None: any. Refused (400): it names several, or none.

    A weak tag (`W/…`) never matches, as RFC 9110 has it (13.1.1).
    """
    text = (header or "*").strip()
    if text == "*":
        return None
    match = re.fullmatch(r'(W/)?"?([A-Za-z0-9-]{1,100})"?', text)
    if match is None:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "If-Match names one version, as the ETag of an answer does", where="header.If-Match"
        )
    return match[2] if match[1] is None else f"W/{match[2]}"


def etag(version: str) -> dict[str, str]:
    """The header that names the bundle in force."""
    return {"ETag": f'"{version}"'} if version else {}


@contextlib.contextmanager
def one_trial(call: Call) -> Iterator[None]:
    """The right to try rules. Refused (429): somebody is trying some."""
    if not call.services.trials.acquire(blocking=False):
        raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "other rules are being tried; one at a time", retry_after_s=2)
    try:
        yield
    finally:
        call.services.trials.release()
