"""Cosmos DB and Blob Storage throttled, away, or silent about what they have done; over the real protocols."""

import types

import pytest

from tests.emulators.azure import container_of, database_of, new_container, new_tables
from tests.emulators.cosmos.server import cosmos_stand_in
from tests.emulators.interference import (
    AWAY,
    FORBIDDEN,
    FORBIDDEN_BY_ROLE,
    GONE,
    LOSE,
    SLOW_DOWN,
    TOO_MANY,
    first,
    interfering,
)
from watchkeeper.errors import Conflict, Refused, Unavailable
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key
from watchkeeper.topology import ALERTS, DEVICES, OUTBOX
from watchkeeper_azure import cosmos, services
from watchkeeper_azure.blobs import AzureBlobs
from watchkeeper_azure.meter import CosmosMeter
from watchkeeper_azure.tables import CosmosTables, item_id

TABLE = DEVICES.name
KEY = Key("default", "pump-07")
ALWAYS = 10**9
DAY = "2026-01-31"


@pytest.fixture
def tables_between(no_azure_pauses, cosmos_server):
    with interfering(cosmos_server.address) as between:
        between.key = cosmos_server.key
        yield between


@pytest.fixture
def database(tables_between):
    database = database_of(tables_between)
    yield database
    database.close()


@pytest.fixture
def prefix(cosmos_server):
    return new_tables(cosmos_server)


@pytest.fixture
def tables(database, prefix):
    return CosmosTables(database, prefix)


@pytest.fixture
def meter(database, prefix):
    return CosmosMeter(database, prefix)


@pytest.fixture
def between(no_azure_pauses, blob_server):
    with interfering(blob_server.address) as interference:
        yield interference


@pytest.fixture
def blobs(blob_server, between):
    with container_of(between, new_container(blob_server)) as container:
        yield AzureBlobs(container)


@pytest.mark.parametrize("wrong", [TOO_MANY, GONE, LOSE])
def test_a_short_trouble_of_cosmos_db_is_not_noticed(tables, meter, tables_between, wrong):
    tables_between.plan = first(1, wrong)
    version = tables.put(TABLE, KEY, b"row")
    tables_between.plan = first(1, wrong)
    assert tables.get_many(TABLE, [KEY])[KEY] == (KEY, b"row", version)
    tables_between.plan = first(1, wrong)
    assert len(tables.query(TABLE, "default")) == 1
    tables_between.plan = first(1, wrong)
    tables.put_many(TABLE, {Key("default", f"{number}"): b"" for number in range(5)})
    assert len(tables.query(TABLE, "default")) == 6
    meter.add(DAY, "clean", {"accepted": 1})
    tables_between.plan = first(1, wrong)
    meter.add(DAY, "clean", {"accepted": 1})
    # A meter may count twice what was added and not answered.
    assert meter.total(DAY, DAY)["clean"]["accepted"] == (3 if wrong == LOSE else 2)


@pytest.mark.parametrize("wrong", [TOO_MANY, GONE, FORBIDDEN_BY_ROLE, LOSE])
def test_a_long_trouble_of_cosmos_db_is_unavailable(tables, meter, tables_between, wrong):
    tables_between.plan = first(ALWAYS, wrong)
    for ask in (
        lambda: tables.put(TABLE, KEY, b"row"),
        lambda: tables.put(TABLE, KEY, b"row", ABSENT),
        lambda: tables.put_many(TABLE, {KEY: b"row"}),
        lambda: tables.get_many(TABLE, [KEY]),
        lambda: tables.query(TABLE, "default"),
        lambda: meter.add(DAY, "clean", {"accepted": 1}),
        lambda: meter.total(DAY, DAY),
    ):
        with pytest.raises(Unavailable, match="Cosmos DB"):
            ask()


@pytest.mark.parametrize("wrong", [SLOW_DOWN, AWAY, LOSE])
def test_a_short_trouble_of_blob_storage_is_not_noticed(blobs, between, wrong):
    between.plan = first(1, wrong)
    version = blobs.put("a", b"data")
    between.plan = first(1, wrong)
    assert blobs.get_many(["a"]) == {"a": (b"data", version)}
    between.plan = first(1, wrong)
    assert blobs.versions(["a"]) == {"a": version}
    between.plan = first(1, wrong)
    assert blobs.list("") == ["a"]
    between.plan = first(1, wrong)
    blobs.delete(["a"])
    assert blobs.list("") == []


