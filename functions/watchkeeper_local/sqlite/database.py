"""One SQLite file (WAL) shared by processes and threads: its connections and its transactions.

A connection belongs to one thread of one process. Writers queue for the file; readers wait for nobody.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from watchkeeper.errors import ConfigError, Unavailable

PATIENCE_S = 10.0  # how long a writer queues before it says Unavailable
PAGE_BYTES: Final = 16_384
WAL_BYTES: Final = (
    64 << 20
)  # the longer the log, the fewer copies of a state that is rewritten all the time are copied on

_PRAGMAS: Final = (
    f"page_size={PAGE_BYTES}",  # measured best for 1 KB to 64 KB values; heeded only while the file is empty
    "fullfsync=ON",  # macOS: its plain fsync stops at the drive's cache
    "checkpoint_fullfsync=ON",
    f"wal_autocheckpoint={WAL_BYTES // PAGE_BYTES}",
    f"journal_size_limit={WAL_BYTES}",
    "cache_size=-8192",  # KiB: a whole batch's pages, so that none is written twice
    "secure_delete=OFF",  # some builds overwrite what is deleted, which doubles the writes of pruning
)


class _Session:
    """One thread's connection, and whether it is in a transaction (and what has spoilt it)."""

    __slots__ = ("__weakref__", "connection", "spoilt", "writing")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.writing = False
        self.spoilt: Exception | None = None

    def __del__(self) -> None:
        self.connection.close()


class Database:
    """The file at `path`. `durable`: commits are on the disk when they return; else losing power may undo the last."""

    _local: threading.local
    _lock: threading.Lock
    _sessions: weakref.WeakSet[_Session]

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._synchronous = "FULL" if durable else "NORMAL"
        self._forget()
        _databases.add(self)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write: all of it or nothing. Inside another one of the same thread it is a part of that one."""
        session = self._session()
        with self._explained(session):
            if session.writing:
                _refuse_spoilt(session)
                yield session.connection
                return
            try:
                _queue(session.connection)
                session.writing = True
                yield session.connection
                _refuse_spoilt(session)
                session.connection.execute("COMMIT")
            except BaseException:
                self._undo(session)
                raise
            finally:
                session.writing = False
                session.spoilt = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read at one point in time; inside a transaction of the same thread, what that one has written so far."""
        session = self._session()
        with self._explained(session):
            if session.writing:
                yield session.connection
                return
            session.connection.execute("BEGIN")
            try:
                yield session.connection
            finally:
                self._undo(session)

    def connect(self) -> sqlite3.Connection:
        """A new connection. Raises sqlite3.Error, and ConfigError in a process that was forked too late."""
        if self.path in _inherited:
            message = (
                f"{self.path}: this process was forked from one that had the file open, and SQLite's locks do not "
                "survive a fork: start processes with 'spawn', or before the ports are used"
            )
            raise ConfigError(message)
        connection = sqlite3.connect(
            self.path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            for pragma in (*_PRAGMAS, f"synchronous={self._synchronous}"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the connections of all threads of this process; none of them may be in use."""
        sessions = list(self._sessions)
        self._forget()
        for session in sessions:
            session.connection.close()

    def forked(self) -> None:
        """In the child of a fork: what was inherited is neither used nor closed, either would spoil the parent's."""
        if self._sessions:
            _inherited.setdefault(self.path, []).extend(self._sessions)
        self._forget()

    def _forget(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._sessions = weakref.WeakSet()

    def _session(self) -> _Session:
        session: _Session | None = getattr(self._local, "session", None)
        if session is None:
            with self._explained(None):
                session = _Session(self.connect())
            with self._lock:
                self._sessions.add(session)
            self._local.session = session
        return session

    def _undo(self, session: _Session) -> None:
        """Roll back; a connection that cannot is given up, which rolls back too."""
        try:
            if session.connection.in_transaction:
                session.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._local.session = None
            session.connection.close()

    @contextlib.contextmanager
    def _explained(self, session: _Session | None) -> Iterator[None]:
        """Turn SQLite's errors into ours. Whatever goes wrong in SQLite spoils the transaction it happens in."""
        try:
            yield
        except sqlite3.Error as error:
            ours = explain(self.path, error)
            if session and session.writing:
                session.spoilt = ours or error
            if ours is None:
                raise
            raise ours from error


def _queue(connection: sqlite3.Connection) -> None:
    """Begin to write, when it is our turn. SQLite's own waiting sleeps longer and longer, and the patient starve."""
    deadline = time.monotonic() + PATIENCE_S
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout={PATIENCE_S * 1000:.0f}")


def _refuse_spoilt(session: _Session) -> None:
    if session.spoilt:
        raise session.spoilt


_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process has held the lock for too long; it will be tried again",
    sqlite3.SQLITE_LOCKED: "another thread has held the lock for too long; it will be tried again",
    sqlite3.SQLITE_PROTOCOL: "the lock cannot be had; it will be tried again",
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk and the system's log",
    sqlite3.SQLITE_READONLY: "the file, its -wal and its folder must be writable",
    sqlite3.SQLITE_CANTOPEN: "the file or its folder has gone, or may not be opened",
    sqlite3.SQLITE_NOMEM: "not enough memory",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop Watchkeeper and restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is damaged: stop Watchkeeper and restore a copy",
}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code for what went wrong, without the finer points."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def explain(path: Path, error: sqlite3.Error) -> Unavailable | None:
    """What stops the work until somebody mends it, damage included; None: a mistake of this program."""
    advice = _ADVICE.get(primary_code(error))
    return Unavailable(f"{path}: {error}: {advice}") if advice else None


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: dict[Path, list[_Session]] = {}


def _after_fork() -> None:
    for database in list(_databases):
        database.forked()


os.register_at_fork(after_in_child=_after_fork)
