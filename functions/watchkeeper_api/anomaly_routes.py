"""Anomalies as people see them: episodes, each with its report and its review."""

from http import HTTPStatus

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchkeeper.outcome import Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Episode, Report, Review
from watchkeeper.topology import EPISODES, REPORTS, REVIEWS
from watchkeeper_api.answers import as_json, documented, json_of, taking
from watchkeeper_api.bodies import read_command
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.rows import Before, From, Limit, Only, To, many, newest, one, time_range
from watchkeeper_api.schemas import AnomalyEntry, AnomalyList, ReviewIn

router = APIRouter(prefix="/api/anomalies", tags=["anomalies"])
_review_answers = documented(
    json_of(Review),
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@router.get("", responses=documented(json_of(AnomalyList), HTTPStatus.BAD_REQUEST))
def anomalies(
    call: Admitted,
    device: Only = None,
    detector: Only = None,
    start: From = None,
    to: To = None,
    before: Before = "",
    limit: Limit = 100,
) -> Response:
    """List anomalies, newest first."""

    def wanted(entry: AnomalyEntry) -> bool:
        return device in {None, entry.device} and detector in {None, entry.detector}

    tables = call.backend.ports.tables
    low, high = time_range(start, to, before)
    found, following = newest(tables, EPISODES, call.tenant, AnomalyEntry, low, high, limit, wanted)
    keys = [Key(call.tenant, entry.id) for entry in found]
    reports = many(tables, REPORTS, keys, Report)
    reviews = many(tables, REVIEWS, keys, Review)
    entries = [
        msgspec.structs.replace(entry, report=reports.get(key), review=reviews.get(key))
        for key, entry in zip(keys, found, strict=True)
    ]
    return as_json(AnomalyList(entries, following))


@router.post(
    "/{anomaly}/review",
    responses=_review_answers,
    openapi_extra=taking(json_of(ReviewIn), "The verdict."),
)
async def review(request: Request, call: Admitted, anomaly: str) -> Response:
    """Say whether an anomaly was one. The last verdict counts."""
    verdict = await read_command(request, ReviewIn)
    return await run_in_threadpool(_review, call, anomaly, verdict)


def _review(call: Call, anomaly: str, verdict: ReviewIn) -> Response:
    episode = one(call.backend.ports.tables, EPISODES, Key(call.tenant, anomaly), Episode)
    if episode is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"unknown anomaly: {anomaly!r}", where="path.anomaly")
    made = Review(
        episode=episode.id,
        tenant=call.tenant,
        device=episode.device,
        start=episode.opened,
        end=episode.last if episode.closed is None else episode.closed,
        verdict=verdict.verdict,
        by=verdict.by,
        ts=call.backend.clock(),
        note=verdict.note,
    )
    call.services.commands.request(lambda _: Outcome(puts=[Put(REVIEWS, call.tenant, episode.id, made)]))
    return as_json(made)
