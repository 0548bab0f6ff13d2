"""Secrets of a service, kept for some minutes, so that a changed one is used without a new deployment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from watchkeeper.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)
KEPT_S = 300.0


class KeptSecrets:
    """Secrets by name, read by `read` (Unavailable: it cannot). While it cannot, what was read before stays in use."""

    def __init__(
        self, read: Callable[[str], str], *, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._kept_s, self._clock = read, kept_s, clock
        self._held: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def text(self, name: str) -> str:
        """What the secret says. Unavailable: it cannot be read, and never was."""
        with self._lock:
            held = self._held.get(name)
            if held and self._clock() < held[1]:
                return held[0]
            try:
                text = self._read(name)
            except Unavailable as error:
                if held is None:
                    raise
                log.error("a secret is used as it was read before: %s", error)
                return held[0]
            self._held[name] = (text, self._clock() + self._kept_s)
            return text

    def fields(self, name: str) -> dict[str, str]:
        """The parts of a secret that is a JSON object of texts. ConfigError: it is none; nothing of it is shown."""
        try:
            return msgspec.json.decode(self.text(name), type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"secret {name}: a JSON object of texts is expected") from error
