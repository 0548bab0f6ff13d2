"""The file itself: what is refused, what is survived, and its upkeep."""

import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.outcome import ANYWAY
from watchkeeper.ports import Key, Message
from watchkeeper.topology import DASHBOARD_ALERTS, DATA_PROCESSING_OUTPUT, DEAD_LETTER, LIFETIMES_S
from watchkeeper_local.sqlite import database, open_ports

TOPIC, ALERTS, DEAD = DATA_PROCESSING_OUTPUT.name, DASHBOARD_ALERTS.name, DEAD_LETTER.name
CONSUMERS = {TOPIC: ["store", "audit"], ALERTS: ["notify"], DEAD: []}


@pytest.fixture
def ports(tmp_path):
    ports = open_ports(tmp_path, partitions=2, shards=8)
    yield ports
    ports.close()


def connection_of(ports):
    with ports.database.reading() as connection:
        return connection


def offsets(ports, topic=TOPIC, partition=0):
    return [message.offset for message in ports.stream.read(topic, partition, -1, 1000)]


def test_everything_is_there_after_reopening(tmp_path, ports):
    ports.stream.append(TOPIC, [Message(1, b"message", {"a": "b"})])
    ports.stream.commit("store", TOPIC, 1, 0)
    row = ports.tables.put("devices", Key("p", "s"), b"row")
    blob = ports.blobs.put("key", b"data")
    ports.meter.add("2026-01-31", "clean", {"accepted": 1})
    ports.close()
    again = open_ports(tmp_path, partitions=2, shards=8)
    assert again.stream.read(TOPIC, 1, -1, 10) == [(0, 1, b"message", {"a": "b"})]
    assert again.stream.committed("store", TOPIC, 1) == 0
    assert again.tables.query("devices", "p") == [(Key("p", "s"), b"row", row)]
    assert again.blobs.get_many(["key"]) == {"key": (b"data", blob)}
    assert again.meter.total("2026-01-31", "2026-01-31") == {"clean": {"accepted": 1}}
    again.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"partitions": 3, "shards": 8}, "2 partitions, and 3"), ({"partitions": 2, "shards": 64}, "8 shards, and 64")],
)
def test_other_numbers_than_those_of_the_first_use_are_refused(tmp_path, ports, asked, said):
    with pytest.raises(ConfigError, match=rf"watchkeeper\.db: made with {said} are asked for now; .* set "):
        open_ports(tmp_path, **asked)


@pytest.mark.parametrize("asked", [{"partitions": 0, "shards": 8}, {"partitions": 5000, "shards": 8}])
def test_numbers_that_cannot_be_are_refused(tmp_path, asked):
    with pytest.raises(ConfigError, match="must be between 1 and 4096"):
        open_ports(tmp_path, **asked)


def test_a_shard_at_least_is_asked_for(tmp_path):
    with pytest.raises(ConfigError, match="must be at least 1"):
        open_ports(tmp_path, partitions=1, shards=0)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    (tmp_path / "watchkeeper.db").write_bytes(b"not a database\n" * 1000)
    with pytest.raises(ConfigError, match=r"watchkeeper\.db: .*not a database"):
        open_ports(tmp_path, partitions=2, shards=8)
    assert (tmp_path / "watchkeeper.db").read_bytes().startswith(b"not a database")


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "watchkeeper.db") as foreign:
        foreign.execute("CREATE TABLE notes (text TEXT)")
    foreign.close()
    before = (tmp_path / "watchkeeper.db").read_bytes()
    with pytest.raises(ConfigError, match="another program"):
        open_ports(tmp_path, partitions=2, shards=8)
    assert (tmp_path / "watchkeeper.db").read_bytes() == before


def test_a_database_of_another_schema_is_refused(tmp_path, ports):
    connection_of(ports).execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="schema 99, and this release reads 1 to 2"):
        open_ports(tmp_path, partitions=2, shards=8)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another data folder"):
        open_ports(tmp_path / "file", partitions=2, shards=8)


def test_a_database_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "watchkeeper.db").mkdir()
    with pytest.raises(ConfigError, match="is it a file"):
        open_ports(tmp_path, partitions=2, shards=8)


def test_damage_found_later_stops_the_work_and_is_nobodys_poison(tmp_path, ports):
    ports.blobs.put("key", b"x" * 1_000_000)
    ports.close()
    with (tmp_path / "watchkeeper.db").open("r+b") as file:
        file.seek(-500_000, 2)
        file.write(b"\xff" * 500_000)
    with pytest.raises(Unavailable, match=r"watchkeeper\.db: .* restore a copy"):
        ports.blobs.get_many(["key"])


