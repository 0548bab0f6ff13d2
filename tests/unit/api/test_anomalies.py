import dataclasses

import msgspec
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.errors import Unavailable
from watchkeeper.ids import timed_id
from watchkeeper.ports import Key
from watchkeeper.records import Episode, Report, Review, Severity, Source
from watchkeeper.topology import EPISODES, REPORTS, REVIEWS
from watchkeeper_api import rows


def episode(number, device="pump-7", detector="model", opened=None, **more):
    at = NOW + number * 1_000 if opened is None else opened
    name = timed_id(at, device, detector, number)
    return Episode(
        id=name,
        tenant="default",
        site="basel",
        device=device,
        device_class="pump",
        detector=detector,
        opened_by=f"a{number}",
        opened=at,
        last=at + 500,
        severity=Severity.WARNING,
        summary="odd",
        **more,
    )


@pytest.fixture
def ten(keep):
    made = [episode(n, device=f"pump-{n % 2}", detector="model" if n % 3 else "rule:dry") for n in range(10)]
    for each in made:
        keep(EPISODES, "default", each.id, each)
    keep(EPISODES, "acme", "x", episode(99))
    return made


def ids_of(answer):
    return [entry["id"] for entry in answer.json()["anomalies"]]


def test_anomalies_are_listed_newest_first_and_only_those_of_the_tenant(api, ten):
    answer = api.get("/api/anomalies")
    assert ids_of(answer) == [each.id for each in reversed(ten)]
    assert answer.json()["next"] == ""
    assert answer.json()["anomalies"][0]["count"] == 1, "a value that is the default is said all the same"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"device": "pump-1"}, [9, 7, 5, 3, 1]),
        ({"detector": "rule:dry"}, [9, 6, 3, 0]),
        ({"device": "pump-0", "detector": "rule:dry"}, [6, 0]),
        ({"from": NOW + 7_000}, [9, 8, 7]),
        ({"to": NOW + 2_000}, [1, 0]),
        ({"from": NOW + 3_000, "to": NOW + 5_000}, [4, 3]),
        ({"device": "nobody"}, []),
        ({"limit": 2}, [9, 8]),
    ],
)
def test_anomalies_are_filtered(api, ten, query, wanted):
    assert ids_of(api.get("/api/anomalies", params=query)) == [ten[n].id for n in wanted]


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize("device", [None, "pump-1"])
def test_pages_hold_every_anomaly_once(api, ten, limit, device, monkeypatch):
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(rows, "MOST_ROWS", 4)
    found, before = [], ""
    for _ in range(30):
        params = {"limit": limit, "before": before} | ({"device": device} if device else {})
        answer = api.get("/api/anomalies", params=params)
        found += ids_of(answer)
        before = answer.json()["next"]
        if not before:
            break
    assert found == [each.id for each in reversed(ten) if device in {None, each.device}]


def test_an_anomaly_comes_with_its_report_and_its_review(api, ten, keep):
    source = Source("runbooks/pump-cavitation.md", "Steps")
    report = Report(
        episode=ten[3].id,
        tenant="default",
        device="pump-1",
        ts=NOW,
        what="cavitates",
        confidence=0.9,
        causes=("air",),
        steps=("vent",),
        sources=(source,),
        severity=Severity.WARNING,
        category="pump",
    )
    keep(REPORTS, "default", ten[3].id, report)
    keep(REVIEWS, "default", ten[4].id, Review(ten[4].id, "default", "pump-0", 1, 2, "rejected", "ada", NOW))
    by_id = {entry["id"]: entry for entry in api.get("/api/anomalies").json()["anomalies"]}
    assert by_id[ten[3].id]["report"]["sources"] == [
        {"file": "runbooks/pump-cavitation.md", "heading": "Steps", "quote": ""}
    ]
    assert by_id[ten[4].id]["review"]["verdict"] == "rejected"
    assert by_id[ten[5].id]["report"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "from=x", "to=-3", "before=" + "9" * 101])
def test_a_wrong_parameter_is_a_400(api, query):
    assert api.get(f"/api/anomalies?{query}").json()["error"]["code"] == "bad_request"


@pytest.mark.parametrize(("closed", "end"), [(None, NOW + 500), (NOW + 900, NOW + 900)])
def test_a_review_is_kept_with_the_stretch_it_is_about(api, ports, keep, closed, end):
    made = episode(0, closed=closed)
    keep(EPISODES, "default", made.id, made)
    answer = api.post(f"/api/anomalies/{made.id}/review", json={"verdict": "confirmed", "by": "ada", "note": "seen"})
    assert answer.status_code == 200
    key = Key("default", made.id)
    row = ports.tables.get_many(REVIEWS.name, [key])[key]
    wanted = Review(made.id, "default", "pump-7", NOW, end, "confirmed", "ada", NOW, "seen")
    assert msgspec.json.decode(row.value, type=Review) == wanted == msgspec.json.decode(answer.content, type=Review)


def test_the_last_verdict_counts(api, ten):
    for verdict in ("confirmed", "rejected"):
        api.post(f"/api/anomalies/{ten[9].id}/review", json={"verdict": verdict, "by": "ada"})
    assert api.get("/api/anomalies").json()["anomalies"][0]["review"]["verdict"] == "rejected"


def test_an_unknown_anomaly_cannot_be_reviewed(api, ten):
    answer = api.post("/api/anomalies/nothing/review", json={"verdict": "confirmed", "by": "ada"})
    assert (answer.status_code, answer.json()["error"]["where"]) == (404, "path.anomaly")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "maybe", "by": "ada"},
        {"verdict": "confirmed", "by": ""},
        {"verdict": "confirmed", "by": "a", "x": 1},
    ],
)
def test_a_review_that_is_none_is_a_400(api, ten, body):
    answer = api.post(f"/api/anomalies/{ten[0].id}/review", json=body)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "body")


def test_a_review_is_not_confirmed_when_it_could_not_be_kept(make_api, ports, ten, monkeypatch):
    def put(*_, **__):
        raise Unavailable("the table is away")

    api = make_api(ports=dataclasses.replace(ports))
    monkeypatch.setattr(ports.tables, "put", put)
    answer = api.post(f"/api/anomalies/{ten[0].id}/review", json={"verdict": "confirmed", "by": "ada"})
    assert answer.status_code == 503
