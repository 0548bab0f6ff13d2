"""The dead man's switch: a canary's reading goes in where devices' do, and the last ones are looked for where all end.

What is seen is the metric `flows`, 1 or 0. Who tells people is the alarm on it: that one is not of the pipeline, and a
watch that says nothing sounds it too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.ids import shard_of
from watchkeeper.ports import Message
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.series.query import query
from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper.watching import CANARY

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer

log = logging.getLogger(__name__)
SENT = "sent"
BOUND_MS = 180_000  # a canary that is not seen for longer has not come out: it is sent once a minute
AHEAD_MS = 60_000


def look(container: Container, observer: Observer) -> dict[str, object]:
    """Send, then look; answers `flows`, and for how many seconds the canary has not been seen (None: for too long).

    Unavailable: the front door or the store cannot be reached; no metric is written, which the alarm counts as bad.
    """
    now, shards = container.clock(), container.settings.shards
    shard = shard_of(DEFAULT_TENANT, CANARY, shards)
    body = msgspec.json.encode({"ts": now, "values": {SENT: 1.0}})
    headers = {"device": CANARY, "tenant": DEFAULT_TENANT, "received": str(now)}
    container.ports.stream.append(DEVICE_TELEMETRY.name, [Message(shard, body, headers)])
    span = now - BOUND_MS, now + AHEAD_MS
    seen = query(container.ports.blobs, shard, DEFAULT_TENANT, CANARY, SENT, *span, points=BOUND_MS)
    last = max((int(point[0]) for point in seen.points), default=None)
    observer.flows(last is not None)
    if last is None:
        log.error("the canary has not come out for %d s: the pipeline does not flow", BOUND_MS // 1000)
    return {"flows": last is not None, "seen_before_s": None if last is None else round((now - last) / 1000, 1)}
