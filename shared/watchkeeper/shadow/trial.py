"""The comparison of a candidate with the model in force: what it is made on, and how far it has come.

It is made part by part. What was counted is stored after each one, so a comparison that is cut off goes on later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from watchkeeper.ids import device_hash, shard_of
from watchkeeper.knowledge.catalogue import ITSELF
from watchkeeper.model_drift import reviews_of
from watchkeeper.ports import Key
from watchkeeper.records import Episode
from watchkeeper.series.query import device_history, known_devices
from watchkeeper.shadow.counting import SLACK_MS, Counts, count_device, count_review
from watchkeeper.shadow.rescoring import rescore
from watchkeeper.topology import EPISODES
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watchkeeper.detection.classes import ClassBook
    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.model_in_force import Pin
    from watchkeeper.ports import Blobs, Ports, Tables
    from watchkeeper.records import Review
    from watchkeeper.series.query import DeviceHistory
    from watchkeeper.shadow.rescoring import Rescored

log = logging.getLogger(__name__)
DAY_MS = 86_400_000
RECENT_MS = 7 * DAY_MS  # before the candidate was learnt (or, of old data, before their end)
REVIEWED_MS = 56 * DAY_MS  # how old a reviewed episode may be
LEAD_MS = 3 * DAY_MS  # before a reviewed episode, to learn what is usual there
MOST_DEVICES = 200
MOST_READINGS = 1_000_000  # of all of them
MOST_LATER = 12_000  # readings of a device from after the candidate was learnt …
MOST_BEFORE = 8_000  # … and right before those
MOST_REVIEWED = 100  # confirmed, and as many rejected: the newest
MOST_LEAD, MOST_EPISODE = 3_000, 5_000  # readings before, and in, a reviewed episode
AT_ONCE, READINGS_AT_ONCE, REVIEWS_AT_ONCE = 50, 400_000, 20  # devices, their readings, and episodes of one part

Place = tuple[int, str, str]  # shard, tenant, device


class Reviewed(msgspec.Struct, frozen=True, array_like=True):
    """An episode of the model that people have reviewed: where, from when to when (epoch ms), and what they said."""

    shard: int
    tenant: str
    device: str
    start: int
    end: int
    confirmed: bool


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate, learnt at `trained`, beside the model `against` that was in force; on what came before `end`.

    `why`: what speaks against it, once it is `worse`. devices_done, reviews_done: how far it has come.
    """

    candidate: str
    against: str
    trained: int
    end: int
    devices: tuple[Place, ...]
    reviews: tuple[Reviewed, ...]
    newest: int = 0  # when a device was last heard
    devices_done: int = 0
    reviews_done: int = 0
    counts: Counts = Counts()
    state: Literal["comparing", "not worse", "worse"] = "comparing"
    why: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Has everything been compared that was to be?"""
        return self.devices_done == len(self.devices) and self.reviews_done == len(self.reviews)


class Models(NamedTuple):
    """The two that are compared (None: no model), and what both know of the classes of devices."""

    candidate: Model
    in_force: Model | None
    classes: ClassBook | None


def plan_trial(ports: Ports, bundle: Bundle, shards: int, pin: Pin, now: int) -> Trial:
    """What the comparison of the candidate is to be made on. StateError, DecodeError: something stored is damaged.

    Of all devices those whose names have the least hashes: always the same, and from all shards alike.
    """
    found: list[tuple[int, Place, int]] = []
    tenants = set()
    for shard in range(shards):
        for known in known_devices(ports.blobs, shard):
            tenants.add(known.tenant)
            if bundle.catalogue.profile(known.device).class_name != ITSELF:
                place = (shard, known.tenant, known.device)
                found.append((device_hash(known.tenant, known.device), place, known.last_seen))
    sample = sorted(found)[:MOST_DEVICES]
    return Trial(
        candidate=pin.candidate,
        against=pin.version,
        trained=pin.learnt,
        end=now,
        devices=tuple(place for _, place, _ in sample),
        reviews=tuple(_reviewed(ports.tables, tenants, shards, now)),
        newest=max((last for _, _, last in sample), default=0),
    )


def trial_key(candidate: str) -> str:
    """Where the comparison of a candidate is."""
    return f"models/{candidate}.trial"


def stored_trial(blobs: Blobs, candidate: str) -> tuple[Trial | None, str | None]:
    """The comparison of a candidate as far as it has come, and its version. None: there is none, or it is damaged."""
    held = blobs.get_many([trial_key(candidate)]).get(trial_key(candidate))
    if held is None:
        return None, None
    try:
        return msgspec.json.decode(held.data, type=Trial), held.version
    except msgspec.MsgspecError as error:
        log.error("%s cannot be read, and the comparison begins anew: %s", trial_key(candidate), error)
        return None, held.version


def next_part(trial: Trial, blobs: Blobs, bundle: Bundle, models: Models) -> Trial:
    """The same with some more devices, or then reviewed episodes, compared. StateError: something stored is damaged."""
    if trial.devices_done < len(trial.devices):
        return _some_devices(trial, blobs, bundle, models)
    return _some_reviews(trial, blobs, bundle, models)


def _some_devices(trial: Trial, blobs: Blobs, bundle: Bundle, models: Models) -> Trial:
    histories: list[DeviceHistory] = []
    at, room = trial.devices_done, READINGS_AT_ONCE
    start = min(trial.trained, trial.newest) - RECENT_MS
    while at < len(trial.devices) and room > 0 and len(histories) < AT_ONCE:
        history = device_history(blobs, *trial.devices[at], start, trial.end)
        at += 1
        if history is not None:
            histories.append(_window(history, trial.trained, at / len(trial.devices)))
            room -= len(histories[-1].ts)
    counts = trial.counts
    for history, one, two in _judged(histories, bundle, models):
        confirmed = [
            (of.start, of.end)
            for of in trial.reviews
            if of.confirmed and (of.tenant, of.device) == (history.tenant, history.device)
        ]
        counts += count_device(history.ts, one, two, trial.trained, confirmed)
    if counts.readings >= MOST_READINGS:
        at = len(trial.devices)
    return msgspec.structs.replace(trial, devices_done=at, counts=counts)


def _some_reviews(trial: Trial, blobs: Blobs, bundle: Bundle, models: Models) -> Trial:
    upto = min(trial.reviews_done + REVIEWS_AT_ONCE, len(trial.reviews))
    reviews: list[Reviewed] = []
    histories: list[DeviceHistory] = []
    for review in trial.reviews[trial.reviews_done : upto]:
        span = review.start - LEAD_MS, review.end + SLACK_MS + 1
        history = device_history(blobs, review.shard, review.tenant, review.device, *span)
        if history is not None and history.ts[-1] >= review.start:
            opening = int(np.searchsorted(history.ts, review.start))
            reviews.append(review)
            histories.append(_rows(history, slice(max(0, opening - MOST_LEAD), opening + MOST_EPISODE)))
    counts = trial.counts
    for review, (history, one, two) in zip(reviews, _judged(histories, bundle, models), strict=True):
        counts += count_review(history.ts, one, two, review.start, review.end, confirmed=review.confirmed)
    return msgspec.structs.replace(trial, reviews_done=upto, counts=counts)


def _judged(
    histories: Sequence[DeviceHistory], bundle: Bundle, models: Models
) -> Iterator[tuple[DeviceHistory, Rescored, Rescored]]:
    candidate, in_force = (
        rescore(histories, bundle, model, models.classes) for model in (models.candidate, models.in_force)
    )
    return zip(histories, candidate, in_force, strict=True)


def _window(history: DeviceHistory, trained: int, place: float) -> DeviceHistory:
    """All that came after `trained`, or 12,000 readings of it; and 8,000 before them.

    Of devices that are heard too often for all of it, each has its own hours: `place`, 0 to 1, says which.
    """
    learnt = int(np.searchsorted(history.ts, trained))
    first = learnt + int(place * max(0, len(history.ts) - learnt - MOST_LATER))
    return _rows(history, slice(max(0, first - MOST_BEFORE), first + MOST_LATER))


def _rows(history: DeviceHistory, rows: slice) -> DeviceHistory:
    return history._replace(ts=history.ts[rows], values=history.values[:, rows], flags=history.flags[rows])


def _reviewed(tables: Tables, tenants: Iterable[str], shards: int, now: int) -> list[Reviewed]:
    """The newest confirmed and rejected episodes that the model opened; what rules found says nothing of a model."""
    found: list[Reviewed] = []
    for tenant in sorted(tenants):
        for review in _of_model(tables, tenant, now):
            shard = shard_of(tenant, review.device, shards)
            found.append(
                Reviewed(shard, tenant, review.device, review.start, review.end, review.verdict == "confirmed")
            )
    found.sort(key=lambda each: (-each.start, each.tenant, each.device))
    return [of for said in (True, False) for of in [of for of in found if of.confirmed == said][:MOST_REVIEWED]]


def _of_model(tables: Tables, tenant: str, now: int) -> list[Review]:
    recent = [review for review in reviews_of(tables, tenant) if review.start > now - REVIEWED_MS]
    rows = tables.get_many(EPISODES.name, [Key(tenant, review.episode) for review in recent])
    episodes = {key.sort: read_record(row.value, Episode) for key, row in rows.items()}
    return [review for review in recent if (of := episodes.get(review.episode)) and of.detector == "model"]
