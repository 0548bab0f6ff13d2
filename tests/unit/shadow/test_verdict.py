"""What speaks against a candidate, and what is within chance or the target."""

import pytest

from watchkeeper.shadow.counting import BINS, Counts, Openings, Side
from watchkeeper.shadow.verdict import WEEK_MS, account_of, chance_of, objections

EVEN = (100,) * BINS


def counts(own, other, weeks=(50, 10), confirmed=5, rejected=3):
    return Counts(own, other, weeks[0] * WEEK_MS, weeks[1] * WEEK_MS, 60, 1000, confirmed, rejected)


def side(recent=(20, 2), later=(4, 1), found=4, reopened=1, scores=EVEN):
    return Side(Openings(*recent), Openings(*later), found, reopened, scores)


def test_equals_are_not_worse():
    assert objections(counts(side(), side()), "m-1") == ()


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"found": 3}, "it finds 3 of 5 confirmed episodes, m-1 4"),
        ({"reopened": 2}, "it opens in 2 of 3 rejected episodes, m-1 in 1"),
        (
            {"recent": (60, 42)},
            "before it was learnt, it opens 60 times in 50.00 device weeks, m-1 20 times: 42 only it",
        ),
        ({"later": (15, 12)}, "after it was learnt, it opens 15 times in 10.00 device weeks, m-1 4 times: 12 only it"),
        ({"scores": (0,) * (BINS // 2) + (200,) * (BINS // 2)}, "its scores are distributed otherwise: index"),
    ],
    ids=["found", "reopened", "loud before", "loud after", "scores"],
)
def test_one_thing_that_is_worse_is_enough(own, says):
    (why,) = objections(counts(side(**own), side()), "m-1")
    assert why.startswith(says)


def test_more_openings_than_the_target_are_no_objection_where_the_model_in_force_has_as_many():
    assert objections(counts(side(recent=(90, 5)), side(recent=(87, 2))), "m-1") == ()


def test_more_openings_than_in_force_are_no_objection_within_the_target():
    assert objections(counts(side(recent=(30, 28)), side(recent=(2, 0))), "m-1") == ()


def test_better_is_not_worse():
    assert objections(counts(side((0, 0), (0, 0), 5, 0), side()), "") == ()


def test_it_needs_readings_that_it_cannot_have_learnt():
    (why,) = objections(counts(side(later=(0, 0)), side(later=(0, 0)), weeks=(50, 0)), "m-1")
    assert why == "no device that is past its first readings was heard after it was learnt"
    assert objections(counts(side(), side(), weeks=(50, 0)), "m-1", needs_later=False) == ()


def test_chance_is_that_of_a_fair_coin():
    assert chance_of(0, 0) == 1
    assert chance_of(5, 0) == 1 / 32
    assert chance_of(0, 5) == 1
    assert chance_of(2, 1) == 0.5
    assert 0 < chance_of(2500, 1500) < 1e-50


def test_the_account_names_the_numbers_of_both():
    told = account_of(counts(side(), side(found=3)), "")
    assert "beside no model: confirmed episodes found 4 to 3 of 5" in told
    assert "20 to 20 in 50.00 device weeks before it was learnt and 4 to 4 in 10.00 after" in told
