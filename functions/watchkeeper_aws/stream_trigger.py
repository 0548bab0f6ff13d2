"""Batches of MSK through a stage: what could not be done now is asked for again, partition by partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from watchkeeper_adapters.cloud.stream_trigger import Stop, take_deliveries
from watchkeeper_aws.kafka_events import deliveries

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer


def take_event(
    stage: str, event: Mapping[str, Any], left_ms: Callable[[], int], container: Container, observer: Observer
) -> dict[str, list[dict[str, dict[str, object]]]]:
    """The batch's answer: from which offset on each partition has to come again."""
    prefix = container.settings.kafka_prefix
    stops = take_deliveries(stage, deliveries(event, prefix), left_ms, container, observer)
    return {"batchItemFailures": [_failure(stop, prefix) for stop in stops]}


def _failure(stop: Stop, prefix: str) -> dict[str, dict[str, object]]:
    """How Lambda is told that everything from this offset on has to come again."""
    delivery = stop.delivery
    partition = f"{prefix}{delivery.topic.name}-{delivery.partition}"
    return {"itemIdentifier": {"partition": partition, "offset": stop.offset}}
