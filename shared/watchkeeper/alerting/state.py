"""What notify remembers: deliveries on their way, and alerts that nobody has acknowledged yet."""

from __future__ import annotations

import msgspec

from watchkeeper.codec import StructCodec
from watchkeeper.records import Delivery

VERSION = 1


class Unanswered(msgspec.Struct, array_like=True, frozen=True):
    """A firing alert that wakes somebody: when it was last said (wall time), and how often it was said again."""

    tenant: str
    said: int
    again: int = 0


class NotifyState(msgspec.Struct, array_like=True):
    """State of notify. `pending` by receiver and delivery; `unanswered` by alert."""

    v: int
    pending: dict[str, Delivery]
    unanswered: dict[str, Unanswered]


NOTIFY_CODEC = StructCodec(NotifyState, lambda: NotifyState(VERSION, {}, {}))
