"""Seasons by the device's own clocks: the time of day, and days of rest that are not like working days."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from tests.unit.core.golden_samples import FOLDER
from watchkeeper.detection.scorer import score
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


class Seen(NamedTuple):
    """Of a group of devices: what was expected (n, devices), the readings that open episodes, the shares of rest."""

    expected: np.ndarray
    opened: list[int]
    rest_share: np.ndarray


def watch(ts: np.ndarray, *groups: tuple[np.ndarray, LocalTime]) -> list[Seen]:
    """Readings of some groups of devices (n, devices), each by clocks of its own; all in one batch, which is cheap."""
    x = np.hstack([values for values, _ in groups])
    n, devices = x.shape
    owner, names = np.tile(np.arange(devices), n), [str(number) for number in range(devices)]
    clocks = [local for values, local in groups for _ in range(values.shape[1])]
    own = LocalTime(*(np.stack(parts, 1).ravel() for parts in zip(*clocks, strict=True)))
    state = DetectorState.empty()
    got = score(state, names, owner, np.repeat(ts, devices), ["power"], x.reshape(-1, 1), local=own, views=True)
    assert got.views is not None
    expected, share = got.views.expected.reshape(x.shape), state.series["rest_share"][:devices] / WHOLE
    edges = [edge.row for edge in got.edges if edge.phase == "open"]
    ends = np.cumsum([values.shape[1] for values, _ in groups])
    return [
        Seen(expected[:, low:high], [row // devices for row in edges if low <= row % devices < high], share[low:high])
        for low, high in pairwise([0, *ends.tolist()])
    ]


def moments(weeks: int, step_ms: int, start: int = MONDAY) -> np.ndarray:
    return start + step_ms // 2 + step_ms * np.arange(weeks * 7 * DAY_MS // step_ms)


def missed(seen: Seen, x: np.ndarray, rows: np.ndarray) -> float:
    """How far what was expected is from what came, in the median of some rows."""
    return float(np.nanmedian(np.abs(seen.expected - x)[rows]))


def all_working(ts: np.ndarray) -> LocalTime:
    return LocalTime(ts, np.zeros(ts.size, bool))


@pytest.mark.slow
def test_quiet_weekends_make_fewer_false_alarms_than_they_made_as_working_days() -> None:
    devices, weeks = 8, 7
    ts = moments(weeks, 300_000)
    x = office(utc(ts), 45.0, devices)
    alike, own = watch(ts, (x, all_working(ts)), (x, utc(ts)))
    opened = [sum(row >= 3 * ts.size // weeks for row in seen.opened) for seen in (alike, own)]
    assert opened[0] >= 8
    assert opened[1] <= 0.7 * opened[0]
    assert (np.abs(own.rest_share) < 0.1).all()


def test_days_of_rest_are_learnt_from_themselves_and_where_they_are_like_the_others_leave_the_profile_whole() -> None:
    ts = moments(20, HOUR_MS)
    local = utc(ts)
    x, every_day = office(local, 30.0, 4), office(all_working(ts), 30.0, 4)
    at_noon = local.resting & (ts // HOUR_MS % 24 > 9) & (ts // HOUR_MS % 24 < 16) & (np.arange(ts.size) > ts.size // 4)
    alike, own, like_others = watch(ts, (x, all_working(ts)), (x, local), (every_day, local))
    assert missed(own, x, at_noon) < 0.75 * missed(alike, x, at_noon)
    assert like_others.rest_share == pytest.approx(np.ones(4), abs=0.15)


def test_the_profile_follows_the_clocks_of_the_wall_through_summer_time() -> None:
    turned = 1_774_746_000_000  # 29 March 2026, 01:00 UTC
    ts = moments(6, HOUR_MS, turned - 5 * 7 * DAY_MS)
    local = ts + offsets(ts, BERLIN)
    berlin = LocalTime(local, WORKING_DAYS.rests(local))
    assert set(np.unique(local - ts).tolist()) == {HOUR_MS, 2 * HOUR_MS}
    x = office(berlin, 30.0, 4)
    ramp = np.isin(local // HOUR_MS % 24, (7, 17)) & (ts > turned) & ~berlin.resting
    by_utc, by_wall = watch(ts, (x, utc(ts)), (x, berlin))
    assert missed(by_wall, x, ramp) < 0.75 * missed(by_utc, x, ramp)


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
