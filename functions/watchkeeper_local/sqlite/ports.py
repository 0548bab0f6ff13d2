"""The ports over one SQLite file, and its upkeep."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from watchkeeper.errors import ConfigError
from watchkeeper.ports import LanguageModel, Ports, Receiver
from watchkeeper_local.sqlite.blobs import SqliteBlobs
from watchkeeper_local.sqlite.database import Database
from watchkeeper_local.sqlite.meter import SqliteMeter
from watchkeeper_local.sqlite.schema import prepare
from watchkeeper_local.sqlite.stream import SqliteStream, log_committed, log_head
from watchkeeper_local.sqlite.tables import SqliteTables

FILE_NAME: Final = "watchkeeper.db"
PRUNE_SLICE: Final = 64  # messages deleted per transaction: a few milliseconds under the lock
ROWS_SLICE: Final = 500  # rows, which are smaller


def open_ports(
    data_dir: Path,
    *,
    partitions: int,
    shards: int,
    language_model: LanguageModel | None = None,
    receivers: Mapping[str, Receiver] | None = None,
    durable: bool = True,
) -> SqlitePorts:
    """The ports over the database in `data_dir`, made if it is not there.

    `durable=False` is for workers: see the package's docstring for what survives what. ConfigError: the folder or file
    cannot be used, or was made with other numbers of partitions or shards. Unavailable: somebody else holds it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{data_dir}: {error.strerror}: choose another data folder"
        raise ConfigError(message) from error
    database = Database(data_dir.resolve() / FILE_NAME, durable=durable)
    topics = prepare(database, partitions=partitions, shards=shards)
    _sync_folder(data_dir.resolve().parent)
    return SqlitePorts(
        stream=SqliteStream(database, partitions, topics),
        tables=SqliteTables(database),
        blobs=SqliteBlobs(database),
        meter=SqliteMeter(database),
        transaction=database.transaction,
        language_model=language_model,
        receivers=dict(receivers or {}),
        database=database,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePorts(Ports):
    """The ports, and what a file needs on top of them."""

    stream: SqliteStream
    database: Database

    def prune(self, topic_consumers: Mapping[str, Sequence[str]], keep: int = 0) -> int:
        """Delete what all groups of a topic have committed, but not a partition's last `keep` messages (at least one).

        Topics that are not named, or have no groups, are left alone. Answers how many messages were deleted. Between
        slices others get as long as a slice took.
        """
        deleted = 0
        for topic, groups in topic_consumers.items():
            for base in self._logs(topic) if groups else ():
                with self.database.reading() as connection:
                    needed = min(log_committed(connection, group, base) for group in groups) + 1
                    end = base + min(needed, log_head(connection, base) + 1 - max(keep, 1))
                while count := self._prune_slice(base, end):
                    deleted += count
        return deleted

    def end_rows(self, now_s: float) -> int:
        """Delete the rows that have ended by `now_s` (epoch seconds); how many they were. Slices are as in `prune`."""
        ended = "SELECT name, partition, sort FROM rows WHERE ends <= ? LIMIT ?"
        deleted = 0
        while True:
            started = time.monotonic()
            with self.database.transaction() as connection:
                rows = connection.execute(ended, (now_s, ROWS_SLICE)).fetchall()
                connection.executemany("DELETE FROM rows WHERE name = ? AND partition = ? AND sort = ?", rows)
            deleted += len(rows)
            if len(rows) < ROWS_SLICE:
                return deleted
            time.sleep(time.monotonic() - started)

    def lag(self, topic_consumers: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
        """By group and topic, how many messages the group has not committed yet."""
        lag: dict[tuple[str, str], int] = {}
        with self.database.reading() as connection:
            for topic, groups in topic_consumers.items():
                heads = {base: log_head(connection, base) for base in self._logs(topic)}
                for group in groups:
                    behind = (max(0, head - log_committed(connection, group, base)) for base, head in heads.items())
                    lag[group, topic] = sum(behind)
        return lag

    def size(self) -> int:
        """Bytes on the disk: the file and its log. Space that was freed is used again, and not given back."""
        files = (Path(f"{self.database.path}{suffix}") for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file in this process; no thread may be using it. What is used later opens it again."""
        self.database.close()

    def _logs(self, topic: str) -> Iterator[int]:
        return (self.stream.base(topic, partition) for partition in range(self.stream.partitions(topic)))

    def _prune_slice(self, base: int, end: int) -> int:
        started = time.monotonic()
        with self.database.transaction() as connection:
            first = connection.execute("SELECT id FROM messages WHERE id >= ? ORDER BY id LIMIT 1", (base,)).fetchone()
            if first is None or first[0] >= end:
                return 0
            span = (first[0], min(end, first[0] + PRUNE_SLICE))
            count = connection.execute("DELETE FROM messages WHERE id >= ? AND id < ?", span).rowcount
        time.sleep(time.monotonic() - started)
        return count


def _sync_folder(folder: Path) -> None:
    """A new folder survives losing power only if the one above it is flushed; SQLite does it for its own files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
