"""What librdkafka says, as lines of our log that do not flood it.

A client that is refused, or whose broker is away, tries again several times a second, and says so each time.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)
QUIET_S = 60.0  # after a line, for all that say the same
KINDS = 100  # that are told apart, at most
_PLACE = re.compile(r"^.*?\]: |\S+://\S+: |\d+")  # who says it, of which broker, and after how long


class Voice:
    """One for all clients of a connection: each kind of line once a minute, and how many of it were left out."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: dict[str, tuple[float, int]] = {}  # by kind: when, and how many were left out since
        self._lock = threading.Lock()

    def say(self, level: int, text: str, todo: str) -> None:
        """A line; `todo`: what to do about it, where that is known."""
        kind = todo or _PLACE.sub("", text)
        now = time.monotonic()
        with self._lock:
            at, left_out = self._said.get(kind, (float("-inf"), 0))
            if now - at < QUIET_S:
                self._said[kind] = (at, left_out + 1)
                return
            if len(self._said) >= KINDS:
                self._said.clear()
            self._said[kind] = (now, 0)
        more = f" ({left_out} lines that say the same were left out)" if left_out else ""
        log.log(level, "Kafka: %s%s%s", f"{todo}. " if todo else "", text, more)


class ClientLog:
    """What a client of librdkafka takes for its logger. `advise` says what to do about a line, or nothing."""

    def __init__(self, voice: Voice, advise: Callable[[str], str]) -> None:
        self._voice, self._advise = voice, advise

    def log(self, level: int, form: str, *parts: object) -> None:
        """As `logging.Logger.log`."""
        text = form % parts
        self._voice.say(level, text, self._advise(text))
