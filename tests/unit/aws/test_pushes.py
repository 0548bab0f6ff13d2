"""Pushes by WebSocket: to whom, in which form, and that they never hold anybody up; over real requests."""

import json
import time

import msgspec
import pytest

from tests.emulators.aws import CREDENTIALS, REGION, emulated, new_tables
from tests.emulators.interference import THROTTLED, first, interfering
from tests.emulators.listeners import listening
from tests.emulators.two_at_once import Held
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.pushes import Pushes
from watchkeeper_aws.services import client
from watchkeeper_aws.sockets import PARTITION, Listener
from watchkeeper_aws.tables import DynamoTables

ALERT = Alert(
    id="0001700000000000-a",
    tenant="acme",
    site="north",
    device="pump-07",
    device_class="pump",
    detector="rule:flow",
    status="firing",
    severity=Severity.CRITICAL,
    title="Flow is low",
    opened=1_700_000_000_000,
    ts=1_700_000_000_000,
)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tables(aws):
    return DynamoTables(emulated(aws, "dynamodb"), new_tables(aws))


def connect(tables, *names, tenant="acme"):
    for name in names:
        tables.put(CONNECTIONS, Key(PARTITION, name), msgspec.json.encode(Listener("eva", tenant, 1)))


def connected(tables):
    return [row.key.sort for row in tables.query(CONNECTIONS, PARTITION)]


def pushes(tables, gateway, wait_s=1.0, **bounds):
    there = client("apigatewaymanagementapi", region=REGION, endpoint=gateway.url, tries=1, wait_s=wait_s)
    return Pushes(tables, there, **bounds)


def test_listeners_of_the_tenant_are_sent_the_alert_as_http_gives_it(tables):
    connect(tables, "a=", "b=")
    connect(tables, "c=", tenant="other")
    seen = Acknowledgement(ALERT.id, "acme", "eva", 7, "on my way")
    tables.put(ACKNOWLEDGEMENTS.name, Key("acme", ALERT.id), msgspec.json.encode(seen))
    with listening("a=", "b=", "c=") as gateway:
        assert pushes(tables, gateway).tell([ALERT]) == {"batch_pushes": 2}
        assert gateway.sent["c="] == []
        assert gateway.sent["a="] == gateway.sent["b="]
        (frame,) = gateway.sent["a="]
    told = json.loads(frame)
    assert set(told) == {"type", "alert"}
    assert told["type"] == "alert"
    alert = told["alert"]
    assert (alert["id"], alert["status"], alert["category"], alert["pages"]) == (ALERT.id, "firing", "", True)
    assert (alert["acknowledged_by"], alert["acknowledged_at"], alert["note"]) == ("eva", 7, "on my way")


def test_who_has_gone_is_forgotten_and_asked_no_more(tables):
    connect(tables, "a", "b")
    with listening("b") as gateway:
        other = msgspec.structs.replace(ALERT, id="0001700000000001-b")
        assert pushes(tables, gateway).tell([ALERT, other]) == {"batch_pushes": 2}
        assert (gateway.asked, connected(tables)) == (3, ["b"])


def test_what_is_too_large_for_a_frame_is_to_be_asked_for(tables):
    connect(tables, "a")
    with listening("a") as gateway:
        assert pushes(tables, gateway).tell([msgspec.structs.replace(ALERT, title="x" * 130_000)]) == {
            "batch_pushes": 1
        }
        assert json.loads(gateway.sent["a"][0]) == {"type": "alert", "id": ALERT.id, "ask": "/api/alerts"}


def test_number_and_time_are_bounded_and_what_is_left_out_is_counted(tables):
    connect(tables, *(f"c{number:02d}" for number in range(20)))
    names = connected(tables)
    with listening(*names) as gateway:
        assert pushes(tables, gateway, most=15).tell([ALERT]) == {"batch_pushes": 15, "batch_pushes_left_out": 5}
        gateway.slow_s, gateway.asked = 0.3, 0  # 0.3 s each, and 0.1 s is waited
        started = time.monotonic()
        counts = pushes(tables, gateway, wait_s=0.1, longest_s=0.5).tell([ALERT])
        assert time.monotonic() - started < 3
    assert counts["batch_push_failures"] >= 1
    assert counts["batch_pushes_left_out"] == 20 - counts["batch_push_failures"] > 0
    assert connected(tables) == names


@pytest.mark.parametrize("slow", ["table", "gateway"])
def test_a_request_is_waited_for_no_longer_than_there_is_time(tables, aws, slow):
    connect(tables, "a", "b")
    with listening("a", "b") as gateway, interfering(aws.address) as between:
        there = client("dynamodb", region=REGION, endpoint=f"http://{between.address}", tries=1, wait_s=20.0)
        held = Held(lambda _asked: slow == "table")
        between.plan, gateway.slow_s = held, 3.0 if slow == "gateway" else 0.0
        started = time.monotonic()
        counts = pushes(DynamoTables(there, tables._prefix), gateway, wait_s=20.0, longest_s=0.7).tell([ALERT])
        took = time.monotonic() - started
        held.let_go.set()
    assert took < 2.5
    assert counts["batch_push_failures"] == 1
    assert counts["batch_pushes_left_out"] == (1 if slow == "gateway" else 0)


def test_failures_are_counted_and_nothing_is_raised(tables, aws):
    connect(tables, "a", "b")
    with listening("a", "b") as gateway:
        gateway.broken = True
        assert pushes(tables, gateway).tell([ALERT]) == {"batch_push_failures": 2}
        gateway.broken = False
        with interfering(aws.address) as between:
            between.plan = first(10**9, THROTTLED)
            there = client("dynamodb", region=REGION, endpoint=f"http://{between.address}", tries=1)
            assert pushes(DynamoTables(there), gateway).tell([ALERT]) == {"batch_push_failures": 1}
        gateway.secret = "another"
        assert pushes(tables, gateway).tell([ALERT]) == {"batch_push_failures": 2}
        assert gateway.sent == {"a": [], "b": []}
    assert connected(tables) == ["a", "b"]
