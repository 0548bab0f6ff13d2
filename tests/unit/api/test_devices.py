import numpy as np
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.ids import shard_of
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.records import Device, DeviceRecord
from watchkeeper.run import Runner
from watchkeeper.topology import DEVICES, FINAL_DATA_STORAGE
from watchkeeper_api import Client, key_digest

SECOND = 1_000


@pytest.fixture
def stored(api, ports):
    """Two hours of a pump's pressure, a reading a second, stored by the stage that stores; the last one is NOW."""
    ts = np.arange(NOW - 7_200 * SECOND + SECOND, NOW + SECOND, SECOND)
    shard = shard_of("default", "pump-7", 64)
    values = np.arange(len(ts), dtype=float)[None, :]
    pack = Pack(
        shard,
        [Device("default", "pump-7", "basel")],
        [Table.build(("pressure",), np.zeros(len(ts), int), ts, ts, values)],
    )
    runner = Runner(STAGES["store"], FINAL_DATA_STORAGE, ports, api.backend.published, shards=64, clock=lambda: NOW)
    runner.take(shard % 2, [Stored(0, shard, pack.encode(), {})])
    return ts


def record(name, *metrics):
    return DeviceRecord("default", name, "basel", "pump", metrics, 1, 2)


@pytest.fixture
def five(keep):
    names = ["fan-1", "pump-1", "pump-10", "pump-2", "rack-1"]
    for name in names:
        keep(DEVICES, "default", name, record(name, "pressure"))
    keep(DEVICES, "acme", "secret-1", record("secret-1"))
    return names


def names_of(answer):
    return [device["device"] for device in answer.json()["devices"]]


def test_devices_are_listed_by_name_and_only_those_of_the_tenant(api, five):
    answer = api.get("/api/devices")
    assert names_of(answer) == five
    assert answer.json()["next"] == ""
    assert answer.json()["devices"][0]["device_class"] == "pump"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_hold_every_device_once(api, five, limit):
    found, after = [], ""
    for _ in range(10):
        answer = api.get("/api/devices", params={"limit": limit, "after": after})
        found += names_of(answer)
        after = answer.json()["next"]
        if not after:
            break
    assert found == five


def test_a_page_may_begin_after_a_name_that_is_not_there(api, five):
    assert names_of(api.get("/api/devices", params={"after": "pump-11", "limit": 1})) == ["pump-2"]


def test_a_series_is_the_last_hour_unless_asked_otherwise(api, stored):
    told = api.get("/api/devices/pump-7/series", params={"metric": "pressure", "points": 10_000}).json()
    assert (told["device"], told["metric"], told["bucket_ms"]) == ("pump-7", "pressure", 0)
    assert told["points"][0][0] == NOW - 3_600 * SECOND + SECOND
    assert told["points"][-1] == [NOW, 7_199.0]
    assert len(told["points"]) == 3_600


def test_a_series_with_more_readings_than_points_is_answered_as_means(api, stored):
    span = {"from": int(stored[0]), "to": int(stored[0]) + 1_000 * SECOND}
    told = api.get("/api/devices/pump-7/series", params={"metric": "pressure", "points": 10, **span}).json()
    assert told["bucket_ms"] == 100 * SECOND
    assert told["points"][0] == [int(stored[0]), 49.5, 0.0, 99.0, 100]
    assert len(told["points"]) == 10


def test_from_is_included_and_to_is_not(api, stored):
    span = {"from": NOW - 2 * SECOND, "to": NOW}
    told = api.get("/api/devices/pump-7/series", params={"metric": "pressure", **span}).json()
    assert [ts for ts, _ in told["points"]] == [NOW - 2 * SECOND, NOW - SECOND]


@pytest.mark.parametrize(
    ("device", "metric", "hint", "where"),
    [
        ("pump-3", "pressure", "did you mean 'pump-", "path.device"),
        ("zzz", "pressure", "unknown device: 'zzz'", "path.device"),
        ("secret-1", "pressure", "unknown device", "path.device"),
        ("pump-1", "presure", "did you mean 'pressure'?", "query.metric"),
    ],
)
def test_what_is_not_known_is_a_404_with_the_nearest_name(api, five, device, metric, hint, where):
    answer = api.get(f"/api/devices/{device}/series", params={"metric": metric})
    problem = answer.json()["error"]
    assert (answer.status_code, problem["code"], problem["where"]) == (404, "not_found", where)
    assert hint in problem["message"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "query.metric"),
        ("metric=pressure&points=0", "query.points"),
        ("metric=pressure&points=10001", "query.points"),
        ("metric=pressure&points=many", "query.points"),
        ("metric=pressure&from=-1", "query.from"),
        ("metric=pressure&to=1e99", "query.to"),
        ("metric=pressure&to=99999999999999999999999", "query.to"),
        ("metric=pressure&from=20&to=10", "query.from"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(api, five, query, where):
    answer = api.get(f"/api/devices/pump-1/series?{query}")
    problem = answer.json()["error"]
    assert (answer.status_code, problem["code"], problem["where"]) == (400, "bad_request", where)
    assert problem["message"].startswith(where.removeprefix("query."))


def test_a_tenant_does_not_see_the_series_of_another(make_api, stored):
    api = make_api(api_keys={key_digest("k"): Client("plant", "acme")})
    asked = {"params": {"metric": "pressure"}, "headers": {"x-api-key": "k"}}
    assert api.get("/api/devices/pump-7/series", **asked).status_code == 404
