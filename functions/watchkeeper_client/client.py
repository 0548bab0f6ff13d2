"""The client: what an application calls. A call costs microseconds, never waits for the network, and never raises."""

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from watchkeeper_client import lifetime
from watchkeeper_client.engine import Engine
from watchkeeper_client.notes import Notes
from watchkeeper_client.post import Poster
from watchkeeper_client.spool import Spool
from watchkeeper_client.tally import Tally
from watchkeeper_client.timer import Timer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
LEAST_BUFFER = 100_000


class Client:
    """Sends what an application measures as readings of one device, every `interval` seconds.

    Wrong arguments raise ValueError here, at the start of the application; nothing raises afterwards. `buffer` is the
    folder for what cannot be sent yet, with at most `buffer_bytes` of it; `timeout` is how long a request may take.
    """

    def __init__(  # noqa: PLR0913 - all but the address go by name
        self,
        url: str,
        *,
        device: str,
        api_key: str | None = None,
        site: str | None = None,
        tags: Mapping[str, str | float | bool] | None = None,
        interval: float = 10.0,
        buffer: str | os.PathLike[str] | None = None,
        buffer_bytes: int = 10_000_000,
        timeout: float = 10.0,
        ca_file: str | None = None,
    ) -> None:
        for what, name in (("device", device), ("site", site)):
            if name is not None and not NAME.fullmatch(name):
                raise ValueError(f"{what}: {name!r} is no name; letters, digits and . _ : @ - are, up to 128")
        if interval <= 0 or timeout <= 0 or buffer_bytes < LEAST_BUFFER:
            raise ValueError(f"interval and timeout are seconds above 0; buffer_bytes is at least {LEAST_BUFFER}")
        self._head: dict[str, Any] = {"device": device}
        self._head |= ({"site": site} if site else {}) | ({"tags": _checked(tags)} if tags else {})
        self._connection = (url, api_key, ca_file, timeout)
        Poster(*self._connection)
        self._interval_s = float(interval)
        self._buffer = (Path(buffer) if buffer else _usual_folder(url, device), buffer_bytes)
        self._closed = False
        self._engine: Engine | None = None
        self.forget()
        lifetime.clients.add(self)
        try:
            self._resume()
        except RuntimeError as error:
            self._notes.once("threads", f"no thread can be started now ({error}); it is tried again")

    @property
    def dropped(self) -> int:
        """Readings that were lost: the buffer was full, or the server refuses such a batch."""
        return self._notes.dropped

    @property
    def rejected(self) -> int:
        """Values that were wrong, and readings that the server did not take out of a batch that it took."""
        return self._notes.rejected

    def gauge(self, name: str, value: float) -> None:
        """A value that is what it is now; the latest of each interval is sent."""
        try:
            self._tally.gauge(name, value)
            if self._engine is None:
                self._resume()
        except Exception as error:  # noqa: BLE001 - measuring must not harm what is measured
            self._wrong(name, error)

    def increment(self, name: str, by: float = 1) -> None:
        """So many more; the sum of each interval is sent."""
        try:
            self._tally.increment(name, by)
            if self._engine is None:
                self._resume()
        except Exception as error:  # noqa: BLE001 - as in gauge
            self._wrong(name, error)

    def timer(self, name: str) -> Timer:
        """A context manager or decorator; sends `NAME.ms` (mean), `NAME.ms.max` and `NAME.count` of each interval."""

        def take(milliseconds: float) -> None:
            try:
                self._tally.time(name, milliseconds)
                if self._engine is None:
                    self._resume()
            except Exception as error:  # noqa: BLE001 - as in gauge
                self._wrong(name, error)

        return Timer(take)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send now, and wait for that; False: not all of it has arrived within `timeout` seconds. It is kept."""
        engine = self._engine
        return engine.flush(timeout) if engine is not None else not self._closed

    def close(self, timeout: float = 5.0) -> None:
        """Send what there is for at most `timeout` seconds; what is left is sent by the next run."""
        until = time.monotonic() + timeout
        self._closed = True
        lifetime.clients.discard(self)
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.flush(timeout)
            engine.stop(until - time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def engine(self) -> Engine | None:
        """For `lifetime`: what runs now."""
        return self._engine

    def forget(self) -> Engine | None:
        """For `lifetime`: begin with nothing, as in the child of a fork."""
        engine, self._engine = self._engine, None
        self._starting = threading.Lock()
        self._notes = Notes()
        self._tally = Tally()
        return engine

    def _resume(self) -> None:
        """Start the threads: at first, and by the first value in the child of a fork."""
        if self._closed:
            raise ValueError("the client is closed: what is measured now goes nowhere")
        with self._starting:
            if self._engine is None:
                poster, spool = Poster(*self._connection), Spool(*self._buffer, self._notes)
                self._engine = Engine(self._tally, self._head, self._interval_s, spool, poster, self._notes)

    def _wrong(self, name: str, error: Exception) -> None:
        with contextlib.suppress(Exception):  # even a log handler may fail
            self._notes.reject(1, f"value of {name!r:.80}", f"a value is not taken: {error}")


def _checked(tags: Mapping[str, object]) -> dict[str, object]:
    for name, value in tags.items():
        if not 1 <= len(name) <= 64 or not isinstance(value, (str, int, float)) or len(str(value)) > 256:
            raise ValueError(f"tags: {name!r}: {value!r} is none; a name of up to 64, a text of up to 256, a number is")
    return dict(tags)


def _usual_folder(url: str, device: str) -> Path:
    """One for each server and device, where the XDG base directories put what outlives a run."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    server = hashlib.sha256(url.encode()).hexdigest()[:8]
    return Path(state).expanduser() / "watchkeeper-client" / f"{device}-{server}"
