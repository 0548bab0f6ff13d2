import msgspec
import numpy as np
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.published import Published
from watchkeeper.records import Device, DeviceRecord, MetricQuality, QualityRecord, SchemaRecord
from watchkeeper.run import Runner
from watchkeeper.topology import DEVICES, FINAL_DATA_STORAGE, QUALITY, SCHEMAS
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


HOUR = 3_600 * SECOND
FIRST = NOW - NOW % HOUR - 5 * HOUR


def quality(hour, readings, *, source="iot-data-ingestion", expected=3600.0, **metrics):
    counts = {name: MetricQuality(*numbers) for name, numbers in metrics.items()}
    return QualityRecord("default", "pump-1", FIRST + hour * HOUR, HOUR, source, expected, readings, 7, counts, -90)


@pytest.fixture
def judged(five, keep):
    """Three hours of two ways in, the second of them silent."""
    records = [
        quality(0, 1800, pressure=(1800, 0, 0, 1800), flow=(900, 0, 900, 900)),
        quality(0, 1800, source="batch-data-ingestion", pressure=(1800, 900, 0, 900)),
        quality(2, 3600, pressure=(3600, 0, 0, 3600)),
        quality(3, 5, expected=0.0, pressure=(5, 0, 0, 4)),
    ]
    for number, record in enumerate(records):
        keep(QUALITY, "default", f"pump-1/{record.start:013d}/{record.source}/{number}", record)
    other = msgspec.structs.replace(records[0], device="pump-10")
    keep(QUALITY, "default", f"pump-10/{other.start:013d}/{other.source}/0", other)


def test_quality_is_put_together_from_every_way_in_and_an_hour_of_silence_is_a_bad_one(api, judged):
    told = api.get("/api/devices/pump-1/quality").json()
    spans = told["spans"]
    assert [(span["start"] - FIRST) // HOUR for span in spans] == [0, 1, 2, 3]
    assert [span["share"] for span in spans] == [0.5, 0.0, 1.0, 0.8]
    assert spans[0]["metrics"]["pressure"] == {
        "share": 0.75, "readings": 3600, "valid": 3600, "stuck": 900, "filled": 0, "good": 2700,
    }  # fmt: skip
    assert (spans[0]["metrics"]["flow"]["share"], spans[0]["late"], spans[0]["skew_ms"]) == (0.25, 14, -90)
    assert spans[1]["metrics"]["flow"]["readings"] == 0


def test_quality_is_of_the_last_day_unless_asked_otherwise(api, judged):
    span = {"from": FIRST + 2 * HOUR, "to": FIRST + 3 * HOUR}
    told = api.get("/api/devices/pump-1/quality", params=span).json()
    assert [each["start"] for each in told["spans"]] == [FIRST + 2 * HOUR]
    assert api.get("/api/devices/pump-1/quality", params={"to": FIRST}).json()["spans"] == []
    assert api.get("/api/devices/pump-1/quality?from=20&to=10").json()["error"]["where"] == "query.from"


def test_the_list_of_devices_has_their_latest_quality_where_it_is_asked_for(api, judged):
    told = {d["device"]: d.get("quality") for d in api.get("/api/devices?quality=true").json()["devices"]}
    assert (told["pump-1"], told["pump-10"], told["fan-1"]) == (0.8, 0.375, None)
    assert all("quality" not in device for device in api.get("/api/devices").json()["devices"])


PUMPS = """
class: pump
match: ["pump-*"]
interval: 1s
time_zone: Europe/Berlin
calendar: {days: mon-fri}
owner: utilities
metrics: {flow: {unit: m3/h}, power: {unit: kW}}
derived: {efficiency: flow / power}
devices: {pump-1: {feeds: [pump-2], notes: New., importance: critical}}
"""


def test_of_a_device_it_is_told_what_it_sent_and_what_the_catalogue_says(make_api, ports, five, keep):
    keep(SCHEMAS, "default", "pump-1/iot-data-ingestion", SchemaRecord("default", "pump-1", "iot", 2, ("flow",), 9))
    keep(SCHEMAS, "default", "pump-10/iot-data-ingestion", SchemaRecord("default", "pump-10", "iot", 5, ("x",), 9))
    api = make_api(published=Published(ports, Bundle.from_files({"devices/pump.yaml": PUMPS})))
    told = api.get("/api/devices/pump-1").json()
    assert (told["device"], told["site"], told["metrics"], told["last_seen"]) == ("pump-1", "basel", ["pressure"], 2)
    assert (told["importance"], told["interval_ms"], told["gap_ms"], told["clock"]) == (
        "critical",
        1000,
        300_000,
        "trust",
    )
    assert (told["time_zone"], told["calendar"]["days"]) == ("Europe/Berlin", [0, 1, 2, 3, 4])
    assert (told["owner"], told["notes"], told["feeds"], told["fed_by"]) == ("utilities", "New.", ["pump-2"], [])
    assert (told["units"], told["derived"]) == ({"flow": "m3/h", "power": "kW"}, {"efficiency": "flow / power"})
    assert [(schema["version"], schema["metrics"]) for schema in told["schemas"]] == [(2, ["flow"])]
    assert api.get("/api/devices/pump-2").json()["fed_by"] == ["pump-1"]


@pytest.mark.parametrize(
    "path",
    ["/api/devices/pump-3", "/api/devices/pump-3/quality", "/api/devices/pump-3/forecast", "/api/devices/secret-1"],
)
def test_of_a_device_that_nobody_knows_there_is_nothing_to_tell(api, five, path):
    answer = api.get(path)
    assert (answer.status_code, answer.json()["error"]["where"]) == (404, "path.device")
