"""The pipeline: every stage, its triggers, and all that it touches. All runtimes derive from this table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.alerting.state import NOTIFY_CODEC
from watchkeeper.checking.state import CHECK_CODEC
from watchkeeper.cleaning.state import CLEAN_CODEC
from watchkeeper.explaining.state import EXPLAIN_CODEC
from watchkeeper.series.manifest import STORE_CODEC
from watchkeeper.stages.budget_cutoff import check_budget
from watchkeeper.stages.clean import clean
from watchkeeper.stages.ingest import ingest
from watchkeeper.stages.ml_score import SCORE_CODEC, ml_score
from watchkeeper.stages.notify import notify, retry_and_escalate
from watchkeeper.stages.rag_explain import explain_timer, rag_explain
from watchkeeper.stages.rule_check import check_silence, rule_check
from watchkeeper.stages.store import store
from watchkeeper.topology import (
    ACKNOWLEDGEMENTS,
    ALERTS,
    BATCH_DATA_INGESTION,
    CUTOFFS,
    DASHBOARD_ALERTS,
    DATA_PROCESSING_OUTPUT,
    DEVICE_TELEMETRY,
    DEVICES,
    EPISODES,
    FINAL_DATA_STORAGE,
    IOT_DATA_INGESTION,
    OUTBOX,
    QUALITY,
    RAG_ERROR_REPORTING,
    REPORTS,
    REQUESTS,
    REVIEWS,
    RULE_CHECK_OUTPUT,
    SCHEMAS,
    SPEND,
    Every,
    Http,
    Stage,
)
from watchkeeper.watching import WATCH_CODEC

if TYPE_CHECKING:
    from collections.abc import Mapping

PIPELINE = (
    Stage(
        "ingest",
        on=(DEVICE_TELEMETRY, Http("POST /ingest/realtime, …/batch, …/csv, …/upload, …/prometheus, /v1/metrics")),
        take=ingest,
        emits=(IOT_DATA_INGESTION, BATCH_DATA_INGESTION),
        writes=(REQUESTS,),
        uses=("knowledge",),
    ),
    Stage(
        "clean",
        on=(IOT_DATA_INGESTION, BATCH_DATA_INGESTION),
        take=clean,
        emits=(DATA_PROCESSING_OUTPUT, RAG_ERROR_REPORTING),
        writes=(QUALITY, SCHEMAS),
        uses=("knowledge",),
        state="shard",
        codec=CLEAN_CODEC,
    ),
    Stage(
        "rule_check",
        on=(DATA_PROCESSING_OUTPUT, Every(seconds=30)),
        take=rule_check,
        tick=check_silence,
        emits=(RULE_CHECK_OUTPUT, RAG_ERROR_REPORTING),
        uses=("knowledge",),
        state="shard",
        codec=CHECK_CODEC,
    ),
    Stage(
        "ml_score",
        on=(RULE_CHECK_OUTPUT,),
        take=ml_score,
        emits=(FINAL_DATA_STORAGE, RAG_ERROR_REPORTING),
        uses=("knowledge", "detection_model"),
        state="shard",
        codec=SCORE_CODEC,
        may_wait=True,
    ),
    Stage(
        "store",
        on=(FINAL_DATA_STORAGE,),
        take=store,
        writes=(DEVICES,),
        uses=("knowledge", "blobs"),
        state="shard",
        codec=STORE_CODEC,
    ),
    Stage(
        "rag_explain",
        on=(RAG_ERROR_REPORTING, Every(seconds=5)),
        take=rag_explain,
        tick=explain_timer,
        emits=(DASHBOARD_ALERTS,),
        writes=(EPISODES, REPORTS),
        uses=("knowledge", "language_model"),
        state="shard",
        codec=EXPLAIN_CODEC,
    ),
    Stage(
        "notify",
        on=(DASHBOARD_ALERTS, Every(seconds=5)),
        take=notify,
        tick=retry_and_escalate,
        writes=(ALERTS, OUTBOX),
        reads=(ACKNOWLEDGEMENTS,),
        uses=("receivers",),
        state="one",
        codec=NOTIFY_CODEC,
    ),
    Stage(
        "budget_cutoff",
        on=(Every(seconds=15),),
        tick=check_budget,
        emits=(DASHBOARD_ALERTS,),
        writes=(SPEND, CUTOFFS),
        reads=(ALERTS,),
        uses=("knowledge", "meter"),
    ),
    Stage(
        "watch",
        on=(Every(seconds=5),),
        emits=(DASHBOARD_ALERTS,),
        uses=("knowledge", "receivers"),
        state="one",
        codec=WATCH_CODEC,
    ),
    Stage(
        "api",
        on=(Http("GET /api/…, /health, /metrics; POST /api/…/acknowledge, /api/…/review"),),
        writes=(REVIEWS, ACKNOWLEDGEMENTS),
        reads=(DEVICES, QUALITY, SCHEMAS, EPISODES, REPORTS, ALERTS, SPEND, CUTOFFS),
        uses=("knowledge", "blobs", "meter"),
    ),
    Stage(
        "retrain",
        on=(Every(seconds=3600),),
        reads=(DEVICES, REVIEWS, EPISODES),
        uses=("blobs", "detection_model"),
    ),
)

STAGES: Mapping[str, Stage] = {stage.name: stage for stage in PIPELINE}
MAY_WAIT = tuple(stage.name for stage in PIPELINE if stage.may_wait)
