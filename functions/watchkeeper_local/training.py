"""Retraining on one machine: a process of its own that learns a new detection model every so often."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from watchkeeper.errors import ModelError, WatchkeeperError
from watchkeeper.published import current_pin, publish_model
from watchkeeper_local.node import clock, open_node, set_up_logging

if TYPE_CHECKING:
    import threading

    from watchkeeper.ports import Ports
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
NICE = 10  # readings that wait come first
LOOK_S = 30.0  # how often it looks whether it is time; a first model is learnt as soon as there is enough to learn from


def retrain_now(ports: Ports, shards: int) -> str:
    """Learn a model from what is stored and put it in force, unless one is pinned; answers what it did, in words."""
    from watchkeeper.stages.retrain import retrain

    model = retrain(ports, shards, clock())
    in_force = publish_model(ports.blobs, model)
    kept = "in force" if in_force else "kept, but not in force: another one is pinned"
    return f"model {model.version}, learnt from {model.rows} readings, is {kept}"


def keep_training(settings: Settings, stop: threading.Event) -> None:
    """The process: retrains when the model in force is `retrain_hours` old, or there is none yet."""
    set_up_logging(settings, "retrain")
    os.nice(NICE)
    ports, _ = open_node(settings, durable=False)
    due = 0
    while not stop.wait(LOOK_S):
        if due == 0 and current_pin(ports.blobs).version:
            due = clock() + round(settings.retrain_hours * 3_600_000)
        if clock() < due:
            continue
        try:
            log.info(retrain_now(ports, settings.shards))
            due = clock() + round(settings.retrain_hours * 3_600_000)
        except ModelError as error:
            log.info("not enough to learn from yet: %s", error)
        except WatchkeeperError as error:
            log.error("retraining failed, and will be tried again: %s", error)
    ports.close()
