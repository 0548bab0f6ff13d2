"""Faults: each changes what its physics says, by many sigmas, on its own pump and nowhere else."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper_local.sources.faults import ALL, FREEZABLE, FaultKind, make_fault, plan_faults
from watchkeeper_local.sources.fleet import Fleet
from watchkeeper_local.sources.hydraulics import METRICS

START = 1_760_000_000_000
DAY = 86_400_000
LIVE = START + DAY
PUMP = 2

# Which metrics go up and down, by how many standard deviations of the last healthy minutes, within twelve seconds.
SIGNS = {
    FaultKind.BEARING_WEAR: {"vibration": +20, "bearing_temperature": +8, "motor_current": +3},
    FaultKind.CAVITATION: {"suction_pressure": -20, "vibration": +20, "flow": -5, "discharge_pressure": -8},
    FaultKind.LEAK: {"flow": +10, "discharge_pressure": -10, "motor_current": +5},
    FaultKind.BLOCKED_FILTER: {"filter_dp": +20, "suction_pressure": -15, "flow": -5},
    FaultKind.POWER_DIP: {"motor_voltage": -30, "motor_current": +15, "flow": -4, "discharge_pressure": -8},
}


def run_with(kind, seed=4, metric=None, seconds=12):
    """A day of history, ten healthy live minutes, then the fault: the calm minutes and the fault's seconds."""
    fleet = Fleet(5, seed)
    fleet.history(START, LIVE, 60_000)
    calm = fleet.history(LIVE, LIVE + 600_000, 1000)
    begin = LIVE + 600_000
    fleet.inject([make_fault(kind, fleet.devices[PUMP], begin, begin + seconds * 1000, metric)])
    return calm, fleet.history(begin, begin + (seconds + 20) * 1000, 1000)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", SIGNS)
def test_a_fault_moves_its_metrics_by_many_sigmas_in_the_direction_of_its_physics(kind, seed):
    calm, faulty = run_with(kind, seed)
    for name, sigmas in SIGNS[kind].items():
        normal = calm.values[name][:, PUMP]
        end = faulty.values[name][9:12, PUMP].mean()
        moved = (end - normal.mean()) / normal.std()
        assert moved / sigmas > 1, f"{kind}: {name} moved {moved:.1f} sigmas, not {sigmas}"


@pytest.mark.parametrize("kind", SIGNS)
def test_a_fault_shows_within_five_readings_of_one_a_second(kind):
    calm, faulty = run_with(kind)
    most = max(
        abs(faulty.values[name][:5, PUMP] - calm.values[name][:, PUMP].mean()).max() / calm.values[name][:, PUMP].std()
        for name in METRICS
    )
    assert most > 10


def test_cavitation_makes_flow_and_pressure_unsteady():
    calm, faulty = run_with(FaultKind.CAVITATION, seconds=40)
    for name in ("flow", "discharge_pressure"):
        normal = np.diff(calm.values[name][:, PUMP]).std()
        assert np.diff(faulty.values[name][10:40, PUMP]).std() > 4 * normal, name


def test_a_blocked_filter_alone_does_not_cavitate():
    calm, faulty = run_with(FaultKind.BLOCKED_FILTER)
    assert faulty.values["vibration"][:, PUMP].max() < 1.5 * calm.values["vibration"][:, PUMP].mean()


def test_a_fault_leaves_the_other_pumps_byte_for_byte_as_they_were():
    healthy = Fleet(5, 4).history(START, START + 60_000, 1000)
    fleet = Fleet(5, 4)
    fleet.inject([make_fault(kind, "pump-03", START + 10_000, START + 40_000) for kind in SIGNS])
    faulty = fleet.history(START, START + 60_000, 1000)
    others = [0, 1, 3, 4]
    for name in METRICS:
        assert np.array_equal(healthy.values[name][:, others], faulty.values[name][:, others])
        assert np.array_equal(healthy.values[name][:10], faulty.values[name][:10])


