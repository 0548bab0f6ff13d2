"""DynamoDB and S3 throttled, away, or silent about what they have done; over the real protocol."""

import time

import pytest

from tests.emulators.aws import emulated, new_bucket, new_tables
from tests.emulators.interference import AWAY, FORBIDDEN, LOSE, SLOW_DOWN, THROTTLED, first, interfering
from watchkeeper.errors import Conflict, Refused, Unavailable
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key
from watchkeeper.topology import ALERTS, DEVICES, OUTBOX
from watchkeeper_aws import services
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.tables import DynamoTables

TABLE = DEVICES.name
KEY = Key("default", "pump-07")
ALWAYS = 10**9


@pytest.fixture
def between(no_pauses, aws):
    with interfering(aws.address) as interference:
        yield interference


@pytest.fixture
def tables(aws, between):
    return DynamoTables(emulated(between, "dynamodb"), new_tables(aws))


@pytest.fixture
def blobs(aws, between):
    return S3Blobs(emulated(between, "s3"), new_bucket(aws))


@pytest.fixture
def meter(aws, between):
    return DynamoMeter(emulated(between, "dynamodb"), new_tables(aws))


@pytest.mark.parametrize("wrong", [THROTTLED, AWAY, LOSE])
def test_a_short_trouble_of_dynamodb_is_not_noticed(tables, between, wrong):
    between.plan = first(1, wrong)
    version = tables.put(TABLE, KEY, b"row")
    between.plan = first(1, wrong)
    assert tables.get_many(TABLE, [KEY])[KEY] == (KEY, b"row", version)
    between.plan = first(1, wrong)
    assert len(tables.query(TABLE, "default")) == 1


@pytest.mark.parametrize("wrong", [THROTTLED, AWAY, FORBIDDEN, LOSE])
def test_a_long_trouble_of_dynamodb_is_unavailable(tables, meter, between, wrong):
    between.plan = first(ALWAYS, wrong)
    for ask in (
        lambda: tables.put(TABLE, KEY, b"row"),
        lambda: tables.put_many(TABLE, {KEY: b"row"}),
        lambda: tables.get_many(TABLE, [KEY]),
        lambda: tables.query(TABLE, "default"),
        lambda: meter.add("2026-01-31", "clean", {"accepted": 1}),
        lambda: meter.total("2026-01-31", "2026-01-31"),
    ):
        with pytest.raises(Unavailable, match="DynamoDB"):
            ask()


@pytest.mark.parametrize("wrong", [SLOW_DOWN, AWAY, LOSE])
def test_a_short_trouble_of_s3_is_not_noticed(blobs, between, wrong):
    between.plan = first(1, wrong)
    version = blobs.put("a", b"data")
    between.plan = first(1, wrong)
    assert blobs.get_many(["a"]) == {"a": (b"data", version)}
    between.plan = first(1, wrong)
    assert blobs.versions(["a"]) == {"a": version}
    between.plan = first(1, wrong)
    assert blobs.list("") == ["a"]


@pytest.mark.parametrize("wrong", [SLOW_DOWN, AWAY, FORBIDDEN, LOSE])
def test_a_long_trouble_of_s3_is_unavailable(blobs, between, wrong):
    between.plan = first(ALWAYS, wrong)
    for ask in (
        lambda: blobs.put("a", b""),
        lambda: blobs.put("a", b"", ABSENT),
        lambda: blobs.get_many(["a", "b"]),
        lambda: blobs.versions(["a", "b"]),
        lambda: blobs.list(""),
        lambda: blobs.delete(["a"]),
    ):
        with pytest.raises(Unavailable, match="S3"):
            ask()


def test_who_has_won_and_was_not_told_so_has_won(tables, blobs, between):
    """boto3 tries again; the service refuses what it has done already. Without this the batch would wait for itself."""
    for put, read in (
        (lambda *rest: tables.put(TABLE, KEY, *rest), lambda: tables.get_many(TABLE, [KEY])[KEY]),
        (lambda *rest: blobs.put("a", *rest), lambda: blobs.get_many(["a"])["a"]),
    ):
        between.plan = first(1, LOSE, lambda asked: asked.operation == "PutItem" or asked.method == "PUT")
        version = put(b"one", ABSENT)
        assert read().version == version
        between.plan = first(1, LOSE, lambda asked: asked.operation == "PutItem" or asked.method == "PUT")
        after = put(b"two", version)
        assert read()[-2:] == (b"two", after)
        with pytest.raises(Conflict):
            put(b"three", version)


def test_nobody_listens_is_unavailable(aws, no_pauses):
    with interfering(aws.address) as gone:
        tables, blobs = DynamoTables(emulated(gone, "dynamodb")), S3Blobs(emulated(gone, "s3"), "b")
    with pytest.raises(Unavailable, match="Could not connect"):
        tables.get_many(TABLE, [KEY])
    with pytest.raises(Unavailable, match="Could not connect"):
        blobs.versions(["a"])


def test_a_table_or_bucket_that_is_not_there_is_waited_for(aws, no_pauses):
    with pytest.raises(Unavailable, match="ResourceNotFound"):
        DynamoTables(emulated(aws, "dynamodb"), "nowhere-").put(TABLE, KEY, b"")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        S3Blobs(emulated(aws, "s3"), "nowhere").put("a", b"")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        S3Blobs(emulated(aws, "s3"), "nowhere").list("a")


