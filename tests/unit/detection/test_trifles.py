"""What is too small to matter is ignored in a series that hardly ever changes, and in no other."""

import functools

import numpy as np
import pytest

from tests.unit.detection.series_of import F64, START
from watchkeeper.detection.scorer import score
from watchkeeper.detection.state import DetectorState

N, AT, SOON = 1000, 700, 60
LEVELS = [1e-6, 0.02, 1.0, 293.15, 2000.0, 4e9]
WAYS = ("to stay", "for three readings", "to and fro", "as it creeps")


def opened(each: list[F64]) -> list[list[int]]:
    """Of each device, its values (n) or (n, m) once a minute, all in one batch: the readings that open an episode."""
    x = np.stack([one.reshape(len(one), -1) for one in each], axis=1)
    n, devices, metrics = x.shape
    ts = START + 60_000 * np.repeat(np.arange(n, dtype=np.int64), devices)
    names = [str(number) for number in range(devices)]
    owner = np.tile(np.arange(devices), n)
    got = score(DetectorState.empty(), names, owner, ts, [f"m{m}" for m in range(metrics)], x.reshape(-1, metrics))
    rows = [edge.row for edge in got.edges if edge.phase == "open"]
    return [[row // devices for row in rows if row % devices == device] for device in range(devices)]


def flat(level: float, share: float, how: str = "to stay") -> F64:
    """A constant that moves by a share of itself from AT on."""
    x, n = np.full(N, level), N - AT
    x[AT:] += level * share * {
        "to stay": np.ones(n),
        "for three readings": (np.arange(n) < 3).astype(float),
        "to and fro": (np.arange(n) // 7 % 2).astype(float),
        "as it creeps": np.minimum(np.arange(n) // 40 / 6, 1.0),
    }[how]  # fmt: skip
    return x


def soon(rows: list[int]) -> bool:
    return any(AT <= row < AT + SOON for row in rows)


def test_a_constant_that_moves_by_less_than_half_a_percent_opens_nothing() -> None:
    cases = [
        (sign * level, share, how) for level in LEVELS for sign in (1, -1) for share in (1e-4, 0.004) for how in WAYS
    ]
    assert opened([flat(*case) for case in cases]) == [[]] * len(cases)


def test_a_constant_that_really_moves_opens_an_episode() -> None:
    cases = [(sign * level, share) for level in LEVELS for sign in (1, -1) for share in (0.02, -0.1, 3.0)]
    assert all(len(rows) == 1 and soon(rows) for rows in opened([flat(*case) for case in cases]))


def test_a_constant_among_lively_metrics_is_held_to_the_same() -> None:
    x = np.tile(np.random.default_rng(1).standard_normal((N, 4)) + 50.0, (3, 1, 1))
    for device, share in enumerate((0.0, 0.004, 0.2)):
        x[device, :, 0] = flat(2000.0, share)
    assert [bool(rows) for rows in opened(list(x))] == [False, False, True]


def test_a_constant_that_begins_to_jitter_by_a_thousandth_opens_nothing_and_by_a_tenth_it_does() -> None:
    jitter = np.random.default_rng(0).standard_normal((2, N)) * [[2.0], [200.0]]
    jitter[:, :AT] = 0.0
    little, much = opened(list(2000.0 + jitter))
    assert little == []
    assert soon(much)


@functools.cache
def wobbling() -> dict[tuple[float | None, float], list[list[int]]]:
    """By resolution and fault, the readings at which each of twelve thermometers opens an episode."""
    usual = 293.15 + 0.05 * np.random.default_rng(3).standard_normal((12, N))
    cases = {}
    for resolution in (None, 0.01, 0.1):
        x = usual if resolution is None else np.round(usual / resolution) * resolution
        for fault in (0.0, 2.0, -2.0):
            cases[resolution, fault] = np.where(np.arange(N) < AT, x, x + fault)
    rows = opened(list(np.concatenate(list(cases.values()))))
    return {case: rows[12 * place : 12 * place + 12] for place, case in enumerate(cases)}


@pytest.mark.parametrize("resolution", [None, 0.01, 0.1])
@pytest.mark.parametrize("fault", [2.0, -2.0])
def test_two_kelvin_are_found_in_a_temperature_that_wobbles_by_a_twentieth(
    resolution: float | None, fault: float
) -> None:
    assert not any(map(soon, wobbling()[resolution, 0.0]))
    assert all(map(soon, wobbling()[resolution, fault]))


def test_a_counter_that_races_is_found_however_far_it_has_come() -> None:
    usual = 10.0 + np.random.default_rng(4).standard_normal((6, N))
    racing = usual.copy()
    racing[:, AT : AT + 40] += 300.0
    counters = [start + steps.cumsum(axis=1).round() for steps in (usual, racing) for start in (0.0, 1e6)]
    rows = opened(list(np.concatenate(counters)))
    assert not any(map(soon, rows[:12]))
    assert all(map(soon, rows[12:]))


def test_a_rate_that_rests_at_zero_and_rises_is_found_however_small() -> None:
    x = np.zeros((4, N))
    x[:, AT:] = np.array([[0.0], [1e-9], [0.01], [1e3]])
    assert [soon(rows) for rows in opened(list(x))] == [False, True, True, True]
