"""What the API says of a device's bar, from the state that ml_score has stored; and of the bars of classes."""

import msgspec
import numpy as np
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.class_knowledge import learn_classes
from watchkeeper.detection.config import DEFAULT
from watchkeeper.ids import shard_of, timed_id
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.published import REFRESH_MS
from watchkeeper.records import Device, DeviceRecord, Episode, Review, Severity
from watchkeeper.run import Runner
from watchkeeper.topology import DEVICES, EPISODES, REVIEWS, RULE_CHECK_OUTPUT

MINUTE, WEEK = 60_000, 7 * 86_400_000
PATH = "/api/devices/pump-1/calibration"


def took(api, ports, readings, metrics=("flow",), step=MINUTE):
    """So many readings of pump-1 through ml_score."""
    shard = shard_of("default", "pump-1", 64)
    ts = NOW - step * np.arange(readings, dtype=np.int64)[::-1]
    values = np.random.default_rng(1).normal(50, 1, (len(metrics), readings))
    pack = Pack(shard, [Device("default", "pump-1")], [Table.build(metrics, np.zeros(readings, int), ts, ts, values)])
    runner = Runner(STAGES["ml_score"], RULE_CHECK_OUTPUT, ports, api.backend.published, 64, lambda: NOW)
    runner.take(shard % 2, [Stored(0, shard, pack.encode(), {})])


@pytest.fixture
def pump(keep):
    """Three weeks of a pump with two metrics, of which nothing has been scored."""
    record = DeviceRecord("default", "pump-1", "", "pump", ("flow", "rpm"), NOW - 3 * WEEK, NOW)
    keep(DEVICES, "default", "pump-1", record)


def opened(keep, ts, **changes):
    name = timed_id(ts, str(changes))
    held = Episode(
        id=name, tenant="default", site="", device="pump-1", device_class="pump", detector="model", opened_by="a",
        opened=ts, last=ts, severity=Severity.WARNING, summary="odd",
    )  # fmt: skip
    keep(EPISODES, "default", name, msgspec.structs.replace(held, **changes))
    return name


@pytest.mark.parametrize(("step", "often"), [(MINUTE, 5), (1000, 300)])
def test_the_bar_of_a_device_is_told_with_how_often_it_is_heard_and_what_is_not_scored(api, ports, pump, step, often):
    took(api, ports, 300, step=step)
    told = api.get(PATH).json()
    assert (told["readings"], told["warming"], told["is_open"]) == (300, False, False)
    assert told["interval_ms"] == pytest.approx(step)
    assert told["bar"] >= DEFAULT.least_surprise
    assert told["joint_bar"] == pytest.approx(
        DEFAULT.joint_surprise + DEFAULT.joint_frequency * np.log(often), rel=1e-3
    )
    assert (told["scored"], told["unscored"]) == (["flow"], ["rpm"])
    assert told["class_factor"] == 1.0


def test_a_device_that_warms_up_says_so(api, ports, pump):
    took(api, ports, 100)
    told = api.get(PATH).json()
    assert (told["readings"], told["warming"], told["warm_readings"]) == (100, True, 100)


def test_what_was_never_scored_has_no_bar_and_what_was_never_heard_is_unknown(api, pump):
    told = api.get(PATH).json()
    assert (told["bar"], told["interval_ms"], told["warming"]) == (None, None, True)
    assert told["unscored"] == ["flow", "rpm"]
    assert api.get("/api/devices/pump-2/calibration").status_code == 404


def test_openings_of_the_model_are_held_against_what_the_target_explains(api, keep, pump):
    for days in (1, 5, 20):
        opened(keep, NOW - days * WEEK // 7)
    opened(keep, NOW - 40 * WEEK // 7)
    opened(keep, NOW - WEEK, detector="rule:hot")
    opened(keep, NOW - WEEK, device="pump-2")
    opened(keep, NOW - WEEK, backfill=True)
    told = api.get(PATH).json()
    assert (told["observed"], told["weeks"]) == (3, 3.0)
    assert told["expected"] == pytest.approx(3 * DEFAULT.target_a_week)


def test_reviews_move_the_bar_that_is_told_and_the_status_says_why(make_api, ports, keep, pump):
    api = make_api()
    took(api, ports, 300)
    before = api.get(PATH).json()["bar"]
    assert api.get("/api/status").json()["classes"] == []
    for number in range(10):
        name = opened(keep, NOW - WEEK + number)
        keep(REVIEWS, "default", name, Review(name, "default", "pump-1", NOW - WEEK, NOW, "rejected", "ada", NOW))
    learn_classes(ports, 64, NOW)
    later = make_api(clock=lambda: NOW + REFRESH_MS)
    told = later.get(PATH).json()
    assert told["class_factor"] == pytest.approx(1.25)
    assert told["bar"] == pytest.approx(1.25 * before)
    (of,) = later.get("/api/status").json()["classes"]
    assert of == {"device_class": "pump", "factor": told["class_factor"], "confirmed": 0, "rejected": 10, "metrics": []}
