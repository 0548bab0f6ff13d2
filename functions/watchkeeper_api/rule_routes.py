"""Rules: which are in force, what is wrong with others, and what they would have found."""

import time
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchkeeper.errors import DecodeError, KnowledgeError
from watchkeeper.intake import sent
from watchkeeper.intake.sent import SentReading
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.durations import parse_duration
from watchkeeper.knowledge.problems import did_you_mean
from watchkeeper.records import Device
from watchkeeper.stored_trial import try_rules_on_stored
from watchkeeper.trial import Trial, as_class, try_rules
from watchkeeper_api.answers import as_json, documented, json_of, taking
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.knowledge import (
    checked,
    current,
    decoded,
    etag,
    files_over,
    one_trial,
    problems_of,
    read_knowledge,
    rule_view,
)
from watchkeeper_api.knowledge_schemas import FiredView, KnowledgeIn, RuleList, TrialAnswer, TryIn, Validation
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.rows import Only
from watchkeeper_api.schemas import ReadingIn, RejectedReading

TRY_READINGS = 20_000  # in a request
TRY_STORED = 500_000  # that are stored
TRY_SECONDS = 20.0
TRY_SPAN_MS = 31 * 86_400_000
LISTED_FIRED, LISTED_REJECTIONS = 1_000, 100

router = APIRouter(prefix="/api/rules", tags=["rules"])
_body_errors = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@router.get("", responses=documented(json_of(RuleList), HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT))
def rules(call: Admitted, device_class: Only = None, device: Only = None) -> Response:
    """List the rules in force: all, those of a class, or those of a device."""
    bundle = current(call)
    chosen = bundle.rules.rules
    for name in (device_class, bundle.catalogue.profile(device).class_name if device is not None else None):
        if name is not None:
            of_class = {rule.id for rule in bundle.rules.for_class(name)}
            chosen = tuple(rule for rule in chosen if rule.id in of_class)
    return as_json(RuleList(bundle.version, [rule_view(rule) for rule in chosen]), headers=etag(bundle.version))


@router.post(
    "/validate",
    responses=documented(json_of(Validation), *_body_errors),
    openapi_extra=taking(json_of(KnowledgeIn), "The files of a knowledge base, or some to lay over a bundle's."),
)
async def validate_rules(request: Request, call: Admitted) -> Response:
    """Say everything that is wrong with a knowledge base. Nothing is put in force."""
    return await run_in_threadpool(_validate, call, await read_knowledge(request))


@router.post(
    "/try",
    responses=documented(json_of(TrialAnswer), *_body_errors),
    openapi_extra=taking(json_of(TryIn), "Rules, and readings or how far back to look."),
)
async def try_rules_here(request: Request, call: Admitted) -> Response:
    """Say what rules would have found in given or stored readings. Nothing is put in force, and nobody is told."""
    return await run_in_threadpool(_try, call, await read_knowledge(request))


def _validate(call: Call, body: bytes) -> Response:
    given = decoded(body, KnowledgeIn)
    try:
        bundle = Bundle.from_files(files_over(call, given.files, given.base))
    except KnowledgeError as error:
        return as_json(Validation(valid=False, version="", problems=problems_of(error)))
    return as_json(Validation(valid=True, version=bundle.version, problems=[]))


def _try(call: Call, body: bytes) -> Response:
    given = decoded(body, TryIn)
    if bool(given.readings) == bool(given.last):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "give either readings, or last (as 7d)", where="body")
    if len(given.readings) > TRY_READINGS:
        message = f"{len(given.readings)} readings; at most {TRY_READINGS:,} are tried at once"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message, where="body.readings")
    with one_trial(call):
        own = given.files or given.base
        bundle = checked(files_over(call, given.files, given.base)) if own else current(call)
        version = bundle.version
        bundle = _of_class(bundle, given.device_class)
        answer = _on_stored(call, bundle, given.last) if given.last else _on_given(call, bundle, given.readings)
    trial, rejected, until, complete = answer
    fired = [FiredView(*(getattr(each, name) for name in FiredView.__struct_fields__)) for each in trial.fired]
    classes = Counter(trial.classes.values())
    counts, shown = (len(fired), trial.counts["readings"]), (fired[:LISTED_FIRED], rejected[:LISTED_REJECTIONS])
    return as_json(TrialAnswer(version, shown[0], *counts, classes, shown[1], until, complete))


Answer = tuple[Trial, list[RejectedReading], int | None, bool]


def _of_class(bundle: Bundle, name: str) -> Bundle:
    if not name:
        return bundle
    names = bundle.catalogue.class_names
    if name not in names:
        message = f"unknown device class: {name!r}{did_you_mean(name, names)}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message, where="body.device_class")
    return as_class(bundle, name)


def _on_stored(call: Call, bundle: Bundle, last: str) -> Answer:
    try:
        span = parse_duration(last)
    except KnowledgeError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(error), where="body.last") from error
    if not 0 < span <= TRY_SPAN_MS:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"last is {last}; at most 31d are tried at once", where="body.last")
    end, stop = call.backend.clock() + 1, time.monotonic() + TRY_SECONDS
    trial, until = try_rules_on_stored(
        bundle, call.backend.ports.blobs, call.backend.shards, max(end - span, 0), end,
        tenant=call.tenant, enough=lambda readings: readings >= TRY_STORED or time.monotonic() > stop,
    )  # fmt: skip
    return trial, [], until, until == end


def _on_given(call: Call, bundle: Bundle, readings: list[ReadingIn]) -> Answer:
    rejected: list[RejectedReading] = []
    taken = sorted(_understood(call, readings, rejected), key=lambda each: each[1])
    trial = try_rules(bundle, taken)
    return trial, rejected, None, True


def _understood(
    call: Call, readings: list[ReadingIn], rejected: list[RejectedReading]
) -> Iterator[tuple[Device, int, SentReading]]:
    """Readings as ingest would take them; those without a time are taken for as if they were made now."""
    for index, each in enumerate(readings):
        reading = SentReading({**each.values}, each.device, each.ts, {**each.tags}, each.site)
        try:
            ts = sent.time_of(each.ts)
        except DecodeError as error:
            rejected.append(RejectedReading(index, str(error)))
            continue
        if fault := sent.device_fault(each.device) or sent.fault_of(reading):
            rejected.append(RejectedReading(index, fault))
        else:
            yield Device(call.tenant, each.device, each.site), call.backend.clock() if ts is None else ts, reading
