"""retrain: learns a detection model from the final series, without what was anomalous, and minds people's reviews.

The only stage that needs scikit-learn, and so the one that the pipeline table does not import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.training import History, train, training_features
from watchkeeper.errors import ModelError
from watchkeeper.ids import text_id
from watchkeeper.model_drift import Reference, reviews_of
from watchkeeper.records import Flag, Review
from watchkeeper.series.query import DeviceHistory, history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.detection.model import Model
    from watchkeeper.packs import Bools
    from watchkeeper.ports import Ports

MOST_READINGS = 20_000  # of one device, the newest of them
LOOK_BACK_MS = 30 * 86_400_000
UNFIT = Flag.ANOMALOUS | Flag.LATE


def retrain(ports: Ports, shards: int, now: int) -> Model:
    """A new model from all devices of all shards. ModelError: there is too little to learn from.

    Learns from the last month; where that holds nothing (old data that were sent later), from all there is up to `now`,
    never from what comes later: that is what it is judged by. How the values were distributed is stored beside the
    model: what drift is measured against.
    """
    reference = Reference()
    features = training_features(_histories(ports, shards, now - LOOK_BACK_MS, now, reference))
    if not len(features):
        reference = Reference()
        features = training_features(_histories(ports, shards, None, now, reference))
    if not len(features):
        message = f"no device has the {DEFAULT.warm_readings} readings of a metric that it takes to learn from"
        raise ModelError(message)
    version = f"m-{text_id(now, len(features))}"
    model = train(features, seed=now % 2**32, version=version, trained_at=now)
    reference.keep(ports.blobs, version)
    return model


def _histories(ports: Ports, shards: int, start: int | None, end: int, reference: Reference) -> Iterator[History]:
    reviews: dict[str, list[Review]] = {}
    for shard in range(shards):
        for device in history(ports.blobs, shard, start, end):
            if device.tenant not in reviews:
                reviews[device.tenant] = reviews_of(ports.tables, device.tenant)
            theirs = [review for review in reviews[device.tenant] if review.device == device.device]
            newest = slice(-MOST_READINGS, None)
            values = device.values[:, newest].T
            left_out = _leave_out(device, theirs)[newest]
            reference.add(device.tenant, device.device, device.metrics, values[~left_out])
            yield History(device.ts[newest], values, device.metrics, left_out)


def _leave_out(device: DeviceHistory, reviews: list[Review]) -> Bools:
    """What was flagged or confirmed is left out; what a person has rejected as an anomaly is learnt from again."""
    out = (device.flags & UNFIT) != 0
    within = [(review, (device.ts >= review.start) & (device.ts <= review.end)) for review in reviews]
    for review, rows in within:
        if review.verdict == "rejected":
            out &= ~rows
    for review, rows in within:
        if review.verdict == "confirmed":
            out |= rows
    return np.asarray(out, bool)
