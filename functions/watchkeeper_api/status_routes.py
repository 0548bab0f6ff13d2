"""How it all does: for probes, for people, and for Prometheus."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from watchkeeper import __version__
from watchkeeper.model_drift import DriftReport
from watchkeeper.pipeline import STAGES
from watchkeeper.published import current_cutoff
from watchkeeper.topology import Every, Stage, Topic, Trigger
from watchkeeper_api.answers import as_json, documented, json_of, text_of
from watchkeeper_api.calibration import class_bars
from watchkeeper_api.call import Admitted, AppServices
from watchkeeper_api.exposition import CONTENT_TYPE
from watchkeeper_api.metrics import exposed
from watchkeeper_api.schemas import Budget, Health, ModelDrift, PipelineView, StageView, Status
from watchkeeper_api.usage import usage_of

router = APIRouter(tags=["status"])


@router.get("/health", responses=documented(json_of(Health), keyless=True))
def health(services: AppServices) -> Response:
    """Answer whether requests can be served. Nobody is asked for a key."""
    current_cutoff(services.backend.ports.tables)  # a read of one row: Unavailable where storage is down
    return as_json(Health("ok", __version__))


@router.get("/api/status", responses=documented(json_of(Status)))
def status(call: Admitted) -> Response:
    """Answer what was counted, how long it took, what it cost, and which versions are in force."""
    backend = call.backend
    usage = usage_of(backend)
    answer = Status(
        version=__version__,
        now=backend.clock(),
        readings=usage.readings(),
        anomalies=int(usage.total("anomalies")),
        latency_ms=usage.latency(),
        budget=Budget(usage.spend, usage.cutoff),
        bundle=usage.bundle,
        model=usage.model,
        pipeline=dict(backend.pipeline_status()),
        throttled=backend.refusals["throttled"],
        drift=_drift(usage.drift),
        classes=class_bars(backend, call.tenant),
    )
    return as_json(answer)


@router.get("/api/pipeline", responses=documented(json_of(PipelineView)))
def pipeline(_: Admitted) -> Response:
    """Answer the pipeline's table: every stage, what triggers it and what it touches."""
    return as_json(PipelineView([_view(stage) for stage in STAGES.values()]))


@router.get("/metrics", response_class=PlainTextResponse, responses=documented(text_of("text/plain")))
def metrics(call: Admitted) -> Response:
    """Answer the same for Prometheus, in its text format 0.0.4."""
    text = exposed(usage_of(call.backend), call.backend.pipeline_status(), call.backend.refusals["throttled"])
    return Response(text, media_type=CONTENT_TYPE)


def _drift(report: DriftReport | None) -> ModelDrift | None:
    """The report without its metrics: their names are their tenants' own."""
    if report is None:
        return None
    return ModelDrift(
        ts=report.ts,
        model=report.model,
        compared=report.series,
        drifted=report.drifted,
        anomalous=report.anomalous,
        openings_a_week=report.openings_a_week,
        target_a_week=report.target_a_week,
        precision=list(report.precision),
    )


def _view(stage: Stage) -> StageView:
    return StageView(
        stage.name,
        [_trigger(trigger) for trigger in stage.on],
        [topic.name for topic in stage.emits],
        [table.name for table in stage.writes],
        [table.name for table in stage.reads],
        list(stage.uses),
    )


def _trigger(trigger: Trigger) -> str:
    if isinstance(trigger, Topic):
        return trigger.name
    return f"every {trigger.seconds:g} s" if isinstance(trigger, Every) else trigger.routes
