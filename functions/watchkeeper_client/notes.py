"""What went wrong, counted, and logged once for each kind: an application's log is not to be filled by its client."""

import logging
import threading

MOST_KINDS = 50  # names that vary must fill neither the log nor the memory
log = logging.getLogger("watchkeeper_client")


class Notes:
    """Counters of one client, and the kinds of trouble that have been logged."""

    def __init__(self) -> None:
        self.dropped = 0
        self.rejected = 0
        self._logged: set[str] = set()
        self._lock = threading.RLock()

    def drop(self, readings: int, kind: str, message: str) -> None:
        """Readings that were made, and will never arrive."""
        if readings:
            with self._lock:
                self.dropped += readings
            self.once(kind, message)

    def reject(self, count: int, kind: str, message: str) -> None:
        """Values that could not be taken, here or by the server."""
        if count:
            with self._lock:
                self.rejected += count
            self.once(kind, message)

    def once(self, kind: str, message: str) -> None:
        """Log a kind of trouble for the first time since it was last over."""
        with self._lock:
            if kind in self._logged or len(self._logged) >= MOST_KINDS:
                return
            self._logged.add(kind)
        log.warning("%s", message)

    def over(self, kind: str, message: str) -> None:
        """A kind of trouble has ended; should it come again, it is logged again."""
        with self._lock:
            if kind not in self._logged:
                return
            self._logged.remove(kind)
        log.info("%s", message)
