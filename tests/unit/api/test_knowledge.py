"""Rules and bundles through the API."""

import asyncio
import threading
import time

import httpx
import msgspec
import pytest

from tests.unit.api.conftest import NOW, Api
from tests.unit.reprocessing.support import RULE, SHARDS, T0, World, bundle, wave
from watchkeeper.bundles import bundle_in_force, bundle_key, publish_bundle
from watchkeeper.published import REFRESH_MS, Published
from watchkeeper.records import Episode
from watchkeeper.topology import EPISODES
from watchkeeper_api import Backend, Limits
from watchkeeper_api.backend import Client, key_digest
from watchkeeper_api.knowledge import MAX_KNOWLEDGE_BYTES
from watchkeeper_local.sqlite import open_ports

OURS, HIGHER = bundle(100.0), bundle(110.0)


def changed(above):
    return {"rules/pump.yaml": RULE.format(above=above, clear=above - 1)}


@pytest.fixture
def api(make_api, ports):
    publish_bundle(ports.blobs, OURS, now=1)
    return make_api(published=Published(ports, OURS))


# --- reading --------------------------------------------------------------------------------------------------------


def test_the_rules_in_force_are_listed_by_class_and_device(api):
    answer = api.get("/api/rules")
    (rule,) = answer.json()["rules"]
    assert answer.json()["bundle"] == OURS.version
    assert answer.headers["etag"] == f'"{OURS.version}"'
    assert (rule["id"], rule["fire_low"], rule["fire_high"], rule["clear_high"]) == ("pump.flow-high", None, 100, 99)
    assert len(api.get("/api/rules?device=pump-7").json()["rules"]) == 1
    assert api.get("/api/rules?device=oven-7").json()["rules"] == []
    assert len(api.get("/api/rules?device_class=pump").json()["rules"]) == 1
    assert api.get("/api/rules?device_class=hvac").json()["rules"] == []


def test_what_is_in_force_is_seen_before_the_worker_of_the_api_has_looked(api, ports):
    publish_bundle(ports.blobs, HIGHER, now=2)
    assert api.get("/api/rules").json()["rules"][0]["fire_high"] == 110


def test_versions_a_version_and_what_differs(api, ports):
    publish_bundle(ports.blobs, HIGHER, now=2)
    listed = api.get("/api/bundles").json()
    assert (listed["version"], listed["previous"]) == (HIGHER.version, OURS.version)
    assert [(move["version"], move["at"]) for move in listed["moves"]] == [(HIGHER.version, 2), (OURS.version, 1)]
    assert sorted(listed["stored"]) == sorted([OURS.version, HIGHER.version])
    view = api.get("/api/bundles/current").json()
    assert (view["version"], view["in_force"], view["files"]) == (HIGHER.version, True, dict(HIGHER.files))
    assert api.get(f"/api/bundles/{OURS.version}").json()["in_force"] is False
    diff = api.get(f"/api/bundles/{OURS.version}/diff").json()
    assert (diff["before"], diff["after"]) == (HIGHER.version, OURS.version)
    assert "~ rule pump.flow-high: fire_high 110 -> 100, clear_high 109 -> 99" in diff["differences"]
    same = api.get(f"/api/bundles/{OURS.version}/diff?against={OURS.version}").json()
    assert same["differences"] == []
    assert api.get("/api/bundles/b-000000000000").status_code == 404
    assert api.get("/api/bundles/current/diff?against=nothing").status_code == 404


# --- validating -----------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_as_data_and_nothing_is_put_in_force(api, ports):
    files = {"rules/a.yaml": "applies_to: pmup\nrules: []\n", "notes.txt": "x", **changed(3)}
    answer = api.post("/api/rules/validate", json={"files": files, "base": "current"}).json()
    assert answer["valid"] is False
    assert {(problem["file"], problem["line"]) for problem in answer["problems"]} == {("notes.txt", 1)}
    del files["notes.txt"]
    answer = api.post("/api/rules/validate", json={"files": files, "base": "current"}).json()
    (problem,) = answer["problems"]
    assert (problem["file"], problem["line"]) == ("rules/a.yaml", 1)
    assert "did you mean" in problem["text"]
    assert bundle_in_force(ports.blobs).version == OURS.version
    good = api.post("/api/rules/validate", json={"files": changed(110.0), "base": OURS.version}).json()
    assert good == {"valid": True, "version": HIGHER.version, "problems": []}
    gone = api.post("/api/rules/validate", json={"files": {"rules/pump.yaml": None}, "base": "current"}).json()
    assert gone["valid"]
    assert gone["version"] != OURS.version


