"""Batches of MSK through a stage, partition by partition; what could not be done now is asked for again.

An outage holds up its partition from the first message that was not taken; the others go on. Poison is dead-lettered
by the runner and holds up nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import Conflict, DecodeError, StateError, Unavailable, Undeclared
from watchkeeper_adapters.claim_check import whole
from watchkeeper_aws.kafka_events import Delivery, deliveries

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs, Stored
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer

log = logging.getLogger(__name__)
MESSAGES, BYTES = 4096, 2_000_000  # taken through the stage at once: then what they did is committed
WAITING = (Unavailable, Conflict, StateError, Undeclared)


def take_event(
    stage: str,
    event: Mapping[str, Any],
    context: Any,  # noqa: ANN401 - Lambda's context
    container: Container,
    observer: Observer,
) -> dict[str, list[dict[str, dict[str, object]]]]:
    """The batch's answer: from which offset on each partition has to come again.

    Where little time is left nothing more is begun, but one piece is always tried: else a batch would never end.
    """
    failures: list[dict[str, dict[str, object]]] = []
    prefix, reserve = container.settings.kafka_prefix, container.settings.reserve_ms
    tried = False
    for delivery in deliveries(event, prefix):
        observer.lag(container.clock() - delivery.newest)
        offset = delivery.messages[0].offset
        try:
            for piece in _pieces(delivery.messages):
                if tried and context.get_remaining_time_in_millis() < reserve:
                    observer.counts["batch_out_of_time"] += 1
                    log.warning("%s/%d waits: little time is left", delivery.topic.name, delivery.partition)
                    failures.append(delivery.failure(piece[0].offset, prefix))
                    break
                tried, offset = True, piece[0].offset
                _take(stage, delivery, piece, container, observer)
        except WAITING as error:
            observer.counts["batch_failures"] += 1
            message = "%s stops at %s/%d, offset %d: %s: %s"
            log.error(message, stage, delivery.topic.name, delivery.partition, offset, type(error).__name__, error)
            failures.append(delivery.failure(offset, prefix))
    return {"batchItemFailures": failures}


def _take(stage: str, delivery: Delivery, piece: Sequence[Stored], container: Container, observer: Observer) -> None:
    runner = container.runner(stage, delivery.topic)
    blobs = container.ports.blobs
    observer.counts += runner.take(delivery.partition, [_whole(message, blobs) for message in piece])


def _whole(message: Stored, blobs: Blobs) -> Stored:
    try:
        return whole(message, blobs)
    except DecodeError as error:  # its bytes are gone: what is left of it becomes a dead letter
        log.error("%s", error)
        return message


def _pieces(messages: Sequence[Stored]) -> Iterator[list[Stored]]:
    piece: list[Stored] = []
    size = 0
    for message in messages:
        if piece and (len(piece) >= MESSAGES or size + len(message.value) > BYTES):
            yield piece
            piece, size = [], 0
        piece.append(message)
        size += len(message.value)
    if piece:
        yield piece
