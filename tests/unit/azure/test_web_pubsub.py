"""Pushes by Web PubSub: to whom, in which form, and that they never hold anybody up; over HTTPS and WebSockets."""

import time
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from tests.emulators.azure import database_of, new_tables
from tests.emulators.interference import GONE, first, interfering
from tests.emulators.vault import Identity
from tests.emulators.web_pubsub import LARGEST, PROTOCOL, web_pubsub
from tests.emulators.websocket import NotLetInError, connected
from watchkeeper.errors import Refused, Unavailable
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS
from watchkeeper_azure.pushes import Pushes, group_of
from watchkeeper_azure.services import Services
from watchkeeper_azure.settings import Settings
from watchkeeper_azure.tables import CosmosTables
from watchkeeper_azure.web_pubsub import MINUTES, WebPubSub

ALERT = Alert(
    id="0001700000000000-a",
    tenant="acme/north",
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
OURS, THEIRS = group_of("acme/north"), group_of("other")


class ForAnotherService(Identity):
    def get_token(self, *scopes, **more):
        return super().get_token(*(f"{scope} of another" for scope in scopes), **more)


@pytest.fixture
def pubsub(tmp_path):
    with web_pubsub(tmp_path) as served:
        yield served


@pytest.fixture
def open_service(pubsub):
    made = []

    def make(identity=None, wait_s=1.0):
        options = {"connection_timeout": wait_s, "read_timeout": wait_s, "connection_verify": pubsub.authority}
        made.append(WebPubSub(pubsub.url, identity or Identity(), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def service(open_service):
    return open_service()


@pytest.fixture
def tables(cosmos_server):
    database = database_of(cosmos_server)
    yield CosmosTables(database, new_tables(cosmos_server))
    database.close()


def alerts(number):
    return [msgspec.structs.replace(ALERT, id=f"a-{each:03d}") for each in range(number)]


# --- to whom, and in which form -------------------------------------------------------------------------------------


def test_an_alert_comes_to_who_listens_for_its_tenant_as_http_gives_it_and_to_nobody_else(pubsub, service, tables):
    seen = Acknowledgement(ALERT.id, ALERT.tenant, "eva", 7, "on my way")
    tables.put(ACKNOWLEDGEMENTS.name, Key(ALERT.tenant, ALERT.id), msgspec.json.encode(seen))
    ours, theirs = service.url_for("eva@example.com", OURS), service.url_for("bob", THEIRS)
    with (
        connected(ours, pubsub.authority, PROTOCOL) as eva,
        connected(ours, pubsub.authority) as plain,
        connected(theirs, pubsub.authority, PROTOCOL) as bob,
    ):
        hello = eva.next()
        assert (eva.protocol, hello["event"], hello["userId"]) == (PROTOCOL, "connected", "eva@example.com")
        assert bob.next()["event"] == "connected"
        assert Pushes(tables, service).tell([ALERT]) == {"batch_pushes": 1}
        envelope = eva.next()
        assert (envelope["from"], envelope["group"], envelope["dataType"]) == ("group", OURS, "json")
        assert plain.next() == envelope["data"]
        assert bob.next(0.3) is None
    alert = envelope["data"]["alert"]
    assert set(envelope["data"]) == {"type", "alert"}
    assert (alert["id"], alert["status"], alert["pages"]) == (ALERT.id, "firing", True)
    assert (alert["acknowledged_by"], alert["acknowledged_at"], alert["note"]) == ("eva", 7, "on my way")


def test_who_listens_may_do_nothing_else(pubsub, service):
    with (
        connected(service.url_for("eva", OURS), pubsub.authority, PROTOCOL) as eva,
        connected(service.url_for("bob", THEIRS), pubsub.authority, PROTOCOL) as bob,
    ):
        assert {eva.next()["event"], bob.next()["event"]} == {"connected"}
        for number, kind in enumerate(("sendToGroup", "joinGroup", "leaveGroup")):
            eva.say({"type": kind, "group": THEIRS, "ackId": number, "dataType": "json", "data": {}})
            ack = eva.next()
            assert (ack["ackId"], ack["success"], ack["error"]["name"]) == (number, False, "Forbidden")
        service.send(THEIRS, b'{"only": "theirs"}')
        assert bob.next()["data"] == {"only": "theirs"}
        assert eva.next(0.3) is None


def test_an_address_ends_soon_and_is_for_one_group(pubsub, service):
    url = service.url_for("eva", OURS)
    ((path, query),) = pubsub.asked
    assert path == "/api/hubs/watchkeeper/:generateToken"
    assert (query["group"], query["minutesToExpire"], query.get("role")) == ([OURS], [str(MINUTES)], None)
    changed = url.replace("access_token=", "access_token=x")
    for wrong in (changed, url.partition("?")[0] + "?access_token=", url.replace("/hubs/watchkeeper", "/hubs/another")):
        with pytest.raises(NotLetInError, match="401"), connected(wrong, pubsub.authority):
            pass
    now = time.time()
    pubsub.clock = lambda: now + MINUTES * 60 + 1
    with pytest.raises(NotLetInError, match="401"), connected(url, pubsub.authority):
        pass
    assert len(parse_qs(urlsplit(url).query)["access_token"][0].split(".")) == 3


def test_what_is_too_large_for_a_message_is_to_be_asked_for(pubsub, service, tables):
    with connected(service.url_for("eva", OURS), pubsub.authority) as eva:
        told = Pushes(tables, service).tell([msgspec.structs.replace(ALERT, title="x" * 130_000)])
        assert told == {"batch_pushes": 1}
        assert eva.next() == {"type": "alert", "id": ALERT.id, "ask": "/api/alerts"}


def test_groups_of_tenants_are_never_the_same_and_have_no_signs_that_a_path_would_not_take():
    groups = [group_of(tenant) for tenant in ("acme", "acme/north", "Acme", "", "ä" * 2000)]
    assert len(set(groups)) == len(groups)
    assert all(group.replace("-", "").isalnum() and len(group) < 100 for group in groups)


# --- in trouble -----------------------------------------------------------------------------------------------------


def test_number_and_time_are_bounded_and_what_is_left_out_is_counted(pubsub, open_service, tables):
    counts = Pushes(tables, open_service(), most=15).tell(alerts(20))
    assert counts == {"batch_pushes": 15, "batch_pushes_left_out": 5}
    pubsub.slow_s = 0.3
    started = time.monotonic()
    counts = Pushes(tables, open_service(wait_s=0.1), longest_s=0.5).tell(alerts(20))
    assert time.monotonic() - started < 3
    assert counts["batch_push_failures"] >= 1
    assert counts["batch_pushes_left_out"] == 20 - counts["batch_push_failures"] > 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_is_throttled_or_away_is_counted_and_asked_once(pubsub, service, tables, caplog, status):
    pubsub.down = status
    assert Pushes(tables, service).tell(alerts(2)) == {"batch_push_failures": 2}
    assert len(pubsub.asked) == 2
    assert f"listeners were not told: Web PubSub: {status}" in caplog.text
    with pytest.raises(Unavailable, match=f"Web PubSub: {status}"):
        service.url_for("eva", OURS)


def test_who_has_no_right_or_a_token_for_another_service_tells_nobody(pubsub, open_service, tables):
    with connected(open_service().url_for("eva", OURS), pubsub.authority) as eva:
        other = open_service(ForAnotherService())
        assert Pushes(tables, other).tell([ALERT]) == {"batch_push_failures": 1}
        with pytest.raises(Unavailable, match="Web PubSub: 401"):
            other.url_for("eva", OURS)
        pubsub.entitled = False
        assert Pushes(tables, open_service()).tell([ALERT]) == {"batch_push_failures": 1}
        assert eva.next(0.3) is None


def test_a_service_that_nobody_answers_for_is_a_failure_and_no_more(tables):
    with WebPubSub("https://127.0.0.1:1", Identity(), connection_timeout=0.2, read_timeout=0.2) as nowhere:
        assert Pushes(tables, nowhere).tell([ALERT]) == {"batch_push_failures": 1}


def test_the_stand_in_refuses_what_the_service_refuses(service):
    with pytest.raises(Refused, match="413"):
        service.send(OURS, b'"' + b"x" * LARGEST + b'"')
    with pytest.raises(Refused, match="400"):
        service.send("g" * 1025, b"{}")
    with pytest.raises(Unavailable, match="404"):
        service.send("with/slash", b"{}")


def test_while_it_cannot_be_told_who_has_seen_an_alert_nobody_is_told_and_that_at_once(pubsub, service, cosmos_server):
    prefix = new_tables(cosmos_server)
    with interfering(cosmos_server.address) as between:
        made = Services(Settings(cosmos=f"http://{between.address}", cosmos_key=cosmos_server.key))
        quick = Pushes(CosmosTables(made.quick_cosmos, prefix), service)
        assert quick.tell([ALERT]) == {"batch_pushes": 1}
        assert made.cosmos.charges.spent() > 0, "what is read so is charged, too"
        between.plan, before = first(10**9, GONE), len(between.asked)
        started = time.monotonic()
        assert quick.tell([ALERT]) == {"batch_push_failures": 1}
        assert time.monotonic() - started < 2
        assert len(between.asked) - before <= 2  # the library looks for another region of its own
        made.close()
    assert len(pubsub.asked) == 1
