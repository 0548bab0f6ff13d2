"""What must be remembered of conditions to count how often they begin, or to see them follow each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.knowledge.rules import Rule

GRACE_MS = (
    600_000  # readings that are in time may be a little out of order: what is forgotten is older than any of them
)


def count(marks: list[int], ts: int, *, fires: bool, clears: bool, rule: Rule) -> bool:
    """Has a condition begun to hold `times` within `within_ms`, as of this reading?

    It begins anew only after it was clear. `marks` are whether it has been since (1: it has), and then the times at
    which it began, the latest `times` of them; empty: at rest. Changes `marks`.
    """
    if not marks:
        marks.append(1)
    if fires and marks[0]:
        marks[0] = 0
        marks.append(ts)
        del marks[1 : -rule.times]
    elif clears:
        marks[0] = 1
    enough = sum(ts - began <= rule.within_ms for began in marks[1:]) >= rule.times
    if marks[0] and ts - max(marks[1:], default=0) > rule.within_ms + GRACE_MS:
        marks.clear()
    return enough


def waiting_for_clear(marks: Mapping[int, list[int]]) -> list[int]:
    """The slots for which the condition of `count` still holds, so that only a clear reading can change anything."""
    return [slot for slot, of in marks.items() if not of[0]]


def follow_steps(marks: list[int], ts: int, held: Sequence[bool], within: int) -> bool:
    """Have the steps held one after the other within `within` ms, and was that no longer ago than that?

    `marks` are, for each step, the latest time at which a first step held that led so far, and the time at which all
    had; 0: not so; empty: at rest. A step must hold at a later reading than the one before it. Changes `marks`.
    """
    if len(marks) != len(held) + 1:  # at rest, or of a rule that had other steps
        marks[:] = [0] * (len(held) + 1)
    for step in range(len(held) - 1, 0, -1):
        if held[step] and marks[step - 1] and ts - marks[step - 1] <= within:
            marks[step] = max(marks[step], marks[step - 1])
            if step == len(held) - 1:
                marks[-1] = ts
    if held[0]:
        marks[0] = ts
    for place, at in enumerate(marks):
        if at and ts - at > within:
            marks[place] = 0
    complete = bool(marks[-1])
    if not any(marks):
        marks.clear()
    return complete
