"""What became of readings that were sent."""

from __future__ import annotations

import itertools

import msgspec

BATCH = 1000


class Rejection(msgspec.Struct, frozen=True):
    """A reading that the other side did not take: its place among those sent by one call, and why."""

    index: int
    reason: str


class Sent(msgspec.Struct, frozen=True):
    """What became of the readings of a call; `+` sums, keeping 100 rejections.

    `shed` of the rejected were refused because the budget is spent; `retries` counts repeated requests.
    """

    accepted: int = 0
    rejected: int = 0
    retries: int = 0
    shed: int = 0
    rejections: tuple[Rejection, ...] = ()

    def __add__(self, later: Sent) -> Sent:
        before = self.accepted + self.rejected
        moved = (Rejection(before + one.index, one.reason) for one in later.rejections)
        return Sent(
            self.accepted + later.accepted,
            self.rejected + later.rejected,
            self.retries + later.retries,
            self.shed + later.shed,
            tuple(itertools.islice(itertools.chain(self.rejections, moved), 100)),
        )
