"""Seasons by the device's own clocks: the time of day, and days of rest that are not like working days."""

import numpy as np
import pytest

from tests.unit.core.golden_samples import FOLDER
from watchkeeper.detection.scorer import Scored, score
from watchkeeper.detection.season import LocalTime, utc
from watchkeeper.detection.series import INDEX, WHOLE
from watchkeeper.detection.state import DetectorState
from watchkeeper.knowledge.calendars import Calendar, offsets

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MONDAY = 1_766_966_400_000  # 29 December 2025, 00:00 UTC
BERLIN = "Europe/Berlin"
WORKING_DAYS = Calendar(days=(0, 1, 2, 3, 4))


def office(local: LocalTime, height: float, seeds: int) -> np.ndarray:
    """The power of offices (n, seeds): an hour's ramp up at 7 and down at 17 by the wall's clocks; flat at rest."""
    hour = local.ms % DAY_MS / HOUR_MS
    hump = height * np.interp(hour, [7, 8, 17, 18], [0, 1, 1, 0]) * ~local.resting
    noise = [np.random.default_rng(seed).standard_normal(hour.size) for seed in range(seeds)]
    return 50.0 + hump[:, None] + np.stack(noise, 1)


def watch(x: np.ndarray, ts: np.ndarray, local: LocalTime) -> tuple[Scored, DetectorState]:
    """A reading of each device (n, devices) at each time."""
    n, devices = x.shape
    state, who = DetectorState.empty(), np.tile(np.arange(devices), n)
    own = LocalTime(np.repeat(local.ms, devices), np.repeat(local.resting, devices))
    names = [str(number) for number in range(devices)]
    got = score(state, names, who, np.repeat(ts, devices), ["power"], x.reshape(-1, 1), local=own, views=True)
    return got, state


def moments(weeks: int, step_ms: int, start: int = MONDAY) -> np.ndarray:
    return start + step_ms // 2 + step_ms * np.arange(weeks * 7 * DAY_MS // step_ms)


def missed(got: Scored, x: np.ndarray, rows: np.ndarray) -> float:
    """How far what was expected is from what came, in the median of some rows."""
    assert got.views is not None
    away = np.abs(got.views.expected.reshape(x.shape) - x)[rows]
    return float(np.nanmedian(away))


@pytest.mark.slow
def test_quiet_weekends_make_fewer_false_alarms_than_they_made_as_working_days() -> None:
    devices, weeks = 8, 7
    ts = moments(weeks, 300_000)
    x = office(utc(ts), 45.0, devices)
    opened = []
    for local in (LocalTime(ts, np.zeros(ts.size, bool)), utc(ts)):
        got, state = watch(x, ts, local)
        late = 3 * ts.size // weeks * devices
        opened.append(sum(edge.phase == "open" and edge.row >= late for edge in got.edges))
    assert opened[0] >= 8
    assert opened[1] <= 0.7 * opened[0]
    assert (np.abs(state.series["rest_share"][:devices] / WHOLE) < 0.1).all()


def test_what_is_expected_of_days_of_rest_is_learnt_from_them() -> None:
    ts = moments(20, HOUR_MS)
    local = utc(ts)
    x = office(local, 30.0, 4)
    at_noon = local.resting & (ts // HOUR_MS % 24 > 9) & (ts // HOUR_MS % 24 < 16) & (np.arange(ts.size) > ts.size // 4)
    alike, _ = watch(x, ts, LocalTime(ts, np.zeros(ts.size, bool)))
    own, _ = watch(x, ts, local)
    assert missed(own, x, at_noon) < 0.75 * missed(alike, x, at_noon)


def test_the_profile_follows_the_clocks_of_the_wall_through_summer_time() -> None:
    turned = 1_774_746_000_000  # 29 March 2026, 01:00 UTC
    ts = moments(6, HOUR_MS, turned - 5 * 7 * DAY_MS)
    local = ts + offsets(ts, BERLIN)
    berlin = LocalTime(local, WORKING_DAYS.rests(local))
    assert set(np.unique(local - ts).tolist()) == {HOUR_MS, 2 * HOUR_MS}
    x = office(berlin, 30.0, 4)
    ramp = np.isin(local // HOUR_MS % 24, (7, 17)) & (ts > turned) & ~berlin.resting
    by_utc, _ = watch(x, ts, utc(ts))
    by_wall, _ = watch(x, ts, berlin)
    assert missed(by_wall, x, ramp) < 0.75 * missed(by_utc, x, ramp)


def test_days_of_rest_like_the_others_leave_the_profile_whole() -> None:
    ts = moments(20, HOUR_MS)
    x = office(LocalTime(ts, np.zeros(ts.size, bool)), 30.0, 4)
    _, state = watch(x, ts, utc(ts))
    assert state.series["rest_share"][:4] / WHOLE == pytest.approx(np.ones(4), abs=0.15)


def test_a_state_of_format_2_keeps_its_profile_and_scores_on_without_an_alert() -> None:
    state = DetectorState.decode((FOLDER / "state-ml_score-v2.bin").read_bytes())
    (name,) = state.rows
    assert (state.series["rest_share"] == WHOLE).all()
    assert (state.series["hours"] > 0).all()
    profile, levels = state.series["profile"].copy(), state.series["fields"][:, INDEX["slow"]].copy()
    again = DetectorState.decode(state.encode())
    assert (again.series["profile"] == profile).all()
    assert (again.series["fields"][:, INDEX["slow"]] == levels).all()
    last = int(again.devices["last_ts"][0])
    usual = again.series["anchor"][[again.slots[0][metric] for metric in sorted(again.slots[0])]]
    ts = last + 1000 * np.arange(1, 41)
    got = score(again, [name], np.zeros(40, int), ts, sorted(again.slots[0]), np.tile(usual, (40, 1)))
    assert not got.edges
