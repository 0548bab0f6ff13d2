"""Is a candidate not worse than the model in force? What speaks against it, in words with their numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.drift import MUCH, beyond_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.shadow.counting import Counts, Openings

WEEK_MS = 7 * 86_400_000
CHANCE = 0.05
"""Below it, it is no chance any more that so many of the openings that one model alone has are the candidate's."""


def objections(counts: Counts, in_force: str, *, needs_later: bool = True) -> tuple[str, ...]:
    """All that speaks against the candidate; empty: it is not worse. `in_force` is told by its name ("": no model).

    `needs_later`: readings that came after it was learnt are needed.
    """
    return tuple(_objections(counts, name_of(in_force), needs_later=needs_later))


def account_of(counts: Counts, in_force: str) -> str:
    """What was found, in one line of numbers, the candidate's first."""
    own, other, name = counts.candidate, counts.in_force, name_of(in_force)
    return (
        f"beside {name}: confirmed episodes found {own.found} to {other.found} of {counts.confirmed}, rejected ones "
        f"opened again {own.reopened} to {other.reopened} of {counts.rejected}; openings {own.recent.all} to "
        f"{other.recent.all} in {counts.recent_ms / WEEK_MS:.2f} device weeks before it was learnt and {own.later.all} "
        f"to {other.later.all} in {counts.later_ms / WEEK_MS:.2f} after; scores' drift {counts.score_drift:.3f}; "
        f"{counts.readings} readings of {counts.devices} devices"
    )


def name_of(model: str) -> str:
    """A model as people read of it."""
    return model or "no model"


def chance_of(own: int, other: int) -> float:
    """That of `own` + `other` openings that only one of two equal models has, so many or more are its own.

    One-sided exact sign test: on the same readings, each such opening is as likely the one's as the other's.
    """
    n = own + other
    return float(Fraction(sum(math.comb(n, k) for k in range(own, n + 1)), 2**n))


def _objections(counts: Counts, name: str, *, needs_later: bool) -> Iterator[str]:
    own, other = counts.candidate, counts.in_force
    if own.found < other.found:
        yield f"it finds {own.found} of {counts.confirmed} confirmed episodes, {name} {other.found}"
    if own.reopened > other.reopened:
        yield f"it opens in {own.reopened} of {counts.rejected} rejected episodes, {name} in {other.reopened}"
    spans = (
        ("before it was learnt", own.recent, other.recent, counts.recent_ms),
        ("after it was learnt", own.later, other.later, counts.later_ms),
    )
    for when, mine, theirs, heard_ms in spans:
        if _louder(mine, theirs, heard_ms):
            yield (
                f"{when}, it opens {mine.all} times in {heard_ms / WEEK_MS:.2f} device weeks, {name} {theirs.all} "
                f"times: {mine.only} only it and {theirs.only} only {name}, which is chance once in "
                f"{1 / chance_of(mine.only, theirs.only):.0f}, and more than {DEFAULT.target_a_week:g} a week explains"
            )
    if counts.score_drift > MUCH:
        yield f"its scores are distributed otherwise: index {counts.score_drift:.2f}, where {MUCH:g} is much"
    if not (counts.later_ms if needs_later else counts.recent_ms + counts.later_ms):
        yield f"no device that is past its first readings was heard{' after it was learnt' * needs_later}"


def _louder(mine: Openings, theirs: Openings, heard_ms: int) -> bool:
    beyond = beyond_target(mine.all, heard_ms / WEEK_MS, DEFAULT.target_a_week)
    return beyond and chance_of(mine.only, theirs.only) < CHANCE
