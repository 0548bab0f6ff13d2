"""A stage's timer, from the scheduler: shard by shard, so that one that is busy holds up no other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import Conflict, StateError, Unavailable
from watchkeeper.pipeline import STAGES

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer

log = logging.getLogger(__name__)


def tick(
    stage: str,
    context: Any,  # noqa: ANN401 - Lambda's context
    container: Container,
    observer: Observer,
) -> dict[str, int]:
    """How many shards were ticked, and how many wait for the next time. Unavailable: none could be."""
    row = STAGES[stage]
    shards = range(container.settings.shards) if row.state == "shard" else range(1)
    runner = container.runner(stage, row.topics[0] if row.topics else None)
    done, trouble = 0, ""
    for shard in shards:
        if done and context.get_remaining_time_in_millis() < container.settings.reserve_ms:
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