# --- publishing -----------------------------------------------------------------------------------------------------


def test_a_bundle_is_published_over_the_one_in_force_and_rolled_back_by_one_call(api, ports):
    answer = api.post("/api/bundles", json={"files": changed(110.0), "base": "current"})
    assert answer.status_code == 200
    assert answer.json()["version"] == HIGHER.version == bundle_in_force(ports.blobs).version
    assert "fire_high 100 -> 110" in "".join(answer.json()["differences"])
    assert answer.headers["etag"] == f'"{HIGHER.version}"'
    again = api.post("/api/bundles", json={"files": changed(110.0), "base": "current"}).json()
    assert (again["changed"], again["previous"]) == (False, OURS.version)
    back = api.post("/api/bundles/rollback", json={}).json()
    assert (back["version"], back["previous"], back["changed"]) == (OURS.version, HIGHER.version, True)
    there = api.post("/api/bundles/rollback", json={"to": HIGHER.version}).json()
    assert there["version"] == HIGHER.version
    assert api.post("/api/bundles/rollback", json={"to": "b-nothing"}).status_code == 404


def test_there_may_be_nothing_to_roll_back_to(make_api):
    answer = make_api().post("/api/bundles/rollback", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_a_bundle_with_mistakes_is_never_put_in_force(api, ports):
    bad = {"rules/pump.yaml": changed(110.0)["rules/pump.yaml"].replace("metric: flow", "metric: flwo")}
    answer = api.post("/api/bundles", json={"files": bad, "base": "current"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["where"]) == ("bad_request", "body.files")
    assert error["problems"][0]["file"] == "rules/pump.yaml"
    assert error["problems"][0]["line"] > 1
    assert bundle_in_force(ports.blobs).version == OURS.version
    ports.blobs.put(bundle_key("b-0123456789ab"), b'{"rules/x.yaml": "nonsense"}')
    answer = api.post("/api/bundles/rollback", json={"to": "b-0123456789ab"})
    assert answer.status_code == 409
    assert answer.json()["error"]["problems"]
    assert bundle_in_force(ports.blobs).version == OURS.version


def test_if_match_says_what_is_to_be_replaced(api, ports):
    body = {"files": changed(110.0), "base": OURS.version}
    for header in ('"b-000000000000"', f'W/"{OURS.version}"'):
        answer = api.post("/api/bundles", json=body, headers={"If-Match": header})
        assert (answer.status_code, answer.json()["error"]["code"]) == (412, "precondition_failed")
        assert answer.headers["etag"] == f'"{OURS.version}"'
        assert OURS.version in answer.json()["error"]["message"]
    assert api.post("/api/bundles", json=body, headers={"If-Match": '"a", "b"'}).status_code == 400
    assert bundle_in_force(ports.blobs).version == OURS.version
    etag = api.get("/api/bundles").headers["etag"]
    assert api.post("/api/bundles", json=body, headers={"If-Match": etag}).status_code == 200
    assert api.post("/api/bundles/rollback", json={}, headers={"If-Match": etag}).status_code == 412
    assert api.post("/api/bundles/rollback", json={}, headers={"If-Match": "*"}).status_code == 200


def test_publishing_and_rolling_back_take_a_key_where_keys_are_set(make_api, ports):
    publish_bundle(ports.blobs, OURS)
    api = make_api(published=Published(ports, OURS), api_keys={key_digest("s3cret"): Client("ops")})
    for path, body in (("/api/bundles", {"files": changed(110.0), "base": "current"}), ("/api/bundles/rollback", {})):
        assert api.post(path, json=body).status_code == 401
        assert api.post(path, json=body, headers={"X-API-Key": "wrong"}).status_code == 401
    assert bundle_in_force(ports.blobs).version == OURS.version
    body = {"files": changed(110.0), "base": "current"}
    assert api.post("/api/bundles", json=body, headers={"X-API-Key": "s3cret"}).status_code == 200


def test_bodies_that_are_too_large_or_of_another_type_are_refused(api):
    huge = msgspec.json.encode({"files": {"rules/a.yaml": "#" * MAX_KNOWLEDGE_BYTES}})
    json = {"content-type": "application/json"}
    for path in ("/api/bundles", "/api/rules/validate", "/api/rules/try"):
        assert api.post(path, content=huge, headers=json).status_code == 413
        assert api.post(path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        assert api.post(path, content=b"[]", headers=json).status_code == 400


def test_of_publishers_at_once_over_sqlite_one_wins_and_the_others_are_told_who(tmp_path):
    ports = open_ports(tmp_path, partitions=2, shards=SHARDS, durable=False)
    publish_bundle(ports.blobs, OURS)
    start, statuses = threading.Barrier(6), []
    etag = f'"{OURS.version}"'

    def publisher(number, own, api):
        start.wait()
        headers = {"If-Match": etag} if number % 2 else {}
        body = {"files": changed(120.0 + number), "base": "current"}
        statuses.append((number, api.post("/api/bundles", json=body, headers=headers)))
        api.close()
        own.close()

    threads = []
    for number in range(6):
        own = open_ports(tmp_path, partitions=2, shards=SHARDS, durable=False)
        api = Api(Backend(own, Published(own, OURS), SHARDS, lambda: NOW, limits=Limits(burst=1_000)))
        # FastAPI makes its models at the first request, which it cannot do in several threads at once.
        assert api.get("/api/bundles").status_code == 200
        threads.append(threading.Thread(target=publisher, args=(number, own, api)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    in_force = bundle_in_force(ports.blobs)
    named = [number for number, answer in statuses if number % 2 and answer.status_code == 200]
    assert len(named) <= 1  # all of these wanted to replace the same one
    winners = {answer.json()["version"] for _, answer in statuses if answer.status_code == 200}
    assert in_force.version in winners
    assert [move.version for move in in_force.moves[1:]] == list(dict.fromkeys(m.version for m in in_force.moves[1:]))
    assert {move.version for move in in_force.moves[1:]} == winners  # nobody who was told yes was overwritten unseen
    for number, answer in statuses:
        if answer.status_code != 200:
            assert answer.status_code == (412 if number % 2 else 409)
            assert answer.headers["etag"].strip('"') in winners
    ports.close()


# --- pick-up --------------------------------------------------------------------------------------------------------


def test_workers_pick_up_what_was_published_and_its_version_is_on_every_anomaly():
    world = World()
    backend = Backend(world.ports, Published(world.ports, bundle()), SHARDS, lambda: world.now)
    api = Api(backend)
    world.send("pump-01", T0, [150.0] * 3)
    assert api.post("/api/bundles", json={"files": changed(140.0), "base": "current"}).status_code == 200
    world.send("pump-02", T0 + REFRESH_MS + 1000, [150.0] * 3)  # the same worker; at most a minute is allowed
    assert REFRESH_MS <= 60_000
    rows = world.ports.tables.query(EPISODES.name, "default")
    episodes = [msgspec.json.decode(row.value, type=Episode) for row in rows]
    versions = {each.device: each.anomaly.bundle for each in episodes if each.detector.startswith("rule:")}
    assert versions == {"pump-01": bundle().version, "pump-02": bundle(140.0).version}
    assert api.post("/api/bundles/rollback", json={}).status_code == 200
    world.send("pump-03", T0 + 3 * REFRESH_MS, [150.0] * 3)
    rows = world.ports.tables.query(EPISODES.name, "default")
    episodes = [msgspec.json.decode(row.value, type=Episode) for row in rows]
    assert {each.anomaly.bundle for each in episodes if each.device == "pump-03"} == {bundle().version}
    api.close()


# --- trying ---------------------------------------------------------------------------------------------------------


def readings(values, device="pump-1"):
    return [{"device": device, "ts": T0 + at * 10_000, "values": {"flow": value}} for at, value in enumerate(values)]


def test_rules_are_tried_on_readings_that_are_given(api, ports):
    given = [
        *readings([90, 104, 112, 90]),
        {"device": "", "values": {}},
        {"device": "p", "ts": "x", "values": {"a": 1}},
    ]
    answer = api.post("/api/rules/try", json={"readings": given}).json()
    (fired,) = answer["fired"]
    assert fired == {
        "rule": "pump.flow-high", "device": "pump-1", "opened": T0 + 10_000, "cleared": T0 + 30_000, "readings": 3,
        "worst": 112.0,
    }  # fmt: skip
    assert (answer["version"], answer["readings"], answer["complete"]) == (OURS.version, 4, True)
    assert [each["index"] for each in answer["rejected"]] == [4, 5]
    assert answer["classes"] == {"pump": 1}
    higher = {"readings": given, "files": changed(111.0), "base": "current"}
    answer = api.post("/api/rules/try", json=higher).json()
    assert [(each["opened"], each["readings"]) for each in answer["fired"]] == [(T0 + 20_000, 2)]
    oven = {"readings": readings([104], "oven-1")}
    assert api.post("/api/rules/try", json=oven).json()["fired"] == []
    assert len(api.post("/api/rules/try", json={**oven, "device_class": "pump"}).json()["fired"]) == 1
    assert bundle_in_force(ports.blobs).version == OURS.version


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"readings": readings([1]), "last": "7d"},
        {"last": "soon"},
        {"last": "0s"},
        {"last": "90d"},
        {"readings": readings([1]), "device_class": "pmup"},
        {"readings": readings([1]), "files": {"rules/pump.yaml": "x"}, "base": "current"},
        {"readings": readings([1]) * 20_001},
    ],
)
def test_a_trial_that_cannot_be_made_is_refused(api, body):
    assert api.post("/api/rules/try", json=body).status_code == 400


@pytest.fixture(scope="module")
def stored():
    """A world with some hours of two tenants' readings, and its API."""
    world = World()
    for device in ("pump-01", "pump-02"):
        world.send(device, T0, wave(1500))
    api = Api(Backend(world.ports, Published(world.ports, bundle()), SHARDS, lambda: world.now))
    yield world, api
    api.close()


def test_rules_are_tried_on_what_is_stored_and_nothing_changes(stored):
    world, api = stored
    before, alerts = world.rows(), len(world.alerts)
    answer = api.post("/api/rules/try", json={"last": "1d"}).json()
    told = world.ports.tables.query(EPISODES.name, "default")
    opened = [msgspec.json.decode(row.value, type=Episode) for row in told]
    rule = [each for each in opened if each.detector == "rule:pump.flow-high"]
    assert (answer["readings"], answer["complete"]) == (3000, True)
    assert sorted(each["opened"] for each in answer["fired"]) == sorted(each.opened for each in rule)
    assert answer["fired_count"] == len(rule) > 4
    higher = api.post("/api/rules/try", json={"last": "1d", "files": changed(119.0), "base": "current"}).json()
    assert 0 < sum(each["readings"] for each in higher["fired"]) < sum(each["readings"] for each in answer["fired"])
    assert api.post("/api/rules/try", json={"last": "1h"}).json()["readings"] == 720
    assert (world.rows(), len(world.alerts)) == (before, alerts)


def test_a_trial_sees_its_own_tenant_only_and_ends_in_time(stored, monkeypatch):
    world, _ = stored
    keys = {key_digest("k"): Client("other", "acme")}
    api = Api(Backend(world.ports, Published(world.ports, bundle()), SHARDS, lambda: world.now, api_keys=keys))
    answer = api.post("/api/rules/try", json={"last": "1d"}, headers={"X-API-Key": "k"}).json()
    assert (answer["readings"], answer["classes"], answer["fired"]) == (0, {}, [])
    api.close()
    monkeypatch.setattr("watchkeeper_api.rule_routes.TRY_STORED", 500)
    answer = stored[1].post("/api/rules/try", json={"last": "1d"}).json()
    assert answer["complete"] is False
    assert 500 <= answer["readings"] < 3000
    assert answer["until"] < world.now


def test_other_answers_do_not_wait_for_a_trial_and_there_is_one_at_a_time(stored):
    _, api = stored

    async def run():
        transport = httpx.ASGITransport(api.app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://w", timeout=60) as client:
            body = msgspec.json.encode({"readings": readings(wave(5_000).tolist())})
            kind = {"content-type": "application/json"}
            trial = asyncio.create_task(client.post("/api/rules/try", content=body, headers=kind))
            times = []
            while not api.app.state.services.trials.locked():  # noqa: ASYNC110 - a lock of threads has no event
                await asyncio.sleep(0.001)
            second = await client.post("/api/rules/try", json={"last": "1d"})
            while not trial.done():
                started = time.perf_counter()
                assert (await client.get("/api/bundles")).status_code == 200
                times.append(time.perf_counter() - started)
            return (await trial).status_code, second, times

    status, second, times = asyncio.run(run())
    assert status == 200
    assert second.status_code == 429
    assert second.headers["retry-after"]
    assert len(times) > 3
    assert sorted(times)[len(times) * 9 // 10] < 0.1, max(times)
