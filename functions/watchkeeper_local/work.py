"""The processes that run the pipeline: workers for the stages that decide, and one for those that wait on others.

A webhook that hangs or a slow language model must not hold up the readings, nor one of them the other: notify and the
writing of explanations each have a thread of their own, apart from the workers.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.worker import Worker
from watchkeeper_local.node import clock, open_node, set_up_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
PACE_S = 0.1  # a step takes what has come in as long: a batch costs a stage hardly more than a reading

TELLING = (STAGES["notify"], STAGES["budget_cutoff"])
WRITING = (
    STAGES["rag_explain"],
)  # its timer only: anomalies are explained by the workers, at once and without a model
DECIDING = tuple(stage for stage in PIPELINE if stage not in TELLING)
DECIDING_TIMERS = tuple(stage for stage in DECIDING if stage not in WRITING)


def work(settings: Settings, number: int, stop: threading.Event) -> None:
    """Run worker `number` (from 0) of the settings' workers: it owns every partition p with p % workers = number."""
    set_up_logging(settings, f"worker-{number}")
    ports, published = open_node(settings, durable=False)
    worker = Worker(
        ports,
        published,
        shards=settings.shards,
        clock=clock,
        owns=lambda partition: partition % settings.workers == number,
        lanes=DECIDING,
        timers=DECIDING_TIMERS,
    )
    _run(worker, stop)
    ports.close()


def reach_out(settings: Settings, stop: threading.Event) -> None:
    """Tell people, and have explanations written, each in a thread; if one of them fails, the process ends."""
    set_up_logging(settings, "outward")
    ports, published = open_node(settings, durable=False)
    failed = threading.Event()

    def run(make: Callable[[], Worker]) -> None:
        try:
            _run(make(), stop)
        except Exception:
            log.exception("%s failed; the process starts again", threading.current_thread().name)
            failed.set()
            stop.set()

    def telling() -> Worker:
        return Worker(ports, published, shards=settings.shards, clock=clock, lanes=TELLING, timers=TELLING)

    def writing() -> Worker:
        return Worker(ports, published, shards=settings.shards, clock=clock, lanes=(), timers=WRITING)

    threads = [
        threading.Thread(target=run, args=(make,), name=make.__name__, daemon=True) for make in (telling, writing)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed.is_set():
        raise SystemExit(1)
    ports.close()


def _run(worker: Worker, stop: threading.Event) -> None:
    due = time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = time.monotonic() + PACE_S
        worker.step()
        if worker.behind:
            due = 0.0
