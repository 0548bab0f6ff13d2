import msgspec
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.ids import timed_id
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS

STATUSES = ("firing", "update", "resolved")
SEVERITIES = tuple(Severity)


def alert(number):
    at = NOW + number * 1_000
    return Alert(
        id=timed_id(at, number),
        tenant="default",
        site="basel",
        device=f"pump-{number % 2}",
        device_class="pump",
        detector="model",
        status=STATUSES[number % 3],
        severity=SEVERITIES[number % 4],
        title="pressure is odd",
        opened=at,
        ts=at,
    )


@pytest.fixture
def twelve(keep):
    made = [alert(number) for number in range(12)]
    for each in made:
        keep(ALERTS, "default", each.id, each)
    keep(ALERTS, "acme", "x", alert(99))
    return made


def ids_of(answer):
    return [entry["id"] for entry in answer.json()["alerts"]]


def test_alerts_are_listed_newest_first_and_only_those_of_the_tenant(api, twelve):
    answer = api.get("/api/alerts")
    assert ids_of(answer) == [each.id for each in reversed(twelve)]
    assert answer.json()["alerts"][0]["acknowledged_by"] == ""


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"status": "resolved"}, [11, 8, 5, 2]),
        ({"status": "firing"}, [10, 9, 7, 6, 4, 3, 1, 0]),
        ({"severity": "critical"}, [10, 6, 2]),
        ({"device": "pump-1", "limit": 2}, [11, 9]),
        ({"device": "pump-0", "severity": "info", "status": "firing"}, [4, 0]),
    ],
)
def test_alerts_are_filtered(api, twelve, query, wanted):
    assert ids_of(api.get("/api/alerts", params=query)) == [twelve[n].id for n in wanted]


def test_older_alerts_follow_where_the_last_answer_ended(api, twelve):
    first = api.get("/api/alerts", params={"limit": 5})
    rest = api.get("/api/alerts", params={"before": first.json()["next"]})
    assert ids_of(first) + ids_of(rest) == [each.id for each in reversed(twelve)]


@pytest.mark.parametrize("query", ["status=gone", "severity=bad", "limit=x"])
def test_a_wrong_filter_is_a_400(api, query):
    answer = api.get(f"/api/alerts?{query}")
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, f"query.{query.split('=')[0]}")


def test_an_acknowledged_alert_says_who_works_on_it(api, ports, twelve):
    answer = api.post(f"/api/alerts/{twelve[4].id}/acknowledge", json={"by": "ada", "note": "on my way"})
    assert answer.status_code == 200
    key = Key("default", twelve[4].id)
    row = ports.tables.get_many(ACKNOWLEDGEMENTS.name, [key])[key]
    kept = msgspec.json.decode(row.value, type=Acknowledgement)
    assert kept == Acknowledgement(twelve[4].id, "default", "ada", NOW, "on my way")
    entries = {entry["id"]: entry for entry in api.get("/api/alerts").json()["alerts"]}
    told = entries[twelve[4].id]
    assert (told["acknowledged_by"], told["acknowledged_at"], told["note"]) == ("ada", NOW, "on my way")
    assert entries[twelve[5].id]["acknowledged_at"] is None


@pytest.mark.parametrize("name", ["nothing", "x"])
def test_an_unknown_alert_or_that_of_another_tenant_cannot_be_acknowledged(api, twelve, ports, name):
    answer = api.post(f"/api/alerts/{name}/acknowledge", json={"by": "ada"})
    assert (answer.status_code, answer.json()["error"]["where"]) == (404, "path.alert")
    assert ports.tables.query(ACKNOWLEDGEMENTS.name, "default") == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"by": 3}', b'{"by": "' + b"a" * 201 + b'"}', b"[" * 5_000])
def test_an_acknowledgement_that_is_none_is_a_400(api, twelve, body):
    headers = {"content-type": "application/json"}
    answer = api.post(f"/api/alerts/{twelve[0].id}/acknowledge", content=body, headers=headers)
    assert answer.status_code == 400


def test_a_form_of_a_web_page_cannot_acknowledge(api, twelve):
    headers = {"content-type": "text/plain"}
    answer = api.post(f"/api/alerts/{twelve[0].id}/acknowledge", content=b'{"by": "ada"}', headers=headers)
    assert answer.status_code == 415


def test_a_command_is_small(api, twelve):
    answer = api.post(f"/api/alerts/{twelve[0].id}/acknowledge", json={"by": "ada", "note": "x" * 64_000})
    assert answer.status_code == 413