def test_a_lock_held_for_too_long_is_unavailable_for_writers_and_nothing_to_readers(ports, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_S", 0.05)
    with ports.transaction(), ThreadPoolExecutor(1) as other:
        ports.stream.append(TOPIC, [Message(0, b"held back")])
        assert other.submit(offsets, ports).result() == []
        with pytest.raises(Unavailable, match=rf"^{re.escape(str(ports.database.path))}: database is locked"):
            other.submit(ports.stream.append, TOPIC, [Message(0, b"impatient")]).result()
    assert offsets(ports) == [0]


def test_a_full_disk_is_unavailable_and_the_transaction_leaves_nothing_even_if_nobody_minds(ports):
    ports.stream.append(TOPIC, [Message(0, b"before")])
    connection_of(ports).execute("PRAGMA max_page_count=20")

    def mind_nothing():
        with ports.transaction():
            ports.tables.put("devices", Key("p", "s"), b"small")
            with pytest.raises(Unavailable):
                ports.blobs.put("key", b"x" * 1_000_000)
            with pytest.raises(Unavailable):
                ports.tables.put("devices", Key("p", "t"), b"small")

    with pytest.raises(Unavailable, match="make room"):
        mind_nothing()
    assert ports.tables.query("devices", "p") == []
    connection_of(ports).execute("PRAGMA max_page_count=1000000")
    ports.blobs.put("key", b"x" * 1_000_000)
    assert offsets(ports) == [0]


def test_pruning_keeps_what_a_group_still_needs_and_the_last_message(ports):
    ports.stream.append(TOPIC, [Message(shard, b"x") for _ in range(200) for shard in (0, 1)])
    assert ports.prune(CONSUMERS) == 0
    ports.stream.commit("store", TOPIC, 0, 199)
    assert ports.prune(CONSUMERS) == 0
    ports.stream.commit("audit", TOPIC, 0, 149)
    assert ports.prune(CONSUMERS) == 150
    assert offsets(ports) == list(range(150, 200))
    assert offsets(ports, partition=1) == list(range(200))
    ports.stream.commit("audit", TOPIC, 0, 199)
    assert ports.prune(CONSUMERS, keep=10) == 40
    assert ports.prune(CONSUMERS) == 9
    assert offsets(ports) == [199]


def test_offsets_go_on_where_they_were_after_everything_was_pruned(tmp_path, ports):
    ports.stream.append(ALERTS, [Message(0, b"x")] * 5)
    ports.stream.commit("notify", ALERTS, 0, 4)
    assert ports.prune(CONSUMERS) == 4
    ports.close()
    ports.stream.append(ALERTS, [Message(0, b"y")])
    assert [message.offset for message in ports.stream.read(ALERTS, 0, 4, 10)] == [5]


def test_topics_that_nobody_consumes_or_that_are_not_named_are_not_pruned(ports):
    for topic in (DEAD, TOPIC):
        ports.stream.append(topic, [Message(0, b"x")] * 3)
    assert ports.prune({DEAD: []}) == 0
    assert offsets(ports, DEAD) == offsets(ports) == [0, 1, 2]


def test_a_file_that_is_pruned_stops_growing(tmp_path, ports):
    sizes = []
    for _ in range(4):
        ports.stream.append(ALERTS, [Message(0, b"x" * 50_000)] * 40)
        ports.stream.commit("notify", ALERTS, 0, offsets(ports, ALERTS)[-1])
        ports.prune(CONSUMERS)
        ports.close()
        sizes.append(ports.size())
    assert sizes[0] > 40 * 50_000
    assert sizes[3] < sizes[0] * 1.1


def test_lag_counts_what_each_group_has_not_committed(ports):
    ports.stream.append(TOPIC, [Message(shard, b"x") for _ in range(10) for shard in (0, 1)])
    ports.stream.commit("store", TOPIC, 0, 9)
    ports.stream.commit("store", TOPIC, 1, 6)
    ports.stream.commit("audit", TOPIC, 0, 0)
    expected = {("store", TOPIC): 3, ("audit", TOPIC): 19, ("notify", ALERTS): 0}
    assert ports.lag(CONSUMERS) == expected
    ports.prune(CONSUMERS)
    assert ports.lag(CONSUMERS) == expected


def test_rows_of_what_happened_end_and_those_of_devices_do_not(ports):
    for table in ("alerts", "devices"):
        ports.tables.put(table, Key("p", "old"), b"old")
    written = time.time()
    assert ports.end_rows(written + LIFETIMES_S["alerts"] - 60) == 0
    ports.tables.put_many("alerts", {Key("p", f"{number:04d}"): b"" for number in range(1200)})
    assert ports.end_rows(written + LIFETIMES_S["alerts"] + 60) == 1201
    assert ports.tables.query("alerts", "p") == []
    assert [row.value for row in ports.tables.query("devices", "p")] == [b"old"]


@pytest.mark.parametrize("written", ["replaced", "overwritten"])
def test_a_row_that_is_written_again_ends_later(ports, written):
    first = ports.tables.put("alerts", Key("p", "s"), b"first")
    with ports.database.transaction() as connection:
        connection.execute("UPDATE rows SET ends = 1")
    ports.tables.put("alerts", Key("p", "s"), b"second", first if written == "replaced" else ANYWAY)
    assert ports.end_rows(time.time()) == 0


def test_a_file_of_the_first_schema_is_read_and_its_rows_end_from_now_on(tmp_path, ports):
    ports.tables.put_many("alerts", {Key("p", "s"): b"alert"})
    ports.tables.put_many("devices", {Key("p", "s"): b"device"})
    with ports.database.transaction() as connection:
        for statement in ("DROP INDEX rows_by_end", "ALTER TABLE rows DROP COLUMN ends", "PRAGMA user_version=1"):
            connection.execute(statement)
    ports.close()
    again = open_ports(tmp_path, partitions=2, shards=8)
    assert again.end_rows(time.time() + LIFETIMES_S["alerts"] - 60) == 0
    assert again.end_rows(time.time() + LIFETIMES_S["alerts"] + 60) == 1
    assert again.tables.query("devices", "p")
    again.close()