def test_keys_left_unprocessed_are_asked_for_again_until_all_are_there(tables, between, monkeypatch):
    keys = [Key("default", f"pump-{number:03d}") for number in range(150)]
    for key in keys:
        tables.put(TABLE, key, key.sort.encode())
    real = tables._dynamodb.batch_get_item

    def half(RequestItems):  # noqa: N803 - boto3's name
        ((name, asked),) = RequestItems.items()
        some, rest = asked["Keys"][:40], asked["Keys"][40:]
        answer = real(RequestItems={name: asked | {"Keys": some}})
        return answer | {"UnprocessedKeys": {name: asked | {"Keys": rest}} if rest else {}}

    monkeypatch.setattr(tables._dynamodb, "batch_get_item", half)
    assert list(tables.get_many(TABLE, keys)) == keys


def test_keys_that_stay_unprocessed_are_unavailable(tables, monkeypatch):
    def nothing(RequestItems):  # noqa: N803 - boto3's name
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(tables._dynamodb, "batch_get_item", nothing)
    monkeypatch.setattr("watchkeeper_aws.tables.FIRST_PAUSE_S", 0.0)
    with pytest.raises(Unavailable, match="2 rows are still unprocessed"):
        tables.get_many(TABLE, [KEY, Key("default", "pump-08")])


def test_rows_left_unprocessed_are_written_again_until_all_are_there(tables, monkeypatch):
    rows = {Key("default", f"pump-{number:03d}"): b"%d" % number for number in range(60)}
    real = tables._dynamodb.batch_write_item

    def some(RequestItems):  # noqa: N803 - boto3's name
        ((name, asked),) = RequestItems.items()
        answer = real(RequestItems={name: asked[:10]})
        return answer | {"UnprocessedItems": {name: asked[10:]} if asked[10:] else {}}

    monkeypatch.setattr(tables._dynamodb, "batch_write_item", some)
    tables.put_many(TABLE, rows)
    assert {key: row.value for key, row in tables.get_many(TABLE, list(rows)).items()} == rows
    monkeypatch.setattr(
        tables._dynamodb, "batch_write_item", lambda **asked: {"UnprocessedItems": asked["RequestItems"]}
    )
    monkeypatch.setattr("watchkeeper_aws.tables.FIRST_PAUSE_S", 0.0)
    with pytest.raises(Unavailable, match="25 rows are still unprocessed after 8 tries"):
        tables.put_many(TABLE, rows)


def test_a_row_too_large_for_dynamodb_is_refused_and_not_waited_for(tables):
    with pytest.raises(Refused, match="Item size"):
        tables.put(TABLE, KEY, bytes(410_000))


def test_a_long_range_is_read_over_several_pages(aws, monkeypatch):
    tables = DynamoTables(emulated(aws, "dynamodb"), new_tables(aws))
    for number in range(60):
        tables.put(TABLE, Key("default", f"{number:03d}"), bytes(40_000))  # a page has 1 MB
    rows = tables.query(TABLE, "default", "005", "055")
    assert [row.key.sort for row in rows] == [f"{number:03d}" for number in range(5, 55)]
    backwards = tables.query(TABLE, "default", "005", "055", limit=45, descending=True)
    assert [row.key.sort for row in backwards] == [f"{number:03d}" for number in range(54, 9, -1)]


def test_a_row_that_has_ended_is_not_there_before_dynamodb_deletes_it(aws, no_pauses):
    dynamodb, prefix = emulated(aws, "dynamodb"), new_tables(aws)
    tables = DynamoTables(dynamodb, prefix, {OUTBOX.name: -1.0})
    tables.put(OUTBOX.name, KEY, b"gone")
    tables.put(TABLE, KEY, b"stays")
    assert tables.get_many(OUTBOX.name, [KEY]) == {}
    assert tables.query(OUTBOX.name, KEY.partition) == []
    assert tables.put(OUTBOX.name, KEY, b"anew", ABSENT)
    assert [row.value for row in tables.query(TABLE, KEY.partition)] == [b"stays"]
    told = dynamodb.describe_time_to_live(TableName=prefix + OUTBOX.name)["TimeToLiveDescription"]
    assert told["AttributeName"] == "ttl"


def test_what_happened_ends_in_thirteen_months_and_what_is_known_never(aws, no_pauses):
    dynamodb, prefix = emulated(aws, "dynamodb"), new_tables(aws)
    tables = DynamoTables(dynamodb, prefix)
    for table in (ALERTS, DEVICES):
        tables.put_many(table.name, {KEY: b""})
    (alert,), (device,) = (dynamodb.scan(TableName=prefix + table.name)["Items"] for table in (ALERTS, DEVICES))
    assert float(alert["ttl"]["N"]) == pytest.approx(time.time() + 400 * 86_400, abs=60)
    assert "ttl" not in device


def test_ended_rows_do_not_shorten_a_range(aws, no_pauses):
    dynamodb, prefix = emulated(aws, "dynamodb"), new_tables(aws)
    ended, living = DynamoTables(dynamodb, prefix, {TABLE: -1.0}), DynamoTables(dynamodb, prefix, {TABLE: 600.0})
    for number in range(20):
        (living if number % 4 == 0 else ended).put(TABLE, Key("default", f"{number:02d}"), b"")
    assert [row.key.sort for row in living.query(TABLE, "default", limit=4)] == ["00", "04", "08", "12"]


def test_a_meter_keeps_small_amounts_exactly_enough(aws, no_pauses):
    meter = DynamoMeter(emulated(aws, "dynamodb"), new_tables(aws))
    for _ in range(50):
        meter.add("2026-01-31", "rag_explain", {"usd": 0.1, "tiny": 1e-7})
    assert meter.total("2026-01-31", "2026-01-31") == {"rag_explain": {"usd": 5.0, "tiny": pytest.approx(5e-6)}}


def test_times_that_a_caller_waits_are_bounded():
    assert services.TRIES * (services.CONNECT_S + services.READ_S) < 30
