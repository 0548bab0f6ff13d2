"""Which devices are heard in a table, and which of them had not been heard for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.records import Flag

if TYPE_CHECKING:
    from watchkeeper.checking.state import CheckState
    from watchkeeper.packs import Floats, Ints, Table


class HeardAgain(NamedTuple):
    """A device that may have been silent: heard at `received` by a row, before that at `since`, which `was_live`."""

    slot: int
    row: int
    received: int
    since: int
    was_live: bool


def hear(state: CheckState, table: Table, slots: Ints, quiet_ms: Floats) -> list[HeardAgain]:
    """Note who was heard in a table; answers who may have been silent until then, which is before its first row.

    By device of the pack: its slot, and for how long it may be quiet. Changes `state`, except for what is in `silent`.
    """
    slot, rows = slots[table.device], np.arange(len(table))
    first, last = np.full(len(state.devices), -1), np.zeros(len(state.devices), np.int64)
    first[slot[::-1]] = rows[::-1]  # where a slot comes more than once, the last assignment stands
    last[slot] = rows
    present = np.flatnonzero(first >= 0)
    first, last = first[present], last[present]
    since, was_live = state.received[present], state.live[present]
    known, heard = since > 0, table.received[first]
    long = known & was_live & (heard - since >= quiet_ms[table.device[first]])
    if state.silent:
        long |= known & np.isin(present, list(state.silent))
    state.received[present] = np.maximum(since, table.received[last])
    state.ts[present] = np.where(known, np.maximum(state.ts[present], table.ts[last]), table.ts[last])
    state.live[present] = (table.flags[last] & Flag.BACKFILL) == 0
    again = (present[long], first[long], heard[long], since[long], was_live[long])
    return [HeardAgain(*each) for each in zip(*(column.tolist() for column in again), strict=True)]
