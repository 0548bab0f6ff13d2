"""Stored readings scored again are scored as `ml_score` does it, each stretch by itself; and what is counted of it."""

import numpy as np
import pytest

from tests.unit.shadow.support import MINUTE, NOW, garbage, sound
from watchkeeper.detection.classes import ClassBook, ClassKnowledge
from watchkeeper.detection.scorer import score
from watchkeeper.detection.state import DetectorState
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.records import Flag
from watchkeeper.series.query import DeviceHistory
from watchkeeper.shadow import rescoring
from watchkeeper.shadow.counting import Openings, count_device, count_review, only_of, stretches_of
from watchkeeper.shadow.rescoring import Rescored, rescore

NONE = Bundle.from_files({})


def history(seed, n=160, metrics=("a", "b"), device="d"):
    values = np.random.default_rng(seed).normal(50, 1, (len(metrics), n))
    values[:, 130:140] += 15
    values[0, 7:8] = np.nan
    flags = np.full(n, int(Flag.ANOMALOUS | Flag.BACKFILL))
    return DeviceHistory("acme", device, metrics, NOW + np.arange(n) * MINUTE, values, flags)


@pytest.mark.parametrize("of", ["none", "sound", "garbage"])
def test_it_is_what_the_scorer_says_of_each_history_alone(of, monkeypatch):
    model = {"none": lambda: None, "sound": lambda: sound("m-1"), "garbage": lambda: garbage("m-2")}[of]()
    monkeypatch.setattr(rescoring, "ROWS", 90)
    histories = [history(1), history(2, 120, ("c",), "e"), history(3, device="d"), history(4, 3)]
    for found, given in zip(rescore(histories, NONE, model), histories, strict=True):
        plain = score(
            DetectorState.empty(), ["x"], np.zeros(len(given.ts), np.int64), given.ts, given.metrics, given.values.T,
            model=model,
        )  # fmt: skip
        np.testing.assert_allclose(found.score, plain.score, atol=5.1e-5)  # packs carry four decimals
        assert found.anomalous.tolist() == plain.anomalous.tolist()
        assert found.warming.tolist() == plain.warming.tolist()
    assert rescore(histories, NONE, None)[0].anomalous[130:140].any()


def test_what_people_said_of_a_class_moves_its_bar_here_too():
    raised, lowered = (
        ClassBook(NOW, {"acme": {"generic": ClassKnowledge(factor=factor)}, "0": {"generic": ClassKnowledge(99.0)}})
        for factor in (1.5, 0.8)
    )
    scores = [rescore([history(1)], NONE, None, book)[0].score[100:].mean() for book in (raised, None, lowered)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[2]


def test_nothing_is_rescored_to_nothing():
    assert rescore([], NONE, None) == []


def said(*anomalous, n=10):
    flags = np.zeros(n, bool)
    for first, after in anomalous:
        flags[first:after] = True
    return Rescored(np.where(flags, 0.9, 0.1), flags, np.arange(n) < 1)


def test_openings_are_told_by_span_and_whether_one_alone_has_them():
    ts = np.arange(10)
    counts = count_device(ts, said((2, 4), (7, 9)), said((3, 5)), trained=6, confirmed=[])
    assert counts.candidate.recent == Openings(1, 0)
    assert counts.candidate.later == Openings(1, 1)
    assert (counts.in_force.recent, counts.in_force.later) == (Openings(1, 0), Openings())
    assert (counts.recent_ms, counts.later_ms, counts.readings) == (4, 3, 10)
    assert sum(counts.candidate.scores) == 9
    assert counts.candidate.scores[18] == 4
    assert counts.score_drift > 0


def test_what_people_have_confirmed_is_no_false_opening():
    ts = np.arange(10) * 600_001
    candidate = said((2, 4), (7, 9))
    confirmed = [(3 * 600_001, 3 * 600_001)]
    assert count_device(ts, candidate, said(), trained=10**9, confirmed=confirmed).candidate.recent == Openings(1, 1)


@pytest.mark.parametrize(("at", "hit"), [(30, 0), (31, 1), (40, 1), (55, 1), (56, 0)])
def test_a_reviewed_episode_is_found_within_ten_minutes_of_it(at, hit):
    ts = np.arange(100) * MINUTE
    start, end = 41 * MINUTE, 45 * MINUTE
    counts = count_review(ts, said((at, at + 1), n=100), said(n=100), start, end, confirmed=True)
    assert (counts.candidate.found, counts.in_force.found, counts.confirmed) == (hit, 0, 1)
    counts = count_review(ts, said((at, at + 1), n=100), said(n=100), start, end, confirmed=False)
    assert (counts.candidate.reopened, counts.candidate.found, counts.rejected) == (hit, 0, 1)


def test_stretches_at_both_ends_are_whole():
    first, after = stretches_of(np.array([True, False, True, True]))
    assert (first.tolist(), after.tolist()) == ([0, 2], [1, 4])
    assert only_of(np.array([True, False, True]), np.array([True, True, False]))[1].tolist() == [False, True]
