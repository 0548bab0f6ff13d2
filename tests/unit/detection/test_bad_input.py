"""Whatever comes in: no crash, scores finite and in 0..1, and nothing depends on how the stream is cut."""

import functools
import zlib
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.detection.series_of import F64, I64, START, noise, times
from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.model import Model
from watchkeeper.detection.scorer import Edge, Scored, score
from watchkeeper.detection.state import MAGIC, DetectorState
from watchkeeper.detection.training import train
from watchkeeper.errors import StateError

EAGER = DetectorConfig(
    warm_readings=10,
    usual_surprise=0.5,
    least_surprise=1.5,
    joint_surprise=2.0,
    quiet_readings=3,
    quiet_ms=2000,
    relearn_readings=12,
    late_readings=5,
)
NASTY = [0.0, -0.0, 1.0, 5e-324, -1e-310, 1e300, -1.7e308, float("inf"), float("-inf"), float("nan")]
cells = st.one_of(st.sampled_from(NASTY), st.floats(-100, 100), st.floats(width=64))


@functools.cache
def small_model() -> Model:
    return train(np.abs(np.random.default_rng(0).standard_normal((300, 8))), seed=1, trees=10, max_samples=64)


@st.composite
def streams(draw: st.DrawFn) -> tuple[I64, I64, F64]:
    n = draw(st.integers(1, 60))
    device = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    steps = draw(
        st.lists(st.sampled_from([0, 1000, 1000, 60_000, 3_600_000, -5000, -(10**9), 10**10]), min_size=n, max_size=n)
    )
    values = draw(st.lists(st.tuples(cells, cells, cells), min_size=n, max_size=n))
    return np.array(device), START + np.cumsum(np.array(steps, np.int64)), np.array(values, np.float64)


def run(
    stream: tuple[I64, I64, F64],
    cuts: list[int],
    metrics: tuple[str, ...],
    order: list[int],
    model: Model | None = None,
) -> tuple[list[float], list[bool], list[bool], list[Edge], bytes]:
    device, ts, values = stream
    state = DetectorState.empty()
    scores: list[float] = []
    flags: list[bool] = []
    warming: list[bool] = []
    edges: list[Edge] = []
    bounds = sorted({0, len(ts), *cuts})
    for start, end in pairwise(bounds):
        part = slice(start, end)
        names = [metrics[i] for i in order]
        got = score(state, "abc", device[part], ts[part], names, values[part][:, order], model=model, config=EAGER)
        scores += got.score.tolist()
        flags += got.anomalous.tolist()
        warming += got.warming.tolist()
        edges += [msgspec.structs.replace(edge, row=edge.row + start) for edge in got.edges]
        state = DetectorState.decode(state.encode())
    return scores, flags, warming, edges, state.encode()


@settings(max_examples=60, deadline=None)
@given(streams(), st.lists(st.integers(0, 60), max_size=8), st.permutations([0, 1, 2]), st.booleans())
def test_nothing_depends_on_the_cuts_or_the_order_of_metrics(
    stream: tuple[I64, I64, F64], cuts: list[int], order: list[int], with_model: bool
) -> None:
    model = small_model() if with_model else None
    whole = run(stream, [], ("x", "y", "z"), [0, 1, 2], model)
    parts = run(stream, cuts, ("x", "y", "z"), order, model)
    assert whole == parts
    scores, flags, warming, edges, _ = whole
    assert all(0.0 <= s <= 1.0 for s in scores)
    assert not any(f and w for f, w in zip(flags, warming, strict=True))
    for edge in edges:
        assert 0.0 <= edge.confidence <= 1.0
        assert all(np.isfinite(v) for d in (edge.expected, edge.low, edge.high, edge.contribution) for v in d.values())


def test_long_streams_with_faults_are_the_same_however_they_are_cut() -> None:
    n, rng = 1500, np.random.default_rng(4)
    device = rng.integers(0, 3, n)
    values = np.stack([noise(kind, n, 3) for kind in ("gaussian", "heavy-tailed", "seasonal")], 1)
    values[750:850, 0] += 12.0
    values[rng.random((n, 3)) < 0.1] = np.nan
    stream = (device, times(n, 60_000), values)
    whole = run(stream, [], ("x", "y", "z"), [0, 1, 2], small_model())
    assert whole[3]
    for seed in range(3):
        cuts = np.random.default_rng(seed).integers(0, n, 40).tolist()
        assert run(stream, cuts, ("x", "y", "z"), [2, 0, 1], small_model()) == whole


def each_a_device(x: F64) -> Scored:
    """The columns of x (n, devices) in one batch, in which many devices cost little more than one."""
    n, devices = x.shape
    names, owner = [str(number) for number in range(devices)], np.tile(np.arange(devices), n)
    return score(DetectorState.empty(), names, owner, np.repeat(times(n), devices), ["m"], x.reshape(-1, 1))


def test_a_constant_is_never_anomalous() -> None:
    got = each_a_device(np.tile([0.0, 7.5, 1e300, 5e-324, -1e-310, np.nan, np.inf], (2000, 1)))
    assert not got.edges
    assert np.isfinite(got.score).all()


def test_extreme_noise_is_scored_in_bounds() -> None:
    got = each_a_device(noise("gaussian", 1500)[:, None] * [1e-310, 1e-300, 1e300])
    assert ((got.score >= 0) & (got.score <= 1)).all()


