"""The benchmark of the detector: its page is made from its results, and altered copies come back to their rows."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from watchkeeper_local.backtest import judge
from watchkeeper_local.backtest_file import Series

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "detection"


@pytest.fixture(autouse=True)
def _found(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("altered", "boards", "render", "terms"):
        sys.modules.pop(name, None)


def series(n=400):
    values = np.random.default_rng(1).normal(50.0, 1.0, (n, 3))
    ts = 1_700_000_000_000 + 60_000 * np.arange(n)
    return Series([str(at) for at in ts.tolist()], ts, ("a", "b", "c"), values, [])


def test_the_page_says_what_the_results_say():
    import render

    found = json.loads((FOLDER / "results.json").read_text("utf-8"))
    page = (FOLDER.parents[1] / "docs" / "detection.md").read_text("utf-8")
    assert page.partition(render.BEGIN)[2].partition(render.END)[0].strip() == render.as_markdown(found)


def test_the_page_says_what_was_found_of_the_terms_that_were_tried():
    import terms

    found = json.loads(terms.RESULTS.read_text("utf-8"))
    page = (FOLDER.parents[1] / "docs" / "detection.md").read_text("utf-8")
    assert page.partition(terms.BEGIN)[2].partition(terms.END)[0].strip() == terms.as_markdown(found)


def test_the_term_that_was_tried_sees_a_shape_that_never_was_and_is_nothing_at_no_weight():
    import terms

    whole = series(600)
    whole.values[:, 0] = 50.0 + 10.0 * (np.arange(600) % 8 < 4)
    whole.values[500:504, 0] = (60.0, 50.0, 60.0, 50.0)
    plain = terms.judged({"x": whole})["x"].score
    none, some = (terms.neighboured({"x": whole}, weight)["x"].score for weight in (0.0, 1.0))
    assert np.array_equal(none, plain)
    assert (some[500:508] > plain[500:508]).any()
    assert np.median(some[300:500] - plain[300:500]) == 0


@pytest.mark.parametrize("way", ["cropped", "shifted in time", "rescaled", "sensors permuted", "gaps and duplicates"])
def test_verdicts_on_an_altered_copy_come_back_to_the_rows_they_are_of(way):
    import altered
    import boards

    whole = series()
    copy = altered.WAYS[way](whole)
    marks = copy.origin.astype(float)
    back = altered.back({"x": copy}, {"x": boards.Verdict(marks, marks, marks)}, {"x": whole})["x"]
    kept = np.unique(copy.origin)
    assert back.score[kept].tolist() == kept.tolist()
    assert back.score.sum() == kept.sum()
    assert len(back.alert) == len(whole.ts)
    assert not np.array_equal(copy.series.values, whole.values) or not np.array_equal(copy.series.ts, whole.ts)


@pytest.mark.parametrize("way", ["shifted in time", "rescaled"])
def test_the_detector_says_the_same_of_a_copy_at_another_time_or_in_other_units(way):
    import altered

    whole = series(1500)
    whole.values[1200:, 1] += 8.0
    one, other = judge(whole), judge(altered.WAYS[way](whole).series)
    assert np.flatnonzero(one.alert).tolist() == np.flatnonzero(other.alert).tolist() != []
    np.testing.assert_allclose(one.score, other.score, atol=0.02)


def test_the_detector_says_the_same_of_sensors_under_each_others_names():
    import altered

    whole = series(1500)
    whole.values[1200:] += 3.0
    one, other = judge(whole), judge(altered.permuted(whole).series)
    np.testing.assert_allclose(one.score, other.score, atol=0.02)


DATA = FOLDER.parents[2] / "shared" / "data"
VISIBLE = (
    "nab/realTraffic/speed_7578.csv", "nab/realAdExchange/exchange-2_cpc_results.csv",
    "nab/realAdExchange/exchange-3_cpm_results.csv", "skab/valve2/3.csv", "skab/valve2/1.csv",
)  # fmt: skip
"""A few short files of both boards; the whole is what `make bench-detection` measures."""
AGREE = {
    "shifted in time": 1.0,
    "sensors permuted": 1.0,
    "rescaled": 0.97,
    "gaps and duplicates": 0.96,
    "cropped": 0.93,
}
"""Share of all rows that must be judged alike, and one alert of each file more or less."""


@pytest.mark.skipif(not DATA.is_dir(), reason="the boards' data are not in ../shared/data")
def test_an_altered_copy_of_a_visible_file_is_judged_nearly_as_the_file_is():
    import altered
    import boards

    from watchkeeper_local.backtest_file import read_series

    files = {name: read_series(DATA / name) for name in VISIBLE}
    copies = {(way, name): make(each) for way, make in altered.WAYS.items() for name, each in files.items()}
    given = {f"{way}/{name}": copy.series for (way, name), copy in copies.items()}
    said = boards.together(files | given)
    for way, least in AGREE.items():
        own = {name: said[f"{way}/{name}"] for name in files}
        back = altered.back({name: copies[way, name] for name in files}, own, files)
        alike = np.concatenate([back[name].anomalous == said[name].anomalous for name in files])
        assert alike.mean() >= least, way
        assert all(abs(back[name].alert.sum() - said[name].alert.sum()) <= 1 for name in files), way


def test_series_given_together_are_judged_as_each_is_alone():
    import boards

    whole = series(1200)
    whole.values[800:, 1] += 8.0
    other = Series(whole.stamps[:500], whole.ts[:500], ("b",), whole.values[:500, 1:2].copy(), [])
    said = boards.together({"x": whole, "y": other})
    for name, alone in (("x", judge(whole)), ("y", judge(other))):
        assert said[name].alert.tolist() == alone.alert.astype(float).tolist()
        assert said[name].score.tolist() == alone.score.tolist()
    assert said["x"].alert.any()