@pytest.mark.parametrize("wrong", [SLOW_DOWN, AWAY, FORBIDDEN, LOSE])
def test_a_long_trouble_of_blob_storage_is_unavailable(blobs, between, wrong):
    between.plan = first(ALWAYS, wrong)
    for ask in (
        lambda: blobs.put("a", b""),
        lambda: blobs.put("a", b"", ABSENT),
        lambda: blobs.get_many(["a", "b"]),
        lambda: blobs.versions(["a", "b"]),
        lambda: blobs.list(""),
        lambda: blobs.delete(["a"]),
    ):
        with pytest.raises(Unavailable, match="blob"):
            ask()


def test_who_has_won_and_was_not_told_so_has_won(tables, tables_between, blobs, between):
    """It is tried again, and refused since it is done already. Without this the batch would wait for itself."""
    for put, read, middle in (
        (lambda *rest: tables.put(TABLE, KEY, *rest), lambda: tables.get_many(TABLE, [KEY])[KEY], tables_between),
        (lambda *rest: blobs.put("a", *rest), lambda: blobs.get_many(["a"])["a"], between),
    ):
        tables.get_many(TABLE, [KEY])
        middle.plan = first(1, LOSE, lambda asked: asked.method in {"PUT", "POST"})
        version = put(b"one", ABSENT)
        assert read().version == version
        middle.plan = first(1, LOSE, lambda asked: asked.method in {"PUT", "POST"})
        after = put(b"two", version)
        assert read()[-2:] == (b"two", after)
        with pytest.raises(Conflict):
            put(b"three", version)


def test_nobody_listens_is_unavailable(no_azure_pauses, cosmos_server, blob_server):
    with interfering(cosmos_server.address) as gone:
        nowhere = types.SimpleNamespace(address=gone.address, key=cosmos_server.key)
    with pytest.raises(Unavailable, match="Cosmos DB devices"):
        CosmosTables(database_of(nowhere)).get_many(TABLE, [KEY])
    with container_of(nowhere, "lake") as container, pytest.raises(Unavailable, match="blob a"):
        AzureBlobs(container).versions(["a"])


def test_a_database_that_was_away_is_found_when_it_is_back(no_azure_pauses, cosmos_server, prefix):
    with interfering(cosmos_server.address) as between:
        between.key = cosmos_server.key
        between.plan = first(ALWAYS, GONE)
        tables = CosmosTables(database_of(between), prefix)
        with pytest.raises(Unavailable):
            tables.put(TABLE, KEY, b"row")
        between.plan = lambda _asked: None
        assert tables.put(TABLE, KEY, b"row", ABSENT)


def test_a_container_that_is_not_there_is_waited_for(no_azure_pauses, database, blob_server):
    nowhere = CosmosTables(database, "nowhere-")
    for ask in (
        lambda: nowhere.put(TABLE, KEY, b""),
        lambda: nowhere.put(TABLE, KEY, b"", "version"),
        lambda: nowhere.get_many(TABLE, [KEY]),
        lambda: nowhere.query(TABLE, "default"),
        lambda: nowhere.delete(TABLE, KEY),
    ):
        with pytest.raises(Unavailable, match="Cosmos DB nowhere-devices: there is no such container"):
            ask()
    with container_of(blob_server, "nowhere") as container:
        blobs = AzureBlobs(container)
        for ask in (
            lambda: blobs.put("a", b""),
            lambda: blobs.put("a", b"", "version"),
            lambda: blobs.get_many(["a"]),
            lambda: blobs.versions(["a"]),
            lambda: blobs.delete(["a"]),
            lambda: blobs.list("a"),
        ):
            with pytest.raises(Unavailable, match="404"):
                ask()


def test_a_row_too_large_for_cosmos_db_is_refused_and_not_waited_for(tables):
    with pytest.raises(Refused, match="Cosmos DB devices: 413"):
        tables.put(TABLE, KEY, bytes(2_000_000) + b"\xff")


def test_many_large_rows_are_written_in_several_transactions(tables, tables_between):
    rows = {Key("default", f"{number:03d}"): bytes(200_000) for number in range(12)}
    rows |= {Key(f"tenant-{number}", "one"): b"" for number in range(3)}
    tables.put_many(TABLE, rows)
    assert {key: row.value for key, row in tables.get_many(TABLE, list(rows)).items()} == rows
    written = [asked for asked in tables_between.asked if asked.method == "POST" and asked.path.endswith("/docs/")]
    assert len(written) == 3 + 3  # five rows of 267 KB in base64 at most