def test_one_reading_and_no_reading_are_warming() -> None:
    state = DetectorState.empty()
    none = score(state, [], np.zeros(0, int), times(0), [], np.zeros((0, 0)))
    one = score(state, ["d"], np.zeros(1, int), times(1), ["m"], np.ones((1, 1)))
    assert none.score.size == 0
    assert one.warming.tolist() == [True]
    assert one.score.tolist() == [0.0]


def test_a_late_reading_changes_nothing_and_a_clock_that_stays_behind_is_believed() -> None:
    state = DetectorState.empty()
    x = noise("gaussian", 600)[:, None]
    score(state, ["d"], np.zeros(600, int), times(600), ["m"], x)
    before = state.series.copy()
    score(state, ["d"], np.zeros(5, int), times(5), ["m"], np.full((5, 1), 1e6))
    assert (state.series == before).all()
    score(state, ["d"], np.zeros(300, int), times(300), ["m"], x[:300])
    assert state.devices["last_ts"][0] == times(300)[-1]


def test_a_metric_may_appear_and_vanish() -> None:
    x = np.stack([noise("gaussian", 1500, 1), noise("gaussian", 1500, 2)], 1)
    x[:700, 1] = np.nan
    x[1000:, 0] = np.nan
    got = score(DetectorState.empty(), ["d"], np.zeros(1500, int), times(1500), ["a", "b"], x)
    assert not got.edges
    assert not got.warming[101:].all()


@pytest.mark.parametrize(
    ("devices", "metrics", "shape"),
    [(["d", "d"], ["m"], (1, 1)), (["d"], ["m", "m"], (1, 2)), (["d"], ["m"], (1, 2)), ([], ["m"], (1, 1))],
)
def test_names_and_shapes_that_do_not_fit_are_refused(
    devices: list[str], metrics: list[str], shape: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=r"distinct|values|listed"):
        score(DetectorState.empty(), devices, np.zeros(1, int), times(1), metrics, np.ones(shape))


def stored() -> bytes:
    state = DetectorState.empty()
    score(state, ["d", "e"], np.arange(400) % 2, times(400), ["m"], noise("gaussian", 400)[:, None])
    return state.encode()


GOOD = stored()


def test_a_state_survives_encoding_within_its_budget() -> None:
    assert DetectorState.decode(GOOD).encode() == GOOD
    assert len(GOOD) <= 2 * (512 + 256)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(MAGIC.__add__)))
def test_garbage_is_a_state_error(data: bytes) -> None:
    with pytest.raises(StateError):
        DetectorState.decode(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(8, len(GOOD) - 1), st.integers(1, 255), st.booleans())
def test_a_changed_byte_is_noticed_or_harmless(at: int, flip: int, resealed: bool) -> None:
    data = bytearray(GOOD)
    data[at] ^= flip
    if resealed:
        data[4:8] = zlib.crc32(bytes(data[8:])).to_bytes(4, "little")
    try:
        state = DetectorState.decode(bytes(data))
    except StateError:
        return
    assert resealed
    got = score(state, ["d", "e"], np.arange(20) % 2, times(420)[400:], ["m"], noise("gaussian", 20)[:, None])
    assert ((got.score >= 0) & (got.score <= 1)).all()


def test_of_ten_thousand_metrics_the_first_are_scored_and_the_values_of_the_others_counted() -> None:
    names = [f"m{i:05d}" for i in range(10_000)]
    state = DetectorState.empty()
    x = np.random.default_rng(1).standard_normal((3, 10_000))
    got = score(state, ["d"], np.zeros(3, int), times(3), names, x)
    assert got.unscored == 3 * (10_000 - DEFAULT.most_metrics)
    assert len(state.encode()) <= 512 + 300 * DEFAULT.most_metrics
    assert np.isfinite(got.score).all()


def test_units_changed_midway_open_an_episode_and_are_learnt() -> None:
    x = noise("gaussian", 4000, 5)
    x[2000:] *= 1000.0
    got = score(DetectorState.empty(), ["d"], np.zeros(4000, int), times(4000, 60_000), ["m"], x[:, None])
    assert 2000 in {edge.row for edge in got.edges if edge.phase == "open"}
    assert not got.anomalous[3500:].any()


def test_confidence_falls_with_gaps() -> None:
    x = noise("gaussian", 1100, 2)
    x[1050:] += 30.0
    whole, gapped = times(1100, 60_000), times(1100, 60_000)
    gapped[1000:] += 5 * 86_400_000
    sure = []
    for ts in (whole, gapped):
        got = score(DetectorState.empty(), ["d"], np.zeros(1100, int), ts, ["m"], x[:, None])
        sure.append(next(edge.confidence for edge in got.edges if edge.row >= 1050))
    assert sure[1] < 0.8 * sure[0]


def test_a_reading_is_scored_from_the_first_one_on_and_contributions_add_up_to_the_surprise() -> None:
    x = np.stack([noise("gaussian", 300, seed) for seed in range(3)], axis=1)
    got = score(DetectorState.empty(), ["d"], np.zeros(300, int), times(300), ["a", "b", "c"], x, views=True)
    assert got.views is not None
    assert (got.score[10:100] > 0).any()
    surprise = DEFAULT.open_surprise * got.score / (1.0 - got.score)
    np.testing.assert_allclose(got.views.contribution.sum(axis=1)[:100], surprise[:100], rtol=1e-4, atol=1e-6)
