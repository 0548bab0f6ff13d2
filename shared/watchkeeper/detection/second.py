"""Reading the detector's state of format 2, which had one daily profile by the hours of UTC for all days of the week.

All is carried over. A profile goes on as that of working days, by the clocks of its device: where those are not UTC's
it is off by as much, and is believed less until it is learnt anew.
"""

from typing import Any

import msgspec
import numpy as np

from watchkeeper.detection.series import FIELDS, HOURS, INDEX, MOST_COUNTED, MOST_HOURS, RECORD, UNKNOWN, fresh

FIELDS_2 = (
    "last", "fast", "near", "wide", "slow", "smooth", "centre", "hour_mean", "prev_mean", "origin", "n", "spread",
    "near_spread", "wide_spread", "vol_spread", "vol", "short", "step", "changes", "repeats", "longest",
    "repeating", "smoothed", "wild", "gain", "middle", "hours", "hour_n", "plain_error", "season_error",
    "variance",
)  # fmt: skip
INDEX_2 = {name: row for row, name in enumerate(FIELDS_2)}
RECORD_2 = np.dtype(
    [
        ("anchor", "<f8"), ("fields", "<f4", (len(FIELDS_2),)), ("tails", "<u2", (35,)), ("profile", "<u2", (HOURS,)),
        ("hour", "i1"), ("prev_hour", "i1"), ("place", "u1"), ("counted", "<u2"), ("spare", "u1"),
    ]
)  # fmt: skip


class _Stored(msgspec.Struct, array_like=True):
    names: list[str]
    metrics: list[str]
    held: bytes
    metric: bytes
    devices: bytes
    series: bytes


def fresh_2(count: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Records of series never seen, as format 2 had them."""
    made = np.zeros(count, RECORD_2)
    made["hour"], made["prev_hour"], made["profile"] = -1, -1, UNKNOWN
    return made


def upgrade(content: Any) -> list[Any]:  # noqa: ANN401 - as a decoder without types gives it
    """The content of a state of format 2 as that of format 3; ValueError or TypeError: it is none."""
    stored = msgspec.convert(content, _Stored)
    old = np.frombuffer(stored.series, RECORD_2)
    made = fresh(old.size)
    for name in set(RECORD.names or ()) & set(RECORD_2.names or ()) - {"fields"}:
        made[name] = old[name]
    for name in set(FIELDS) & set(FIELDS_2):
        made["fields"][:, INDEX[name]] = old["fields"][:, INDEX_2[name]]
    for name, most in (("hours", MOST_HOURS), ("hour_n", MOST_COUNTED)):
        counts = old["fields"][:, INDEX_2[name]]
        if not (counts >= 0).all():
            raise ValueError(f"a series has impossible {name}")
        made[name] = np.minimum(counts, most)
    return [stored.names, stored.metrics, stored.held, stored.metric, stored.devices, made.tobytes()]
