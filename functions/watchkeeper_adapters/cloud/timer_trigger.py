"""A stage's timer: shard by shard, so that one that is busy holds up no other; retraining is a timer of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from watchkeeper.class_knowledge import learn_classes
from watchkeeper.errors import Conflict, ModelError, StateError, Unavailable
from watchkeeper.model_drift import measure_drift
from watchkeeper.pipeline import STAGES
from watchkeeper.published import publish_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper_adapters.cloud.container import CloudContainer
    from watchkeeper_adapters.cloud.observing import Observer

log = logging.getLogger(__name__)
LEARNS = "retrain"  # the stage whose timer is training


def tick(stage: str, left_ms: Callable[[], int], container: CloudContainer, observer: Observer) -> dict[str, object]:
    """How many shards were ticked, and how many wait for the next time; of training, what became of it.

    Unavailable: no shard could be.
    """
    if stage == LEARNS:
        return _retrain(container)
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


def _retrain(container: CloudContainer) -> dict[str, object]:
    """Learns a model from what is stored and puts it in force, unless one is pinned; this alone loads scikit-learn.

    Before, it is measured how far data have drifted from what the model in force learnt from, and what the classes of
    devices have in common.
    """
    from watchkeeper.stages.retrain import retrain

    learn_classes(container.ports, container.shards, container.clock())
    report = measure_drift(container.ports, container.shards, container.clock())
    drift = {"drifted": report.drifted, "compared": report.series}
    try:
        model = retrain(container.ports, container.shards, container.clock())
    except ModelError as error:
        return {"model": "", "why": str(error), **drift}
    return {
        "model": model.version,
        "rows": model.rows,
        "in_force": publish_model(container.ports.blobs, model),
        **drift,
    }
