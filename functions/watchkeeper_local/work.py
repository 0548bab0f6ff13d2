"""A worker process: the whole chain for its partitions, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from watchkeeper.worker import Worker
from watchkeeper_local.node import clock, open_node, set_up_logging

if TYPE_CHECKING:
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
IDLE_S = 0.02


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
    )
    while not stop.is_set():
        if not worker.step()["messages"]:
            stop.wait(IDLE_S)
    ports.close()
