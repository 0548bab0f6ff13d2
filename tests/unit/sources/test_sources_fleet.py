"""The simulated fleet: coupled by physics, the same for the same seed, and continuous from history to live."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper_local.sources.fleet import SENSORS, Fleet
from watchkeeper_local.sources.hydraulics import METRICS, NOMINAL

START = 1_760_000_000_000
MINUTE = 60_000
DAY = 86_400_000


@pytest.fixture(scope="module")
def week():
    return Fleet(12, seed=5).history(START, START + 7 * DAY, MINUTE)


def test_the_metrics_are_exactly_the_eight_of_a_pump(week):
    assert tuple(week.values) == (
        "flow",
        "suction_pressure",
        "discharge_pressure",
        "motor_current",
        "motor_voltage",
        "vibration",
        "bearing_temperature",
        "filter_dp",
    )


def test_a_healthy_fleet_runs_around_its_nominal_values(week):
    for name, nominal in NOMINAL.items():
        assert week.values[name].mean() == pytest.approx(nominal, rel=0.05), name
        assert week.values[name].min() > 0.6 * nominal, name
        assert week.values[name].max() < 1.5 * nominal, name


def test_pumps_differ_from_each_other(week):
    for name in ("flow", "vibration", "motor_current", "bearing_temperature"):
        assert len(set(week.values[name].mean(axis=0).round(2))) > 6, name


def test_sensors_of_one_pump_move_together_as_the_physics_says(week):
    pump = {name: column[:, 0] for name, column in week.values.items()}

    def correlation(one, other):
        return np.corrcoef(pump[one], pump[other])[0, 1]

    assert correlation("flow", "filter_dp") > 0.8
    assert correlation("flow", "motor_current") > 0.6
    assert correlation("flow", "discharge_pressure") < -0.8
    assert correlation("flow", "suction_pressure") < -0.6
    assert abs(correlation("flow", "motor_voltage")) < 0.2


def test_the_filter_loss_goes_with_the_square_of_the_flow(week):
    flow, loss = week.values["flow"][:, 0], week.values["filter_dp"][:, 0]
    exponent = np.polyfit(np.log(flow), np.log(loss), 1)[0]
    assert exponent == pytest.approx(2.0, abs=0.3)


def test_demand_follows_the_day(week):
    flow = week.values["flow"].mean(axis=1)
    hour = (week.ts // 3_600_000) % 24
    by_hour = np.array([flow[hour == h].mean() for h in range(24)])
    assert by_hour.max() - by_hour.min() > 2.0


def test_a_bearing_is_slow(week):
    calm = np.abs(np.diff(week.values["bearing_temperature"], axis=0)).max()
    assert calm < 1.5


def test_readings_stand_at_the_resolution_of_their_sensor(week):
    for name, (_, _, resolution) in SENSORS.items():
        steps = week.values[name] / resolution
        assert np.abs(steps - np.round(steps)).max() < 1e-6, name


def test_a_healthy_sensor_hardly_ever_repeats_itself_so_a_stuck_one_stands_out():
    live = Fleet(6, seed=1).history(START, START + 3_600_000, 1000)
    for name in METRICS:
        for pump in range(6):
            longest = max(len(list(run)) for _, run in itertools.groupby(live.values[name][:, pump].tolist()))
            assert longest <= 8, name


def test_the_spread_does_not_depend_on_the_step():
    seconds = Fleet(20, seed=2).history(START, START + 2 * 3_600_000, 1000).values["motor_voltage"].std()
    minutes = Fleet(20, seed=2).history(START, START + 2 * DAY, MINUTE).values["motor_voltage"].std()
    assert seconds == pytest.approx(minutes, rel=0.3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    def raw(seed):
        history = Fleet(4, seed).history(START, START + 3_600_000, MINUTE)
        return b"".join(column.tobytes() for column in history.values.values())

    assert raw(3) == raw(3)
    assert raw(3) != raw(4)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 7), seed=st.integers(0, 2**32), cut=st.integers(1, 59))
def test_history_then_steps_is_the_same_as_history_in_one_go(count, seed, cut):
    whole = list(Fleet(count, seed).history(START, START + 60_000, 1000).readings())
    fleet = Fleet(count, seed)
    parts = list(fleet.history(START, START + cut * 1000, 1000).readings())
    for ts in range(START + cut * 1000, START + 60_000, 1000):
        parts += fleet.step(ts)
    assert parts == whole


def test_live_readings_go_on_where_the_history_ended():
    fleet = Fleet(8, seed=9)
    past = fleet.history(START, START + DAY, MINUTE)
    for pump, reading in enumerate(fleet.step(START + DAY)):
        for name, value in reading["values"].items():
            column = past.values[name][-60:, pump]
            assert abs(value - column.mean()) < 6 * max(column.std(), SENSORS[name][0]), name


def test_a_reading_has_the_shape_of_the_ingest_api():
    reading = Fleet(3, seed=0, site="south").step(START)[2]
    assert (reading["device"], reading["ts"], reading["site"]) == ("pump-03", START, "south")
    assert reading["tags"] == {"class": "pump"}
    assert all(type(value) is float for value in reading["values"].values())


def test_time_runs_forward_only():
    fleet = Fleet(1, seed=0)
    fleet.step(START)
    with pytest.raises(ValueError, match="time runs forward"):
        fleet.step(START)


def test_an_empty_stretch_of_time_is_refused():
    with pytest.raises(ValueError, match="end after start"):
        Fleet(1, seed=0).history(START, START, 1000)
