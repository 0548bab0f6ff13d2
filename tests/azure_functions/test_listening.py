"""Who has signed in listens by Web PubSub, and notify's alerts come to him; whoever else is away holds up no alert."""

import json
import logging
import time

import msgspec
import pytest

from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import MISSING, FunctionsWorker, http_request
from tests.emulators.vault import Identity
from tests.emulators.web_pubsub import PROTOCOL, web_pubsub
from tests.emulators.websocket import connected
from watchkeeper.ports import Key, Stored
from watchkeeper.records import Alert, Severity
from watchkeeper.topology import ALERTS, DASHBOARD_ALERTS
from watchkeeper_adapters.cloud.tokens import Verifier
from watchkeeper_azure import services
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
NOW = int(time.time() * 1000)
PEOPLE = {
    "eva.s.token": {"email": "eva@example.com", "tenant": "acme"},
    "bob.s.token": {"email": "bob@example.com", "tenant": "other"},
}
ALERT = Alert(
    id="l-1", tenant="acme", site="", device="pump-07", device_class="pump", detector="rule:hot",
    status="firing", severity=Severity.CRITICAL, title="hot", opened=NOW, ts=NOW,
)  # fmt: skip


@pytest.fixture
def pubsub(tmp_path, monkeypatch):
    with web_pubsub(tmp_path) as served:
        options = {"connection_timeout": 0.5, "read_timeout": 0.5, "connection_verify": served.authority}
        monkeypatch.setattr(services, "WEB_PUBSUB_OPTIONS", options)
        yield served


@pytest.fixture
def worker(stack, pubsub, monkeypatch):
    monkeypatch.setattr(Verifier, "claims", lambda _self, token: PEOPLE.get(token))
    container = Container(msgspec.structs.replace(stack.settings, web_pubsub=pubsub.url))
    container._services.__dict__["credential"] = Identity()
    yield FunctionsWorker(open_app(lambda: container, "notify,api"))
    container.close()


def invited(worker, token):
    """The answer to who wants to listen."""
    shown = {"authorization": f"Bearer {token}"} if token else {}
    answer = worker.invoke("requests", "req", http_request("GET", "https://app/api/listen", b"", shown))
    assert answer.fine, answer.error
    return answer.status, json.loads(answer.value)


def notify(worker, offset, alert):
    messages = [Stored(offset, 1, msgspec.json.encode(alert), {})]
    events, metadata = batch_of(DASHBOARD_ALERTS.name, 0, messages, "notify")
    answer = worker.invoke("notify_dashboard_alerts", "events", events, metadata)
    assert answer.fine, answer.error


def test_an_alert_comes_to_who_has_signed_in_and_is_of_its_tenant(worker, pubsub):
    assert invited(worker, "")[0] == invited(worker, "mallory.s.token")[0] == 401
    assert pubsub.asked == []
    (status, eva), (_, bob) = invited(worker, "eva.s.token"), invited(worker, "bob.s.token")
    assert (status, eva["protocol"], eva["expires_in_s"]) == (200, PROTOCOL, 300)
    with (
        connected(eva["url"], pubsub.authority, eva["protocol"]) as hers,
        connected(bob["url"], pubsub.authority, bob["protocol"]) as his,
    ):
        assert [hers.next()["userId"], his.next()["userId"]] == ["eva@example.com", "bob@example.com"]
        over = msgspec.structs.replace(ALERT, status="resolved", resolved=NOW + 1, ts=NOW + 1)
        for offset, said in enumerate([ALERT, ALERT, over]):  # what comes again is not new
            notify(worker, 100 + offset, said)
        told = [hers.next()["data"]["alert"] for _ in range(2)]
        assert [(alert["id"], alert["status"]) for alert in told] == [("l-1", "firing"), ("l-1", "resolved")]
        assert hers.next(0.3) is None
        assert his.next(0.3) is None


@pytest.mark.parametrize("trouble", [{"down": 429}, {"down": 503}, {"entitled": False}, {"slow_s": 1.0}])
def test_an_alert_is_kept_and_counted_though_nobody_can_be_told_of_it(stack, worker, pubsub, caplog, trouble):
    name = f"l-{next(iter(trouble.items()))}"
    for key, value in trouble.items():
        setattr(pubsub, key, value)
    caplog.set_level(logging.INFO, "watchkeeper.metrics")
    started = time.monotonic()
    notify(worker, 200 + int(time.time() * 1000) % 10**9, msgspec.structs.replace(ALERT, id=name))
    assert time.monotonic() - started < 5
    assert name.encode() in stack.ports.tables.get_many(ALERTS.name, [Key("acme", name)])[Key("acme", name)].value
    lines = [json.loads(r.getMessage())["counts"] for r in caplog.records if r.name == "watchkeeper.metrics"]
    assert lines[-1]["batch_push_failures"] == 1
    assert "batch_pushes" not in lines[-1]
    assert invited(worker, "eva.s.token")[0] == 503


def test_without_the_service_nobody_is_told_and_nobody_let_in(stack):
    _, told = stack.post("command", "/command", {"command": "new-key", "name": "line-3"})
    status, said = stack.post("requests", "/api/listen", method="GET", x_api_key=told["key"])
    assert (status, said["error"]["code"]) == (404, "not_found")
    assert "ask GET /api/alerts" in said["error"]["message"]
    assert stack.container.pushes is None
