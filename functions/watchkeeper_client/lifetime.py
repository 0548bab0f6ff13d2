"""The clients of this process, for the two moments that none of them sees coming: a fork, and the end."""

import atexit
import contextlib
import os
import time
from typing import Protocol

from watchkeeper_client.engine import Engine

AT_EXIT_S = 2.0
AT_FORK_S = 1.0


class Living(Protocol):
    """A client that has not been closed."""

    def close(self, timeout: float) -> None:
        """Send what there is for so many seconds, and end."""

    def forget(self) -> Engine | None:
        """Begin anew in the child of a fork; answers the engine that is the parent's."""

    def engine(self) -> Engine | None:
        """What it runs now."""


clients: set[Living] = set()
_held: list[Engine] = []
_of_parents: list[Engine] = []  # never freed: closing the connections in a child would be noticed by nobody but SQLite


def _before_fork() -> None:
    """No thread may be inside SQLite while its memory is copied. A disk that hangs is not waited for."""
    engines = [client.engine() for client in list(clients)]
    _held[:] = [engine for engine in engines if engine and engine.spool.guard.acquire(timeout=AT_FORK_S)]


def _in_parent() -> None:
    for engine in _held:
        engine.spool.guard.release()
    _held.clear()


def _in_child() -> None:
    """What was measured before the fork is the parent's to send; the child's first value starts threads of its own."""
    _held.clear()
    for client in list(clients):
        with contextlib.suppress(Exception):  # a fork is not the place to fail
            engine = client.forget()
            if engine is not None:
                engine.spool.abandon()
                _of_parents.append(engine)


def _at_exit() -> None:
    """All of them together have two seconds; what is not sent by then is on disk."""
    until = time.monotonic() + AT_EXIT_S
    for client in list(clients):
        client.close(max(until - time.monotonic(), 0.1))


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
