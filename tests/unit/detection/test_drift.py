"""The drift of a metric: found where it was planted, none where there is none, nothing said of too few values."""

import numpy as np
import pytest

from watchkeeper.detection.drift import FEWEST, MUCH, drift, sketch

RNG = np.random.default_rng(11)
DAY = RNG.normal(20, 2, 1440)
MONTH = RNG.normal(20, 2, 20_000)


@pytest.mark.parametrize(
    "moved",
    [DAY + 2.5, DAY - 2.5, (DAY - 20) * 2.5 + 20, (DAY - 20) / 3 + 20, DAY * 1.8 + 32, np.full(200, 20.0)],
    ids=["up", "down", "wider", "narrower", "other unit", "stuck"],
)
def test_planted_drift_is_much(moved):
    assert drift(sketch(MONTH), moved) > MUCH


@pytest.mark.parametrize("rows", [FEWEST, 200, 1440, 20_000])
def test_without_drift_there_is_none_to_speak_of(rows):
    rng = np.random.default_rng(rows)
    indices = [drift(sketch(rng.normal(5, 1, 5000)), rng.normal(5, 1, rows)) for _ in range(100)]
    assert np.median(indices) < 0.1
    assert np.mean(np.array(indices) > MUCH) <= 0.02


def test_the_same_values_have_not_drifted():
    assert drift(sketch(MONTH), MONTH) == pytest.approx(0, abs=1e-12)


def test_a_constant_can_move_either_way_and_stays_where_it_stays():
    constant = sketch(np.full(500, 7.0))
    assert drift(constant, np.full(300, 7.0)) == pytest.approx(0, abs=1e-12)
    for other in (6.999, 7.001, -7.0):
        assert drift(constant, np.full(300, other)) > MUCH


def test_a_switch_that_is_on_more_often_has_drifted():
    switch = sketch((RNG.random(3000) < 0.3).astype(float))
    assert drift(switch, (RNG.random(1000) < 0.3).astype(float)) < 0.1
    assert drift(switch, (RNG.random(1000) < 0.7).astype(float)) > MUCH


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_out(bad):
    holes = np.concatenate([DAY, np.full(1000, bad)])
    assert sketch(holes) == sketch(DAY)
    assert drift(sketch(MONTH), holes) == drift(sketch(MONTH), DAY)


@pytest.mark.parametrize("few", [np.zeros(0), np.full(500, np.nan), DAY[: FEWEST - 1]])
def test_of_too_few_values_nothing_is_said(few):
    assert sketch(few) is None
    assert drift(sketch(MONTH), few) is None


def test_the_greatest_and_the_smallest_numbers_are_numbers():
    wild = np.resize([1.7e308, -1.7e308, 5e-324, 0.0], 400)
    assert drift(sketch(wild), wild) == pytest.approx(0, abs=1e-12)
    assert drift(sketch(wild), np.full(400, 1.7e308)) > MUCH
