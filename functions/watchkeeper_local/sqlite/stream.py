"""The stream: a message is a row, its place the row's key."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from watchkeeper.ports import Message, Stored
from watchkeeper.topology import TOPICS
from watchkeeper_local.sqlite.database import Database
from watchkeeper_local.sqlite.schema import MAX_PARTITIONS

OFFSET_BITS: Final = 40  # 10¹² messages a partition; above them 12 bits of partition and 11 of topic
LOG_SPAN: Final = 1 << OFFSET_BITS

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


def log_base(topic_number: int, partition: int) -> int:
    """The row id of offset 0 of a partition; those of the others follow it."""
    return (topic_number * MAX_PARTITIONS + partition) << OFFSET_BITS


def log_head(connection: sqlite3.Connection, base: int) -> int:
    """The highest offset of a partition, −1 if it never had one: pruning keeps the last message for this."""
    select = "SELECT id FROM messages WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(select, (base, base + LOG_SPAN)).fetchone()
    return row[0] - base if row else -1


class SqliteStream:
    """Topics in one table. Offsets are dense; writers take turns, so what has a higher offset was committed later."""

    def __init__(self, database: Database, partitions: int, topics: Mapping[str, int]) -> None:
        self._database = database
        self._partitions = partitions
        self._topics = topics

    def partitions(self, topic: str) -> int:
        return self._partitions if TOPICS[topic].sharded else 1

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        count = self.partitions(topic)
        logs: dict[int, list[tuple[int, str | None, bytes]]] = defaultdict(list)
        for shard, value, headers in messages:
            said = msgspec.json.encode(headers).decode() if headers else None
            logs[self.base(topic, shard % count)].append((shard, said, value))
        with self._database.transaction() as connection:
            for base, rows in logs.items():
                following = base + log_head(connection, base) + 1
                placed = [(following + place, *row) for place, row in enumerate(rows)]
                connection.executemany("INSERT INTO messages (id, shard, headers, value) VALUES (?, ?, ?, ?)", placed)

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        base = self.base(topic, partition)
        span = (base + after, base + LOG_SPAN, limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, shard, value, headers FROM messages WHERE id > ? AND id < ? ORDER BY id LIMIT ?", span
            ).fetchall()
        return [
            Stored(place - base, shard, value, _decode_headers(said) if said else {})
            for place, shard, value, said in rows
        ]

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO commits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position",
                (group, self.base(topic, partition), offset),
            )

    def committed(self, group: str, topic: str, partition: int) -> int:
        with self._database.reading() as connection:
            return log_committed(connection, group, self.base(topic, partition))

    def base(self, topic: str, partition: int) -> int:
        """See `log_base`."""
        return log_base(self._topics[topic], partition)


def log_committed(connection: sqlite3.Connection, group: str, base: int) -> int:
    """What a group has committed of a partition, −1: nothing yet."""
    row = connection.execute("SELECT position FROM commits WHERE reader = ? AND log = ?", (group, base)).fetchone()
    return row[0] if row else -1
