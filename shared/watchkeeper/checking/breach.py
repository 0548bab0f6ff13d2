"""One rule of one device, followed reading by reading: at rest, pending, open, clearing, at rest."""

from __future__ import annotations

from typing import Literal

from watchkeeper.checking.state import Breach

TELL_MS = 60_000  # an open episode speaks up at most this often, event time

Edge = Literal["open", "update", "clear"]


def follow(breach: Breach, ts: int, *, fires: bool, clears: bool, hold_ms: int) -> Edge | None:
    """Take one reading (event time in epoch ms) and say whether an episode opens, goes on or clears.

    A rule must be broken for `hold_ms` before it opens, and clear as long before it clears; between its fire and
    clear levels nothing changes but the pending time. Changes `breach`.
    """
    if not breach.opened:
        breach.pending = (breach.pending or ts) if fires else 0
        if not fires or ts - breach.pending < hold_ms:
            return None
        breach.opened, breach.told, breach.count = ts, ts, 1
        return "open"
    breach.count += 1
    breach.clearing = (breach.clearing or ts) if clears else 0
    if clears and ts - breach.clearing >= hold_ms:
        return "clear"
    if fires and ts - breach.told >= TELL_MS:
        breach.told = ts
        return "update"
    return None


def at_rest(breach: Breach) -> bool:
    """Is there nothing left to remember?"""
    return not breach.pending and not breach.opened
