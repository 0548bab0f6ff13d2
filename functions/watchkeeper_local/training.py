"""Retraining on one machine: a process of its own that learns models every so often, or when data have drifted.

It promotes one that was in shadow for long enough and is not worse than the one in force.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import learn_classes
from watchkeeper.errors import ModelError, WatchkeeperError
from watchkeeper.model_drift import measure_drift
from watchkeeper.model_in_force import RETRAIN, current_pin
from watchkeeper.shadow.judging import HOUR_MS, Shadow, is_awaited, judge, learn_candidate
from watchkeeper_local.node import clock, open_node, set_up_logging

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Ports
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
NICE = 10  # readings that wait come first
DRIFT_MS = 3_600_000  # how often it looks at the classes of devices, and whether data have drifted …
REST_MS = 6 * 3_600_000  # … and how long a model is left in peace by that
LOOK_S = 30.0  # how often it looks whether it is time; a first model is learnt as soon as there is enough to learn from
JUDGE_MS = 600_000  # how often it looks whether the candidate can be judged
ENDLESS_MS = 1 << 40  # there is time for everything


def retrain_now(ports: Ports, shards: int, why: str = "", by: str = RETRAIN) -> str:
    """Learn a model from what is stored and put it in shadow; what it did, in words. ModelError: see `retrain`."""
    model = learn_candidate(ports, shards, clock(), why, by)
    pin = current_pin(ports.blobs)
    stays = f", where it stays while {pin.version} is pinned" if pin.pinned else ""
    return f"model {model.version}, learnt from {model.rows} readings, is in shadow{stays}"


def shadow_of(
    ports: Ports, bundle: Bundle, settings: Settings, now: int, left_ms: Callable[[], int] = lambda: ENDLESS_MS
) -> Shadow:
    """What judging is done over on this machine."""
    return Shadow(ports, bundle, settings.shards, round(settings.shadow_hours * HOUR_MS), now, left_ms)


@dataclasses.dataclass(slots=True)
class Plan:
    """What comes next, epoch ms: the next model, looks at drift and at the candidate; from when on drift may ask."""

    due: int = 0
    look: int = 0
    rested: int = 0
    judge: int = 0
    classes: int = 0  # when the classes of devices are looked at next


def retrain_if_due(shadow: Shadow, settings: Settings, plan: Plan) -> str:
    """Goes on with the candidate; learns a model if it is time, there is none, or data have drifted. What it did.

    While a candidate is awaited no other is learnt. ModelError: there is too little to learn from.
    """
    ports, now = shadow.ports, shadow.now
    if now >= plan.judge:
        standing = judge(shadow)
        plan.judge = now if standing.state == "comparing" else now + JUDGE_MS
        if standing.state in {"promoted", "refused"}:
            return str(standing)
    pin = current_pin(ports.blobs)
    awaited = is_awaited(pin, now)
    if now >= plan.classes:
        plan.classes = now + DRIFT_MS
        learn_classes(ports, settings.shards, now)
    why = ""
    if pin.version:
        plan.due = plan.due or now + round(settings.retrain_hours * HOUR_MS)
        if now >= plan.look:
            plan.look = now + DRIFT_MS
            report = measure_drift(ports, settings.shards, now)
            if report.much and not pin.pinned and now >= plan.rested:
                why = f"{report.drifted} of {report.series} series have drifted: "
    if awaited or (not why and now < plan.due):
        return ""
    model = learn_candidate(ports, settings.shards, now, why)
    plan.due, plan.rested, plan.judge = now + round(settings.retrain_hours * HOUR_MS), now + REST_MS, now
    return f"{why}model {model.version}, learnt from {model.rows} readings, is in shadow"


def keep_training(settings: Settings, stop: threading.Event) -> None:
    """The process: learns and judges models, at the pace of `retrain_hours` and `shadow_hours`, or when data drift."""
    set_up_logging(settings, "retrain")
    os.nice(NICE)
    ports, published = open_node(settings, durable=False)
    plan = Plan()
    while not stop.wait(LOOK_S):
        try:
            published.refresh(clock())
            left = lambda: 0 if stop.is_set() else ENDLESS_MS  # noqa: E731
            told = retrain_if_due(shadow_of(ports, published.bundle, settings, clock(), left), settings, plan)
        except ModelError as error:
            log.info("not enough to learn from yet: %s", error)
        except WatchkeeperError as error:
            log.error("retraining failed, and will be tried again: %s", error)
        else:
            if told:
                log.info(told)
    ports.close()