def test_a_long_range_is_read_over_several_pages(tables, cosmos_server):
    for number in range(30):
        tables.put(TABLE, Key("default", f"{number:03d}"), bytes(5_000))
    cosmos_server.page = 4
    try:
        rows = tables.query(TABLE, "default", "005", "025")
        assert [row.key.sort for row in rows] == [f"{number:03d}" for number in range(5, 25)]
        backwards = tables.query(TABLE, "default", "005", "025", limit=15, descending=True)
        assert [row.key.sort for row in backwards] == [f"{number:03d}" for number in range(24, 9, -1)]
    finally:
        cosmos_server.page = 1000


def test_a_row_ends_when_its_table_says_so():
    with cosmos_stand_in() as server:
        database = database_of(server)
        tables = CosmosTables(database, new_tables(server), {OUTBOX.name: 60.0})
        tables.put(OUTBOX.name, KEY, b"ends")
        tables.put(TABLE, KEY, b"stays")
        server.ahead_s = 59
        assert [row.value for row in tables.query(OUTBOX.name, KEY.partition)] == [b"ends"]
        server.ahead_s = 61
        assert tables.get_many(OUTBOX.name, [KEY]) == {}
        assert tables.query(OUTBOX.name, KEY.partition) == []
        assert tables.put(OUTBOX.name, KEY, b"anew", ABSENT)
        assert [row.value for row in tables.query(TABLE, KEY.partition)] == [b"stays"]
        database.close()


def test_what_happened_ends_in_thirteen_months_and_what_is_known_never():
    with cosmos_stand_in() as server:
        database = database_of(server)
        tables = CosmosTables(database, new_tables(server))
        for table in (ALERTS, DEVICES):
            tables.put_many(table.name, {KEY: b""})
        server.ahead_s = 400 * 86_400 - 60
        assert tables.get_many(ALERTS.name, [KEY])
        server.ahead_s = 400 * 86_400 + 60
        assert tables.get_many(ALERTS.name, [KEY]) == {}
        assert tables.get_many(DEVICES.name, [KEY])
        database.close()


def test_a_row_can_be_deleted_and_one_that_is_not_there_is_no_error(tables):
    tables.put(TABLE, KEY, b"row")
    for _ in range(2):
        tables.delete(TABLE, KEY)
    assert tables.get_many(TABLE, [KEY]) == {}


def test_what_the_database_charges_is_metered(cosmos_server, prefix):
    database = database_of(cosmos_server)
    tables, meter = CosmosTables(database, prefix), CosmosMeter(database, prefix, with_charges=True)
    before = cosmos_server.charged
    tables.put_many(TABLE, {Key("default", f"{number}"): b"x" for number in range(10)})
    tables.query(TABLE, "default")
    spent = cosmos_server.charged - before
    meter.add(DAY, "clean", {"accepted": 10})
    assert meter.total(DAY, DAY)["clean"] == {"accepted": 10, "request_units": pytest.approx(spent)}
    assert spent > 10 * 5 + 10
    database.close()


def test_charges_that_cannot_be_metered_are_metered_later(tables_between, database, prefix):
    tables, meter = CosmosTables(database, prefix), CosmosMeter(database, prefix, with_charges=True)
    tables.put(TABLE, KEY, b"x")
    tables_between.plan = first(ALWAYS, GONE)
    with pytest.raises(Unavailable):
        meter.add(DAY, "clean", {"accepted": 1})
    tables_between.plan = lambda _asked: None
    meter.add(DAY, "clean", {"accepted": 1})
    assert meter.total(DAY, DAY)["clean"]["request_units"] >= 5


def test_a_meter_takes_more_amounts_than_one_patch_and_any_name(meter):
    amounts = {f"n{number}": float(number) for number in range(1, 24)} | {"a/b": 1.0, "~": 2.0}
    meter.add(DAY, "clean", amounts)
    meter.add(DAY, "clean", amounts)
    assert meter.total(DAY, DAY) == {"clean": {name: 2 * amount for name, amount in amounts.items()}}


@pytest.mark.parametrize("sort", ["", "a/b\\c?d#e", "pump 7", "é" * 300, "x" * 2000])
def test_every_sort_key_has_an_id_that_is_its_own(tables, sort):
    tables.put(TABLE, Key("default", sort), b"row")
    tables.put(TABLE, Key("default", sort + "0"), b"other")
    assert tables.get_many(TABLE, [Key("default", sort)])[Key("default", sort)].value == b"row"
    assert len(item_id(sort)) <= 255


def test_times_that_a_caller_waits_are_bounded():
    assert cosmos.TRIES * (cosmos.CONNECT_S + cosmos.READ_S) < 30
    assert (services.RETRIES + 1) * (services.CONNECT_S + services.READ_S) < 30
