"""Two threads: one cuts what was measured into batches, on time whatever the server does; the other sends them."""

import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

from watchkeeper_client.notes import Notes
from watchkeeper_client.post import Answer, Poster
from watchkeeper_client.spool import Batch, Spool
from watchkeeper_client.tally import Tally

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
LAST_WAIT_S = 0.3  # for the threads to let go of their file, where no request is under way
STEP_MS = 1_000  # a clock that was set back by less is waited for


class Engine:
    """Everything of a client that a fork does not copy: threads, connection, file."""

    def __init__(
        self, tally: Tally, head: Mapping[str, Any], interval_s: float, spool: Spool, poster: Poster, notes: Notes
    ) -> None:
        self.spool = spool
        self._tally, self._head, self._interval_s = tally, head, interval_s
        self._poster, self._notes = poster, notes
        self._changed = threading.Condition()
        self._stopping = False
        self._asked = self._cut_for = 0  # flushes asked for, and how many of them have had their cut
        self._appended, self._clear = 1, 0  # batches so far (1: what an earlier run left), and up to which all are gone
        self._tries = 0
        self._last_ms = 0
        self._cutter = threading.Thread(target=self._cut_on_time, name="watchkeeper-cut", daemon=True)
        self._sender = threading.Thread(target=self._send_on, name="watchkeeper-send", daemon=True)
        self._cutter.start()
        self._sender.start()

    def flush(self, timeout_s: float) -> bool:
        """Send now; did everything arrive within the time?"""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._cut_for >= mine and self._clear >= self._appended, timeout=max(timeout_s, 0.0)
            )

    def stop(self, timeout_s: float) -> None:
        """End both threads after a last cut; a request that hangs is left to its own end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._sender.join(max(timeout_s, LAST_WAIT_S))

    # --- the cutter -------------------------------------------------------------------------------------------------

    def _cut_on_time(self) -> None:
        due = time.monotonic() + self._interval_s
        stopping = False
        while not stopping:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._asked > self._cut_for, timeout=max(due - time.monotonic(), 0.0)
                )
                asked, stopping = self._asked, self._stopping
            now = time.monotonic()
            regular = now >= due
            if regular:
                due = max(due + self._interval_s, now)
            kept = self._cut(regular=regular)
            with self._changed:
                self._cut_for = asked
                self._appended += kept
                self._changed.notify_all()

    def _cut(self, *, regular: bool) -> bool:
        """Was there anything, and is it in the spool?"""
        try:
            readings = self._readings(self._tally.cut(regular=regular))
            if readings:
                body = json.dumps({"readings": readings}, allow_nan=False, separators=(",", ":")).encode()
                self.spool.append(readings[0]["ts"], body, len(readings))
        except Exception as error:  # noqa: BLE001 - the thread must go on, and the application must not notice
            self._notes.drop(1, "cut", f"what was measured in an interval is lost: {error!r}")
            return False
        return bool(readings)

    def _readings(self, pieces: list[dict[str, float]]) -> list[dict[str, Any]]:
        """Each with a time of its own: the same time with other values would be a correction."""
        readings: list[dict[str, Any]] = []
        for values in pieces:
            now = time.time_ns() // 1_000_000
            self._last_ms = self._last_ms + 1 if 0 <= self._last_ms - now < STEP_MS else now
            readings.append({**self._head, "ts": self._last_ms, "values": values})
        return readings

    # --- the sender -------------------------------------------------------------------------------------------------

    def _send_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._appended > self._clear)
                if self._stopping:
                    break
                seen, asked = self._appended, self._asked
            wait_s, told = self._send_oldest(seen)
            if wait_s:
                self._pause(wait_s, None if told else asked)
        self._poster.rest()
        self._cutter.join()
        self.spool.close()

    def _send_oldest(self, seen: int) -> tuple[float, bool]:
        """How long to wait before the next one, and whether the server said so."""
        try:
            batch = self.spool.oldest()
            if batch is not None:
                return self._settle(batch, self._poster.post(batch.key, batch.body))
        except Exception as error:  # noqa: BLE001 - the thread must go on, and the application must not notice
            self._notes.once("send", f"sending to {self._poster.shown} fails: {error!r}; it is tried again")
            return self._backoff(), False
        self._poster.rest()
        with self._changed:
            self._clear = seen
            self._changed.notify_all()
        return 0.0, False

    def _settle(self, batch: Batch, answer: Answer) -> tuple[float, bool]:
        shown = f"{self._poster.shown} answers {answer.status} {answer.text[:200]}"
        if answer.taken or answer.hopeless:
            self.spool.remove(batch)
            self._tries = 0
            self._notes.over("away", f"{self._poster.shown} takes readings again")
            if answer.hopeless:
                self._notes.drop(batch.readings, "refused", f"{shown}; such a batch is dropped")
            count, reason = answer.rejected if answer.taken else (0, "")
            self._notes.reject(count, "server", f"{self._poster.shown} does not take a reading: {reason}")
            return 0.0, False
        hint = {401: "; check api_key", 403: "; check api_key", 404: "; check the address"}.get(answer.status, "")
        trouble = f"{shown}{hint}" if answer.status else f"{self._poster.shown} cannot be reached ({answer.text})"
        self._notes.once("away", f"{trouble}; readings wait until it takes them")
        backoff = self._backoff()
        if answer.retry_after_s is None:
            return backoff, False
        return max(answer.retry_after_s, FIRST_WAIT_S / 10), True

    def _backoff(self) -> float:
        """Twice as long each time, by chance a little less: a fleet must not come back all at once."""
        self._tries += 1
        longest = min(FIRST_WAIT_S * 2.0 ** min(self._tries - 1, 10), LONGEST_WAIT_S)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _pause(self, wait_s: float, asked: int | None) -> None:
        """Wait; a flush after the one numbered `asked` ends it. What the server has asked for is waited in full."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or (asked is not None and self._asked > asked), timeout=wait_s
            )
