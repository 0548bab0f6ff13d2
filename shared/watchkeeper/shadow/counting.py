"""What two models said of the same readings, in numbers that add up over devices and reviewed episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.detection.drift import stability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.packs import Bools, Floats, Ints
    from watchkeeper.shadow.rescoring import Rescored

BINS = 20  # of equal width, of scores from 0 to 1
SLACK_MS = 600_000
"""A reviewed episode is found again if a reading from so long before it to so long after it is in an episode."""


class Openings(msgspec.Struct, frozen=True):
    """Episodes that open in the device weeks of a span, but for those that people have confirmed.

    `only` are those during which the other model has none open.
    """

    all: int = 0
    only: int = 0

    def __add__(self, other: Openings) -> Openings:
        return Openings(self.all + other.all, self.only + other.only)


class Side(msgspec.Struct, frozen=True):
    """What one model does: openings in what the candidate could learn from (`recent`) and in what came later.

    found, reopened     confirmed, and rejected, episodes in which it has an episode open
    scores              readings by score, in 20 bins of equal width
    """

    recent: Openings = Openings()
    later: Openings = Openings()
    found: int = 0
    reopened: int = 0
    scores: tuple[int, ...] = (0,) * BINS

    def __add__(self, other: Side) -> Side:
        return Side(
            self.recent + other.recent,
            self.later + other.later,
            self.found + other.found,
            self.reopened + other.reopened,
            tuple(a + b for a, b in zip(self.scores, other.scores, strict=True)),
        )


class Counts(msgspec.Struct, frozen=True):
    """Both models on the same: the milliseconds that devices were heard in each span, and what people reviewed."""

    candidate: Side = Side()
    in_force: Side = Side()
    recent_ms: int = 0
    later_ms: int = 0
    devices: int = 0
    readings: int = 0
    confirmed: int = 0
    rejected: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.candidate + other.candidate,
            self.in_force + other.in_force,
            self.recent_ms + other.recent_ms,
            self.later_ms + other.later_ms,
            self.devices + other.devices,
            self.readings + other.readings,
            self.confirmed + other.confirmed,
            self.rejected + other.rejected,
        )

    @property
    def score_drift(self) -> float:
        """The population stability index of the candidate's scores against those of the model in force."""
        before, after = (np.asarray(side.scores, np.float64) for side in (self.in_force, self.candidate))
        rows = int(before.sum())
        return stability(before / rows, rows, after / rows, rows) if rows else 0.0


def count_device(
    ts: Ints, candidate: Rescored, in_force: Rescored, trained: int, confirmed: Sequence[tuple[int, int]]
) -> Counts:
    """A device's readings at `ts`, of which those before `trained` could be learnt from; `confirmed`: from, to (ms)."""
    settled = ~candidate.warming
    recent, later = settled & (ts < trained), settled & (ts >= trained)
    sides = (candidate, in_force), (in_force, candidate)
    one, two = (
        Side(
            _openings(ts, own, other, confirmed, recent),
            _openings(ts, own, other, confirmed, later),
            scores=_histogram(own.score[settled]),
        )
        for own, other in sides
    )
    return Counts(one, two, _heard(ts[recent]), _heard(ts[later]), devices=1, readings=len(ts))


def count_review(ts: Ints, candidate: Rescored, in_force: Rescored, start: int, end: int, *, confirmed: bool) -> Counts:
    """One reviewed episode, from `start` to `end`, with readings at `ts` from well before it."""
    within = (ts >= start - SLACK_MS) & (ts <= end + SLACK_MS)
    hits = [int((side.anomalous & within).any()) for side in (candidate, in_force)]
    one, two = (Side(found=hit) if confirmed else Side(reopened=hit) for hit in hits)
    return Counts(one, two, readings=len(ts), confirmed=int(confirmed), rejected=int(not confirmed))


def stretches_of(anomalous: Bools) -> tuple[Ints, Ints]:
    """The first reading of each episode, and the one after its last."""
    edges = np.diff(np.concatenate([[False], anomalous, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def only_of(own: Bools, other: Bools) -> tuple[Ints, Bools]:
    """Where the episodes of `own` open, and during which of them `other` has none."""
    first, after = stretches_of(own)
    so_far = np.concatenate([[0], np.cumsum(other)])
    return first, so_far[after] == so_far[first]


def _openings(ts: Ints, own: Rescored, other: Rescored, confirmed: Sequence[tuple[int, int]], span: Bools) -> Openings:
    first, only = only_of(own.anomalous, other.anomalous)
    after = stretches_of(own.anomalous)[1]
    false = np.ones(len(first), bool)
    for start, end in confirmed:
        false &= ~((ts[first] <= end + SLACK_MS) & (ts[after - 1] >= start - SLACK_MS))
    counted = false & span[first]
    return Openings(int(counted.sum()), int((counted & only).sum()))


def _histogram(score: Floats) -> tuple[int, ...]:
    bins = np.clip((score * BINS).astype(np.int64), 0, BINS - 1)
    return tuple(np.bincount(bins, minlength=BINS).tolist())


def _heard(ts: Ints) -> int:
    return int(ts[-1] - ts[0]) if len(ts) else 0
