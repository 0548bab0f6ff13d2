"""When an alarm is raised and when not: once, again after it has cleared, not for trifles, whatever the clock says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.detection.series_of import START, noise, times
from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.scorer import Scored, score
from watchkeeper.detection.series import INDEX
from watchkeeper.detection.state import DetectorState

MINUTE = 60_000


def each_a_device(x: np.ndarray, ts: np.ndarray) -> tuple[Scored, DetectorState]:
    """The columns of x (n, devices) at their times, in one batch, in which many devices cost little more than one."""
    n, devices = x.shape
    names, owner, state = [str(d) for d in range(devices)], np.tile(np.arange(devices), n), DetectorState.empty()
    return score(state, names, owner, ts.ravel(), ["m"], x.reshape(-1, 1)), state


def watch(x: np.ndarray, ts: np.ndarray | None = None, state: DetectorState | None = None) -> Scored:
    ts = times(len(x), MINUTE) if ts is None else ts
    return score(state or DetectorState.empty(), ["d"], np.zeros(len(x), int), ts, ["m"], x[:, None])


def opened(got: Scored) -> list[int]:
    return [edge.row for edge in got.edges if edge.phase == "open"]


def spiky(at: list[int], height: float = 25.0, length: int = 6, n: int = 4000) -> np.ndarray:
    x = noise("gaussian", n, 3)
    for start in at:
        x[start : start + length] += height
    return x


def test_a_fault_that_flickers_is_one_episode_and_one_that_comes_again_after_it_has_cleared_is_another() -> None:
    x = np.stack([spiky([2000, 2012, 2024, 2036]), spiky([2000, 3000])], 1)
    rows = opened(each_a_device(x, np.repeat(times(len(x), MINUTE), 2))[0])
    flickering, apart = ([row // 2 for row in rows if row % 2 == device] for device in range(2))
    assert len(flickering) == 1
    assert [row // 10 for row in apart] == [200, 300]


def test_after_an_episode_it_takes_more_to_open_the_next_until_that_has_faded() -> None:
    state = DetectorState.empty()
    watch(spiky([2000], n=2060), state=state)
    soon = float(state.devices["raised"][0])
    watch(noise("gaussian", 500, 4), times(2560, MINUTE)[2060:], state)
    assert 0.5 * DEFAULT.raised_by < soon <= DEFAULT.raised_by
    assert state.devices["raised"][0] < 0.05


@pytest.mark.parametrize("level", [0.002, 100.0, -4e6])
def test_a_first_change_of_a_thousandth_of_a_constant_is_too_small_to_matter(level: float) -> None:
    x = np.full(900, level)
    x[500:] *= 1.001
    assert not opened(watch(x))


def test_a_change_within_the_resolution_of_a_sensor_is_too_small_to_matter_unless_it_lasts() -> None:
    x = 20.0 + 0.5 * (np.random.default_rng(2).random((4000, 8)) < 0.02)
    x[3000:3003] += 0.25
    ts = np.repeat(times(4000, MINUTE)[:, None], 8, 1)
    assert not opened(each_a_device(x, ts)[0])
    x[3003:] += 0.25
    assert len(opened(each_a_device(x, ts)[0])) == 8


def test_what_is_flagged_is_not_learnt_from_unless_it_lasts() -> None:
    state = DetectorState.empty()
    watch(noise("gaussian", 2000, 1), state=state)

    def usual() -> tuple[float, float]:
        fields = state.series["fields"][0]
        return float(state.series["anchor"][0] + fields[INDEX["slow"]]), float(fields[INDEX["spread"]])

    level, spread = usual()
    watch(np.full(60, 5000.0), times(2060, MINUTE)[2000:], state)
    assert usual() == pytest.approx((level, spread), rel=1e-5)
    watch(5000.0 + noise("gaussian", 1500, 2), times(3560, MINUTE)[2060:], state)
    assert usual()[0] == pytest.approx(5050.0, abs=3.0)


def test_a_clock_that_stands_still_creeps_or_leaps_opens_nothing_on_its_own() -> None:
    steps = np.tile([0, 1, 250, 10**12], 4)
    x = np.stack([noise("gaussian", 600, seed) for seed in range(4) for _ in range(4)], 1)
    usual = np.repeat(1000 * np.arange(300)[:, None], 16, 1)
    ts = START + np.concatenate([usual, 300_000 + steps * np.arange(300)[:, None]])
    got, state = each_a_device(x, ts)
    assert not got.edges
    again = DetectorState.decode(state.encode())
    assert again.encode() == state.encode()
    rows = [again.rows[str(device)] for device in range(16)]
    assert (again.devices["last_ts"][rows] == ts[-1]).all()


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-6, 1e6), st.booleans(), st.integers(120, 560)), min_size=4, max_size=8))
def test_a_unit_that_changes_midway_never_breaks_the_state(changes: list[tuple[float, bool, int]]) -> None:
    x = np.repeat(noise("gaussian", 600, 1)[:, None], len(changes), 1)
    for device, (factor, negative, at) in enumerate(changes):
        x[at:, device] *= -factor if negative else factor
    got, state = each_a_device(x, np.repeat(times(600, MINUTE), len(changes)))
    assert ((got.score >= 0) & (got.score <= 1)).all()
    assert DetectorState.decode(state.encode()).encode() == state.encode()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=12))
def test_metrics_that_come_and_go_within_and_beyond_the_cap_are_scored_or_counted(held: list[int]) -> None:
    names = [f"m{number:02d}" for number in range(90)]
    x, chance = np.full((len(held), 90), np.nan), np.random.default_rng(1)
    for row, count in enumerate(held):
        x[row, chance.permutation(90)[:count]] = 1.0
    state = DetectorState.empty()
    got = score(state, ["d"], np.zeros(len(held), int), times(len(held)), names, x)
    kept = np.isin(names, list(state.slots[0]))
    assert state.used <= DEFAULT.most_metrics
    assert got.unscored == np.isfinite(x[:, ~kept]).sum()
    assert DetectorState.decode(state.encode()).encode() == state.encode()
