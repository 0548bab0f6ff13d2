"""Batches of a stream through a stage, partition by partition; what could not be done now has to come again.

An outage holds up its partition from the first message that was not taken; the others go on. Poison is dead-lettered
by the runner and holds up nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.errors import Conflict, DecodeError, StateError, Unavailable, Undeclared
from watchkeeper_adapters.claim_check import whole

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs, Stored
    from watchkeeper.topology import Topic
    from watchkeeper_adapters.cloud.container import CloudContainer
    from watchkeeper_adapters.cloud.observing import Observer

log = logging.getLogger(__name__)
MESSAGES, BYTES = 4096, 2_000_000  # taken through the stage at once: then what they did is committed
WAITING = (Unavailable, Conflict, StateError, Undeclared)


class Delivery(NamedTuple):
    """What has come of one partition, in the order of offsets. `newest` is the time of the last record, epoch ms."""

    topic: Topic
    partition: int
    messages: list[Stored]
    newest: int


class Stop(NamedTuple):
    """Everything of a delivery from this offset on has to come again, and why."""

    delivery: Delivery
    offset: int
    why: str


def take_deliveries(
    stage: str,
    deliveries: Iterable[Delivery],
    left_ms: Callable[[], int],
    container: CloudContainer,
    observer: Observer,
) -> list[Stop]:
    """Take them all, as far as that is possible now; answers where each partition has stopped that could not be.

    Where little time is left nothing more is begun, but one piece is always tried: else a batch would never end.
    """
    stops: list[Stop] = []
    tried = False
    for delivery in deliveries:
        observer.lag(container.clock() - delivery.newest)
        offset = delivery.messages[0].offset
        try:
            for piece in _pieces(delivery.messages):
                if tried and left_ms() < container.reserve_ms:
                    observer.counts["batch_out_of_time"] += 1
                    log.warning("%s/%d waits: little time is left", delivery.topic.name, delivery.partition)
                    stops.append(Stop(delivery, piece[0].offset, "little time is left"))
                    break
                tried, offset = True, piece[0].offset
                _take(stage, delivery, piece, container, observer)
        except WAITING as error:
            observer.counts["batch_failures"] += 1
            why = f"{type(error).__name__}: {error}"
            log.error("%s stops at %s/%d, offset %d: %s", stage, delivery.topic.name, delivery.partition, offset, why)
            stops.append(Stop(delivery, offset, why))
    return stops


def _take(
    stage: str, delivery: Delivery, piece: Sequence[Stored], container: CloudContainer, observer: Observer
) -> None:
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
