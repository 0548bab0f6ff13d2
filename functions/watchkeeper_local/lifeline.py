"""Child processes that end when their parent does, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

# A fresh interpreter: no threads, connections or locks of the parent are copied into it.
_fresh = multiprocessing.get_context("spawn")


class Child:
    """A process that stops when a pipe closes, which the operating system does too when the parent is killed."""

    def __init__(self, name: str, main: Callable[..., None], *arguments: object) -> None:
        """Start it: `main(*arguments, stop)`, where `stop` is an event that is set when it is to end."""
        theirs, self._line = _fresh.Pipe(duplex=False)
        self.name = name
        self._process: BaseProcess = _fresh.Process(target=_run, args=(theirs, main, arguments), name=name, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    def stop(self, patience_s: float = 10.0) -> None:
        """Ask it to end, and wait; end it when it does not."""
        self._line.close()
        self._process.join(patience_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _run(line: Connection, main: Callable[..., None], arguments: tuple[object, ...]) -> None:
    # Ctrl-C reaches the whole group: the parent decides, and tells its children by the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(line, stop), daemon=True, name="lifeline").start()
    main(*arguments, stop)


def _watch(line: Connection, stop: threading.Event, grace_s: float = 20.0) -> None:
    try:
        line.recv_bytes()
    except (EOFError, OSError):
        stop.set()
    _later(grace_s)  # a process that hangs must not outlive its parent for long


def _later(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
