"""Retraining on one machine: a process of its own that learns a new model every so often, or when data have drifted."""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import learn_classes
from watchkeeper.errors import ModelError, WatchkeeperError
from watchkeeper.model_drift import measure_drift
from watchkeeper.published import current_pin, publish_model
from watchkeeper_local.node import clock, open_node, set_up_logging

if TYPE_CHECKING:
    import threading

    from watchkeeper.ports import Ports
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
NICE = 10  # readings that wait come first
DRIFT_MS = 3_600_000  # how often it looks at the classes of devices, and whether data have drifted …
REST_MS = 6 * 3_600_000  # … and how long a model is left in peace by that
LOOK_S = 30.0  # how often it looks whether it is time; a first model is learnt as soon as there is enough to learn from


def retrain_now(ports: Ports, shards: int) -> str:
    """Learn a model from what is stored and put it in force, unless one is pinned; answers what it did, in words."""
    from watchkeeper.stages.retrain import retrain

    model = retrain(ports, shards, clock())
    in_force = publish_model(ports.blobs, model)
    kept = "in force" if in_force else "kept, but not in force: another one is pinned"
    return f"model {model.version}, learnt from {model.rows} readings, is {kept}"


@dataclasses.dataclass(slots=True)
class Plan:
    """What comes next, epoch ms: the next model, the next look at drift, and from when on drift may ask for a model."""

    due: int = 0
    look: int = 0
    rested: int = 0
    classes: int = 0  # when the classes of devices are looked at next


def retrain_if_due(ports: Ports, settings: Settings, plan: Plan, now: int) -> str:
    """Learns a model if it is time, there is none, or data have drifted; what it did, in words, or nothing.

    ModelError: there is too little to learn from.
    """
    pin = current_pin(ports.blobs)
    if now >= plan.classes:
        plan.classes = now + DRIFT_MS
        learn_classes(ports, settings.shards, now)
    each = round(settings.retrain_hours * 3_600_000)
    why = ""
    if pin.version:
        plan.due = plan.due or now + each
        if now >= plan.look:
            plan.look = now + DRIFT_MS
            report = measure_drift(ports, settings.shards, now)
            if report.much and not pin.pinned and now >= plan.rested:
                why = f"{report.drifted} of {report.series} series have drifted: "
    if not why and now < plan.due:
        return ""
    told = retrain_now(ports, settings.shards)
    plan.due, plan.rested = now + each, now + REST_MS
    return why + told


def keep_training(settings: Settings, stop: threading.Event) -> None:
    """The process: retrains when the model in force is `retrain_hours` old, there is none yet, or data have drifted."""
    set_up_logging(settings, "retrain")
    os.nice(NICE)
    ports, _ = open_node(settings, durable=False)
    plan = Plan()
    while not stop.wait(LOOK_S):
        try:
            told = retrain_if_due(ports, settings, plan, clock())
        except ModelError as error:
            log.info("not enough to learn from yet: %s", error)
        except WatchkeeperError as error:
            log.error("retraining failed, and will be tried again: %s", error)
        else:
            if told:
                log.info(told)
    ports.close()
