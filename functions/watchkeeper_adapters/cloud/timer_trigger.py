"""A stage's timer: shard by shard, so that one that is busy holds up no other; the timer of models is another thing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import learn_classes
from watchkeeper.errors import Conflict, ModelError, StateError, Unavailable
from watchkeeper.model_drift import measure_drift
from watchkeeper.model_in_force import current_pin
from watchkeeper.pipeline import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper_adapters.cloud.container import CloudContainer
    from watchkeeper_adapters.cloud.observing import Observer

log = logging.getLogger(__name__)
LEARNS = "retrain"  # the stage whose timer is training
LEARN_MS = 24 * 3_600_000  # between two models


def tick(stage: str, left_ms: Callable[[], int], container: CloudContainer, observer: Observer) -> dict[str, object]:
    """How many shards were ticked, and how many wait for the next time; of models, what became of them.

    Unavailable: no shard could be.
    """
    if stage == LEARNS:
        return _retrain(left_ms, container)
    row = STAGES[stage]
    shards = range(container.shards) if row.state == "shard" else range(1)
    runner = container.runner(stage, row.topics[0] if row.topics else None)
    done, trouble = 0, ""
    for shard in shards:
        if done and left_ms() < container.reserve_ms:
            trouble = "little time is left"
            break
        try:
            observer.counts += runner.tick([shard])
        except (Unavailable, Conflict, StateError) as error:
            trouble = f"{type(error).__name__}: {error}"
            log.error("the timer of %s failed for shard %d: %s", stage, shard, trouble)
        else:
            done += 1
    observer.counts["batch_failures"] += len(shards) - done
    if not done:
        text = f"the timer of {stage} failed for every shard: {trouble}"
        raise Unavailable(text)
    return {"ticked": done, "waiting": len(shards) - done}


def _retrain(left_ms: Callable[[], int], container: CloudContainer) -> dict[str, object]:
    """Goes on with the model in shadow; if none is awaited and a day has passed, measures drift and learns the next.

    What the classes of devices have in common is learnt each time. Of the others only one at a time: each
    may need all the time there is. What is not finished the next hour goes on with.
    """
    from watchkeeper.shadow.judging import Shadow, is_awaited, judge, learn_candidate

    now = container.clock()
    learn_classes(container.ports, container.shards, now)
    container.published.refresh(now)
    shadow = Shadow(container.ports, container.published.bundle, container.shards, container.shadow_ms, now, left_ms)
    standing = judge(shadow)
    told: dict[str, object] = {"candidate": standing.candidate, "shadow": standing.state, "why": standing.why}
    pin = current_pin(container.ports.blobs)
    if standing.state in {"comparing", "promoted", "refused"} or is_awaited(pin, now) or now < pin.learnt + LEARN_MS:
        return told
    report = measure_drift(container.ports, container.shards, now)
    drift = {"drifted": report.drifted, "compared": report.series}
    try:
        model = learn_candidate(container.ports, container.shards, now)
    except ModelError as error:
        return {"candidate": "", "shadow": "none", "why": str(error), **drift}
    return {"candidate": model.version, "shadow": "waiting", "why": "just learnt", "rows": model.rows, **drift}