@pytest.mark.parametrize("live", [True, False], ids=["step by step", "in one history"])
@pytest.mark.parametrize("metric", FREEZABLE)
def test_a_stuck_sensor_freezes_exactly_one_metric_at_its_last_value(metric, live):
    fault = make_fault(FaultKind.SENSOR_STUCK, "pump-03", START + 10_000, START + 30_000, metric)
    healthy = Fleet(5, 4).history(START, START + 60_000, 1000)
    fleet = Fleet(5, 4, faults=[fault])
    if live:
        rows = [fleet.step(ts) for ts in range(START, START + 60_000, 1000)]
        values = {name: np.array([[one["values"][name] for one in row] for row in rows]) for name in METRICS}
    else:
        values = fleet.history(START, START + 60_000, 1000).values
    changed = {name for name in METRICS if not np.array_equal(values[name], healthy.values[name])}
    assert changed == {metric}
    assert set(values[metric][10:30, PUMP]) == {healthy.values[metric][9, PUMP]}
    assert np.array_equal(values[metric][30:], healthy.values[metric][30:])


def test_every_kind_is_planned_once_on_a_pump_of_its_own_in_a_demo_of_a_minute():
    for seed in range(50):
        plan = plan_faults(Fleet(20, 1).devices, LIVE, LIVE + 60_000, seed)
        assert {fault.kind for fault in plan} == set(ALL)
        assert len({fault.device for fault in plan}) == 6
        assert all(12_000 <= fault.end_ms - fault.start_ms <= 25_000 for fault in plan)
        assert all(fault.start_ms >= LIVE + 8_000 and fault.end_ms <= LIVE + 57_000 for fault in plan)


@settings(max_examples=300, deadline=None)
@given(
    seconds=st.integers(1, 7200),
    pumps=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    kinds=st.lists(st.sampled_from(ALL), min_size=1, unique=True),
)
def test_any_window_gets_a_plan_that_fits_into_it(seconds, pumps, seed, kinds):
    devices = [f"pump-{number:02d}" for number in range(pumps)]
    end = LIVE + seconds * 1000
    plan = plan_faults(devices, LIVE, end, seed, kinds)
    assert plan == plan_faults(devices, LIVE, end, seed, kinds)
    assert 1 <= len(plan) <= min(pumps, len(kinds))
    assert len({fault.device for fault in plan}) == len({fault.kind for fault in plan}) == len(plan)
    assert {fault.kind for fault in plan} <= set(kinds)
    for fault in plan:
        assert LIVE + min(100 * seconds, 60_000) <= fault.start_ms < fault.end_ms <= end
        assert (fault.metric is not None) == (fault.kind is FaultKind.SENSOR_STUCK)
    assert all(one.start_ms <= other.start_ms for one, other in itertools.pairwise(plan))


def test_a_window_of_ten_seconds_has_one_fault_long_enough_to_be_found():
    (fault,) = plan_faults(["pump-01", "pump-02"], LIVE, LIVE + 10_000, seed=1)
    assert fault.end_ms - fault.start_ms >= 5_000


def test_every_fault_names_its_runbook():
    names = {kind: make_fault(kind, "d", 0, 1, "flow" if kind is FaultKind.SENSOR_STUCK else None) for kind in ALL}
    assert {kind.value: fault.expected_runbook for kind, fault in names.items()} == {
        "bearing_wear": "pump-bearing-wear.md",
        "cavitation": "pump-cavitation.md",
        "leak": "pump-pressure-loss.md",
        "blocked_filter": "blocked-filter.md",
        "sensor_stuck": "sensor-stuck.md",
        "power_dip": "power-dip.md",
    }


def test_a_fault_grows_over_its_ramp_and_ends_at_its_end():
    wear = make_fault(FaultKind.BEARING_WEAR, "pump-01", 10_000, 20_000)
    severity = wear.severity(np.array([9_999, 10_000, 11_500, 13_000, 19_999, 20_000]))
    assert severity.round(2).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("device", "metric", "message"), [("pump-99", "flow", "the fleet has"), ("pump-01", "torque", "no metric")]
)
def test_a_fault_that_the_fleet_cannot_have_is_refused(device, metric, message):
    with pytest.raises(ValueError, match=message):
        Fleet(2, 1, faults=[make_fault(FaultKind.SENSOR_STUCK, device, 0, 1, metric)])


def test_only_a_stuck_sensor_has_a_metric():
    with pytest.raises(ValueError, match="a metric belongs to"):
        make_fault(FaultKind.LEAK, "pump-01", 0, 1, "flow")
