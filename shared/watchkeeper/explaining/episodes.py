"""The life of an episode: opened by an anomaly, carried on by more of them, closed by a clear or by long silence."""

from __future__ import annotations

import msgspec

from watchkeeper.records import Anomaly, Episode

STALE_MS = 6 * 3_600_000  # an episode that nobody has spoken of for so long (wall time) is closed ...
LASTING = "silence:"  # ... but silence lasts until it is broken


def opened(anomaly: Anomaly, now: int) -> Episode:
    """The episode that an anomaly opens; the same anomaly always opens the same one."""
    closed = anomaly.ts if anomaly.phase == "event" else None
    return Episode(
        id=anomaly.episode,
        tenant=anomaly.tenant,
        site=anomaly.site,
        device=anomaly.device,
        device_class=anomaly.device_class,
        detector=anomaly.detector,
        opened_by=anomaly.id,
        opened=anomaly.since or anomaly.ts,
        last=anomaly.ts,
        severity=anomaly.severity,
        summary=anomaly.summary,
        count=anomaly.count,
        score=anomaly.score,
        closed=closed,
        closed_because="over at once" if closed else "",
        metric=anomaly.metric,
        runbook=anomaly.runbook,
        backfill=anomaly.backfill,
        received=anomaly.received,
        seen=now,
        anomaly=anomaly,
        taken=anomaly.origin,
    )


def carried_on(episode: Episode, anomaly: Anomaly, now: int) -> Episode:
    """The episode after one more edge; an edge that it already holds changes nothing.

    One that began in a backfill and goes on in live readings is live: the edge by which it is opens it for people.
    """
    if _holds(episode, anomaly):
        return episode
    worst = anomaly if episode.anomaly is None or anomaly.score > episode.anomaly.score else episode.anomaly
    closing = anomaly.phase == "clear"
    goes_live = episode.backfill and not anomaly.backfill and not closing
    return msgspec.structs.replace(
        episode,
        last=max(episode.last, anomaly.ts),
        count=episode.count + anomaly.count,
        score=max(episode.score, anomaly.score),
        severity=max(episode.severity, anomaly.severity),
        closed=anomaly.ts if closing else None,
        closed_because="clear" if closing else "",
        opened_by=anomaly.id if goes_live else episode.opened_by,
        backfill=episode.backfill and not goes_live,
        received=anomaly.received if goes_live else episode.received,
        seen=now,
        anomaly=worst,
        taken=anomaly.origin or episode.taken,
    )


def gone_stale(episode: Episode) -> Episode:
    """The episode closed because nothing more was heard of it."""
    return msgspec.structs.replace(episode, closed=episode.last, closed_because="nothing more was heard of it")


def _holds(episode: Episode, anomaly: Anomaly) -> bool:
    """Has this edge been counted? Edges of an episode come from one source, in order."""
    if anomaly.id == episode.opened_by:
        return True
    before, origin = episode.taken, anomaly.origin
    return before is not None and origin is not None and origin.source == before.source and origin.place <= before.place
