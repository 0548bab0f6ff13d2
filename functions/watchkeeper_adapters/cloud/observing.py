"""What of a stage's counts a cloud's functions make metrics of."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

COUNTED = (
    "messages", "bytes_in", "bytes_out", "accepted", "stored", "dead", "deduplicated", "shed", "anomalies", "alerts",
    "busy_us",
)  # fmt: skip
"""Clouds charge for each metric, so these only, and what the triggers themselves count."""

OF_TRIGGERS = "batch_"  # before the names of what triggers count


def is_metric(name: str) -> bool:
    """Whether a count becomes a metric."""
    return name in COUNTED or name.startswith(OF_TRIGGERS)


class Observer(Protocol):
    """A function's voice, as far as triggers use it. `counts` become metrics when an invocation ends."""

    counts: Counter[str]

    def lag(self, milliseconds: int) -> None:
        """How old the newest record of a partition was when it was taken."""
