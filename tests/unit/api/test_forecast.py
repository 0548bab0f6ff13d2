"""What the API says of the time ahead, from the state that rule_check has stored."""

import msgspec
import numpy as np
import pytest

from tests.unit.api.conftest import NOW
from tests.unit.stages.driving import changed
from watchkeeper.ids import shard_of
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Key, Stored
from watchkeeper.published import Published
from watchkeeper.records import Device, DeviceRecord
from watchkeeper.run import Runner
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, DEVICES

MINUTE, DAY = 60_000, 86_400_000
PATH = "/api/devices/pump-1/forecast"
RULES = """applies_to: pump
rules:
  - {id: pump.full, metric: flow, above: 90, clear: 85, severity: critical, summary: The tank is full,
     runbook: pump-pressure-loss.md}
  - {id: pump.hot, metric: bearing_temperature, above: 90, clear: 85, severity: critical, summary: It is hot,
     runbook: pump-pressure-loss.md}
"""


@pytest.fixture(scope="module")
def nine_days():
    """Ports after nine days of a tank that fills by 4 a day, to 80, neither warm nor cold. Nobody changes them."""
    ports = memory_ports(partitions=2)
    published = Published(ports, changed(rules__pump=RULES))
    shard, rng = shard_of("default", "pump-1", 64), np.random.default_rng(1)
    ts = np.arange(NOW - 9 * DAY, NOW, 5 * MINUTE)
    flow = 80 - 4 * (NOW - ts) / DAY + rng.normal(0, 0.05, len(ts))
    values = np.stack([flow, 40 + rng.normal(0, 1, len(ts)), flow])
    table = Table.build(("flow", "bearing_temperature", "suction_pressure"), np.zeros(len(ts), int), ts, ts, values)
    pack = Pack(shard, [Device("default", "pump-1", "basel")], [table])
    runner = Runner(STAGES["rule_check"], DATA_PROCESSING_OUTPUT, ports, published, 64, lambda: NOW)
    runner.take(shard % 2, [Stored(0, shard, pack.encode(), {})])
    for device, metrics in (("pump-1", ("flow", "bearing_temperature")), ("pump-2", ("flow",))):
        record = DeviceRecord("default", device, "basel", "pump", metrics, 1, 2)
        ports.tables.put(DEVICES.name, Key("default", device), msgspec.json.encode(record))
    return ports, published


@pytest.fixture
def told(make_api, nine_days):
    """An API over them."""
    ports, published = nine_days
    return make_api(ports=ports, published=published)


def test_metrics_that_rules_watch_are_answered_with_their_band_and_the_levels_they_will_cross(told):
    answer = told.get(PATH, params={"horizon": 4 * DAY}).json()
    heat, flow = answer["metrics"]
    assert (answer["device"], answer["horizon_ms"]) == ("pump-1", 4 * DAY)
    assert (heat["metric"], heat["levels"], heat["trend_ms"]) == ("bearing_temperature", [], 0)
    assert (flow["metric"], flow["trend_ms"]) == ("flow", 360 * MINUTE)
    assert NOW - 10 * MINUTE <= flow["start"] <= NOW
    assert len(flow["points"]) == 64
    for ts, expected, low, high in flow["points"]:
        assert low < expected < high
        assert expected == pytest.approx(80 + 4 * (ts - NOW) / DAY, abs=1)
    assert flow["points"][-1][0] == flow["start"] + 4 * DAY
    [level] = flow["levels"]
    assert (level["rule"], level["level"], level["summary"]) == ("pump.full", 90, "The tank is full")
    assert level["ts"] == pytest.approx(NOW + 2.5 * DAY, abs=DAY / 4)
    assert level["early"] <= level["ts"] <= level["late"]
    assert level["confidence"] > 0.9


def test_a_level_beyond_the_horizon_is_not_answered(told):
    flow = told.get(PATH, params={"horizon": DAY}).json()["metrics"][1]
    assert (flow["levels"], flow["points"][-1][0]) == ([], flow["start"] + DAY)


def test_a_device_that_no_rule_has_looked_at_has_nothing_ahead(told):
    assert told.get("/api/devices/pump-2/forecast").json() == {"device": "pump-2", "horizon_ms": 3 * DAY, "metrics": []}


@pytest.mark.parametrize("horizon", ["0", "59999", str(31 * DAY), "soon", "nan", "-1"])
def test_a_horizon_that_cannot_be_meant_is_refflow(told, horizon):
    answer = told.get(PATH, params={"horizon": horizon})
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "query.horizon")


def test_a_device_of_another_tenant_or_none_is_unknown(told):
    answer = told.get("/api/devices/pump-11/forecast")
    assert answer.status_code == 404
    assert "did you mean 'pump-1'?" in answer.json()["error"]["message"]
