"""What is learnt of the classes of devices, and published for scoring: priors of new devices, and what reviews say.

It is looked at beside drift, off the way of the readings: the states of ml_score and people's reviews are read, and one
object is written.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.detection.classes import BELIEVED, CLASSES, ClassBook, ClassKnowledge, factor_of, prior_of
from watchkeeper.detection.state import DetectorState
from watchkeeper.errors import StateError
from watchkeeper.knowledge.catalogue import GENERIC, ITSELF
from watchkeeper.model_drift import WEEK_MS, WEEKS, reviews_of
from watchkeeper.ports import Key
from watchkeeper.records import DeviceRecord, Episode
from watchkeeper.states import read_envelope, state_key
from watchkeeper.topology import DEVICES, EPISODES, RULE_CHECK_OUTPUT
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from watchkeeper.detection.classes import MetricPrior
    from watchkeeper.ports import Blobs, Ports, Tables

log = logging.getLogger(__name__)
MOST_DEVICES = 100_000  # of a tenant, whose classes are looked up
MOST_PRIORS = 2_000  # metrics of classes; the object stays below some 250 KB

ClassKey = tuple[str, str]  # tenant, class


def learn_classes(ports: Ports, shards: int, now: int) -> ClassBook:
    """Look at all devices and at eight weeks' reviews, and publish. Unavailable, StateError: they cannot be read.

    The devices of a shard whose state is damaged are left out, and the log says so: what is known is of all others.
    """
    series: dict[tuple[str, str, str], list[NDArray[np.void]]] = defaultdict(list)
    classes: dict[str, dict[str, str]] = {}
    for shard in range(shards):
        try:
            state = detector_state(ports.blobs, shard)
        except StateError as error:
            log.error("the devices of shard %d are left out of what is known of classes: %s", shard, error)
            continue
        for name, row in state.rows.items():
            tenant, _, device = name.partition("\0")
            if tenant not in classes:
                classes[tenant] = _classes_of(ports.tables, tenant)
            if device in classes[tenant]:
                for metric, slot in state.slots[row].items():
                    series[tenant, classes[tenant][device], metric].append(state.series[slot : slot + 1])
    priors: dict[ClassKey, dict[str, MetricPrior]] = defaultdict(dict)
    for (tenant, of, metric), records in sorted(series.items()):
        prior = prior_of(np.concatenate(records)) if of != ITSELF else None
        if prior is not None and sum(map(len, priors.values())) < MOST_PRIORS:
            priors[tenant, of][metric] = prior
    book = _book(priors, _reviewed(ports.tables, classes, now), now)
    ports.blobs.put(CLASSES, msgspec.msgpack.encode(book))
    return book


def latest_classes(blobs: Blobs) -> ClassBook | None:
    """What was published last. None: nothing yet, or it cannot be read (which the log says)."""
    held = blobs.get_many([CLASSES]).get(CLASSES)
    try:
        return msgspec.msgpack.decode(held.data, type=ClassBook) if held else None
    except msgspec.MsgspecError as error:
        log.error("%s cannot be read, and the next look writes it anew: %s", CLASSES, error)
        return None


def detector_state(blobs: Blobs, shard: int) -> DetectorState:
    """What ml_score has stored of a shard; an empty one: nothing yet. StateError: it cannot be read."""
    key = state_key("ml_score", RULE_CHECK_OUTPUT.name, shard)
    held = blobs.get_many([key]).get(key)
    return DetectorState.decode(read_envelope(held.data, key)[1]) if held else DetectorState.empty()


def _book(
    priors: Mapping[ClassKey, Mapping[str, MetricPrior]],
    reviewed: Mapping[ClassKey, tuple[float, float, int, int]],
    now: int,
) -> ClassBook:
    tenants: dict[str, dict[str, ClassKnowledge]] = {}
    for tenant, of in sorted({*priors, *reviewed}):
        weighed_confirmed, weighed_rejected, confirmed, rejected = reviewed.get((tenant, of), (0.0, 0.0, 0, 0))
        factor = factor_of(weighed_confirmed, weighed_rejected)
        known = ClassKnowledge(factor, confirmed, rejected, dict(priors.get((tenant, of), {})), of != GENERIC)
        tenants.setdefault(tenant, {})[of] = known
    return ClassBook(now, tenants)


def _classes_of(tables: Tables, tenant: str) -> dict[str, str]:
    rows = tables.query(DEVICES.name, tenant, limit=MOST_DEVICES)
    return {record.device: record.device_class for record in (read_record(row.value, DeviceRecord) for row in rows)}


def _reviewed(tables: Tables, classes: Mapping[str, object], now: int) -> dict[ClassKey, tuple[float, float, int, int]]:
    """By class what weighs as confirmed and as rejected, and how many were: one person weighs BELIEVED at the most."""
    said: dict[ClassKey, Counter[tuple[str, bool]]] = defaultdict(Counter)
    for tenant in classes:
        recent = [review for review in reviews_of(tables, tenant) if review.start > now - WEEKS * WEEK_MS]
        rows = tables.get_many(EPISODES.name, [Key(tenant, review.episode) for review in recent])
        for review in recent:
            row = rows.get(Key(tenant, review.episode))
            episode = read_record(row.value, Episode) if row is not None else None
            if episode is not None and episode.detector == "model":
                said[tenant, episode.device_class][review.by, review.verdict == "rejected"] += 1
    found = {}
    for key, counts in said.items():
        totals: Counter[str] = Counter()
        for (person, _), count in counts.items():
            totals[person] += count
        weighed = [0.0, 0.0]
        for (person, rejected), count in counts.items():
            weighed[rejected] += count * min(1.0, BELIEVED / totals[person])
        plain = [sum(count for (_, was), count in counts.items() if was == side) for side in (False, True)]
        found[key] = (weighed[0], weighed[1], plain[0], plain[1])
    return found
