"""Batches that wait to be sent, on disk: bounded, in order, there again after a restart."""

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from watchkeeper_client.notes import Notes

try:
    import fcntl
except ImportError:  # no POSIX: without locks two processes need two folders
    fcntl = None  # type: ignore[assignment]

SLOTS = 256
LOOK_S = 60.0  # how often to look whether another process has ended and left something
OLDEST = "SELECT key, body, readings FROM batches ORDER BY at, id LIMIT 1"
SCHEMA = """CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, at INTEGER NOT NULL, readings INTEGER NOT NULL, body BLOB NOT NULL
)"""
FULL = "the buffer of what could not be sent is full; the oldest is dropped, and counted in `dropped`"


class Batch(NamedTuple):
    """A body that is sent under one key however often it is tried."""

    key: str
    body: bytes
    readings: int


class Spool:
    """One SQLite file, and a lock that says whose it is; opened by the first call that needs it.

    Each process and each client has its own, `0.db`, `1.db`, … in the folder. Who opens one also takes over what those
    that have ended left behind. Where the disk cannot be written, batches wait in memory instead.
    """

    def __init__(self, folder: Path, limit: int, notes: Notes) -> None:
        self.guard = threading.Lock()  # held while SQLite works, so that a fork can wait until it does not
        self._folder, self._limit, self._notes = folder, limit, notes
        self._db: sqlite3.Connection | None = None
        self._locks: list[int] = []
        self._bytes = 0
        self._file: Path | None = None
        self._looked = 0.0

    def append(self, at_ms: int, body: bytes, readings: int) -> None:
        """Keep a batch, and drop the oldest while there is more than may be."""
        row = (uuid.uuid4().hex, at_ms, readings, body)
        with self.guard:
            try:
                self._insert(row)
            except (sqlite3.Error, OSError) as error:
                self._use_memory(error)
                self._insert(row)

    def oldest(self) -> Batch | None:
        """The batch that is to be sent next."""
        with self.guard:
            db = self._opened()
            row = db.execute(OLDEST).fetchone()
            if row is None and self._file is not None and time.monotonic() - self._looked > LOOK_S:
                self._take_over(db)
                row = db.execute(OLDEST).fetchone()
            return Batch(*row) if row else None

    def remove(self, batch: Batch) -> None:
        """It has been answered."""
        with self.guard:
            if self._opened().execute("DELETE FROM batches WHERE key = ?", (batch.key,)).rowcount:
                self._bytes -= len(batch.body)

    def close(self) -> None:
        """Leave the file to whoever comes next."""
        with self.guard:
            if self._db is not None:
                self._db.close()
            self._db = None
            self.abandon()

    def abandon(self) -> None:
        """Let go of the locks; in the child of a fork, which has only copies, its parent keeps them."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _insert(self, row: tuple[str, int, int, bytes]) -> None:
        db = self._opened()
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO batches (key, at, readings, body) VALUES (?, ?, ?, ?)", row)
            size, dropped = self._bytes + len(row[3]), 0
            while size > self._limit:
                oldest = db.execute("SELECT id, length(body), readings FROM batches ORDER BY at, id LIMIT 1").fetchone()
                db.execute("DELETE FROM batches WHERE id = ?", oldest[:1])
                size, dropped = size - oldest[1], dropped + oldest[2]
        self._bytes = size
        self._notes.drop(dropped, "full", FULL)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._db = self._claim()
            except (sqlite3.Error, OSError) as error:
                self._use_memory(error)
        assert self._db is not None  # noqa: S101 - both ways above have set it
        return self._db

    def _use_memory(self, error: Exception) -> None:
        message = f"{self._folder} cannot be written ({error}): what cannot be sent waits in memory only"
        self._notes.once("disk", message)
        self._db, self._bytes, self._file = _open(":memory:"), 0, None

    def _claim(self) -> sqlite3.Connection:
        """The first file that is nobody's, with what is in the others that are nobody's."""
        for slot in range(SLOTS):
            file = self._folder / f"{slot}.db"
            lock = _try_lock(file.with_suffix(".lock"))
            if lock is not None:
                self._locks.append(lock)
                mine = _open_or_anew(file)
                self._file = file
                self._take_over(mine)
                return mine
        raise OSError(f"all of its {SLOTS} files are in use")

    def _take_over(self, mine: sqlite3.Connection) -> None:
        self._looked = time.monotonic()
        for file in (self._folder / f"{slot}.db" for slot in range(SLOTS)):
            if file == self._file or not file.exists():
                continue
            lock = _try_lock(file.with_suffix(".lock"))
            if lock is not None:
                try:
                    _move(file, mine)
                finally:
                    os.close(lock)
        self._bytes = mine.execute("SELECT coalesce(sum(length(body)), 0) FROM batches").fetchone()[0]


def _open(file: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=1.0, isolation_level=None, check_same_thread=False)
    # A journal beside the file, not a write-ahead log: a connection that a fork has copied may then simply be dropped.
    db.execute("PRAGMA journal_mode = TRUNCATE")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(SCHEMA)
    db.execute("SELECT key, at, readings, body FROM batches LIMIT 1").fetchone()
    return db


def _open_or_anew(file: Path) -> sqlite3.Connection:
    try:
        return _open(file)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # not a database, or no longer one
        file.replace(file.with_suffix(".broken"))
        return _open(file)


def _move(file: Path, into: sqlite3.Connection) -> None:
    """Rows of a file that nobody has any more; a crash in between leaves some in both, under the same keys."""
    try:
        left = _open_or_anew(file)
        with contextlib.closing(left), into:
            into.execute("BEGIN IMMEDIATE")
            rows = left.execute("SELECT key, at, readings, body FROM batches ORDER BY at, id")
            into.executemany("INSERT OR IGNORE INTO batches (key, at, readings, body) VALUES (?, ?, ?, ?)", rows)
        file.unlink()
    except (sqlite3.Error, OSError):
        return  # it stays where it is, for a later start


def _try_lock(file: Path) -> int | None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
    return descriptor
