"""Faults are found, noise is not, and an episode tells what it saw."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from tests.unit.detection.series_of import SENSORS, noise, pump, times
from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.scorer import Scored, score
from watchkeeper.detection.series import INDEX
from watchkeeper.detection.state import DetectorState
from watchkeeper.detection.training import History, train, training_features

AT, MINUTE, WEEK_MS = 1500, 60_000, 7 * 86_400_000


def opened(got: Scored) -> list[int]:
    return [edge.row for edge in got.edges if edge.phase == "open"]


def watch(values: np.ndarray, step_ms: int = 1000, state: DetectorState | None = None) -> Scored:
    values = values.reshape(len(values), -1)
    names = SENSORS[: values.shape[1]]
    state = state or DetectorState.empty()
    return score(state, ["d"], np.zeros(len(values), int), times(len(values), step_ms), names, values)


def together(every: list[np.ndarray], step_ms: int = 1000) -> list[Scored]:
    """Each as a device of its own, in one batch: a round scores a reading of each, so that many cost little more."""
    n, names = len(every[0]), [str(i) for i in range(len(every))]
    values = np.concatenate([x.reshape(n, -1) for x in every])
    ts = np.tile(times(n, step_ms), len(every))
    device = np.repeat(np.arange(len(every)), n)
    got = score(DetectorState.empty(), names, device, ts, SENSORS[: values.shape[1]], values)
    spans = [slice(i * n, i * n + n) for i in range(len(every))]
    return [
        Scored(
            got.score[span],
            got.warming[span],
            got.anomalous[span],
            [structs.replace(e, row=e.row - span.start) for e in got.edges if span.start <= e.row < span.stop],
        )
        for span in spans
    ]


NOISES, DEVICES = ["gaussian", "heavy-tailed", "seasonal", "drifting", "correlated"], 8


@functools.cache
def noises() -> dict[str, list[Scored]]:
    found = together([noise(kind, 10_000, seed) for kind in NOISES for seed in range(DEVICES)], 300_000)
    return {kind: found[i * DEVICES : i * DEVICES + DEVICES] for i, kind in enumerate(NOISES)}


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", NOISES)
def test_well_behaved_noise_opens_no_more_episodes_than_the_target_allows(kind: str) -> None:
    weeks = DEVICES * 10_000 * 300_000 / WEEK_MS
    assert sum(len(opened(got)) for got in noises()[kind]) <= DEFAULT.target_a_week * weeks


@pytest.mark.no_cover
@pytest.mark.parametrize(("step_ms", "size"), [(1000, 15.0), (MINUTE, 8.0), (300_000, 8.0)])
@pytest.mark.parametrize("known", [1_500, 8_000])
def test_a_step_that_lasts_is_found_however_often_and_long_a_device_was_heard(
    step_ms: int, size: float, known: int
) -> None:
    """A bar that climbs with every healthy week, or with every reading more, makes a device blind in the end."""
    stepped = [noise(kind, known + 200, seed) for kind in ("gaussian", "heavy-tailed") for seed in range(4)]
    for x in stepped:
        x[known:] += size * x[:known].std()
    found = [[row for row in opened(got) if row >= known] for got in together(stepped, step_ms)]
    assert [bool(rows) for rows in found] == [True] * 8


def test_an_hour_of_eight_healthy_sensors_is_quiet() -> None:
    assert [got.edges for got in together([pump(3600, seed) for seed in range(3)])] == [[], [], []]


@pytest.mark.parametrize("n", [97, 1500])
def test_a_device_is_judged_the_same_whatever_else_is_heard_in_its_batch_and_how_often(n: int) -> None:
    x, rates = noise("gaussian", n, 3), {"slow": 600_000, "quick": 1000}
    x[92:97] += 40.0  # before a device may alert
    x[1000:1060] += 400.0
    ts = np.concatenate([times(n, step_ms) for step_ms in rates.values()])
    state = DetectorState.empty()
    both = score(state, list(rates), np.repeat([0, 1], n), ts, ["m"], np.tile(x, 2)[:, None])
    for place, (name, step_ms) in enumerate(rates.items()):
        own = DetectorState.empty()
        alone = score(own, [name], np.zeros(n, int), times(n, step_ms), ["m"], x[:, None])
        span = slice(place * n, place * n + n)
        assert bool(alone.edges) == (n > 1000)
        assert (both.score[span] == alone.score).all()
        assert (both.anomalous[span] == alone.anomalous).all()
        assert state.devices[place].tobytes() == own.devices[0].tobytes()


def test_a_metric_that_goes_missing_does_not_make_those_strange_that_went_with_it() -> None:
    rng, moves = np.random.default_rng(0), [np.zeros(4)]
    for _ in range(2499):
        moves.append(0.8 * moves[-1] + 0.6 * rng.standard_normal(4))
    load = np.array(moves).T[:, :, None]
    x = 50.0 + load * np.array([1.0, 2.0, 3.0]) + 0.1 * rng.standard_normal((4, 2500, 3))
    x[:, 2000:, 2] = np.nan
    assert [opened(got) for got in together(list(x))] == [[]] * 4


def fault(name: str, x: np.ndarray) -> None:
    sd = x[:AT].std(0)
    if name == "step":
        x[AT:, 4] += 6.0 * sd[4]
    elif name == "ramp":
        x[AT:, 4] += np.minimum(0.25 * np.arange(len(x) - AT), 20.0) * sd[4]
    elif name == "all a little":
        x[AT:] += 2.5 * sd * np.array([1, -1, 1, 1, -1, 1, 0, 0])
    elif name == "shaking":
        x[AT:, 5] += 6.0 * sd[5] * np.random.default_rng(1).standard_normal(len(x) - AT)
    elif name == "stuck":
        x[AT:, 0] = x[AT, 0]


FAULTS = {"step": "temperature", "ramp": "temperature", "shaking": "vibration", "stuck": "flow", "all a little": ""}


@functools.cache
def faulty() -> dict[tuple[str, int], Scored]:
    each = [(name, seed) for name in FAULTS for seed in range(3)]
    series = []
    for name, seed in each:
        x = pump(AT + 400, seed)
        fault(name, x)
        series.append(x)
    return dict(zip(each, together(series), strict=True))


@pytest.mark.parametrize(("name", "metric"), FAULTS.items())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fault_is_found_and_named(name: str, metric: str, seed: int) -> None:
    got = faulty()[name, seed]
    edges = [edge for edge in got.edges if edge.phase == "open"]
    assert [AT <= edge.row < AT + 200 for edge in edges] == [True]
    assert not metric or edges[0].metric == metric
    assert got.anomalous[edges[0].row]


@functools.cache
def stepped() -> tuple[Scored, np.ndarray]:
    x = noise("gaussian", 5000, 2)
    x[3000:] += 15.0
    return watch(x), x


def test_an_edge_tells_what_was_expected_and_who_contributed() -> None:
    edge = stepped()[0].edges[0]
    assert (edge.phase, edge.metric) == ("open", "flow")
    assert edge.low["flow"] < edge.expected["flow"] < edge.high["flow"]
    assert abs(edge.expected["flow"] - 50.0) < 2.0
    surprise = DEFAULT.open_surprise * edge.score / (1.0 - edge.score)
    assert sum(edge.contribution.values()) == pytest.approx(surprise)
    assert 0.5 <= edge.score <= 1.0
    assert 0.5 < edge.confidence <= 1.0


def test_a_shift_that_lasts_is_learnt_and_clears_once() -> None:
    got, _ = stepped()
    phases = [edge.phase for edge in got.edges]
    assert phases[0] == "open"
    assert phases[-1] == "clear"
    assert set(phases[1:-1]) <= {"update"}
    start, end = got.edges[0].row, got.edges[-1].row
    assert got.anomalous[start:end].all()
    assert not got.anomalous[end:].any()
    assert {edge.since_ts for edge in got.edges} == {int(times(5000)[start])}
    assert sum(edge.count for edge in got.edges) == end - start + 1


def test_updates_come_at_most_once_a_minute_and_clearing_takes_quiet_time() -> None:
    got, _ = stepped()
    rows = [edge.row for edge in got.edges]
    assert min(np.diff(rows[:-1]), default=60) >= 60
    assert rows[-1] - rows[0] >= DEFAULT.quiet_ms // 1000


def test_nothing_alerts_while_warming_up() -> None:
    x = noise("gaussian", 90)
    x[60:] += 50.0
    got = watch(x)
    assert got.warming.all()
    assert not got.edges


def test_a_daily_profile_is_learnt() -> None:
    n = 288 * 14
    day = np.where(np.arange(n) % 288 > 144, 30.0, 0.0)
    x = 50.0 + day + noise("gaussian", n, 1)
    state = DetectorState.empty()
    assert all(row < 288 for row in opened(watch(x, 300_000, state)))
    assert state.series["fields"][0, INDEX["gain"]] > 0.5


def test_the_forest_is_trained_on_what_scoring_sees_and_finds_faults_too() -> None:
    past = [History(times(1000), pump(1000, seed), SENSORS) for seed in range(2)]
    spoilt = pump(1000, 9)
    spoilt[500:600] += 100.0
    bad = np.arange(1000) >= 500
    matrix = training_features([*past, History(times(1000), spoilt, SENSORS, bad)])
    assert matrix.shape == (950 * 2 + 450, len(FEATURE_NAMES))
    model = train(matrix, seed=0, trees=30)
    x = pump(AT + 400, 4)
    fault("step", x)
    got = score(DetectorState.empty(), ["d"], np.zeros(len(x), int), times(len(x)), SENSORS, x, model=model)
    assert AT <= opened(got)[0] < AT + 30


def test_scoring_imports_no_scikit_learn() -> None:
    heavy = "{m.split('.')[0] for m in sys.modules} & {'sklearn', 'scipy', 'pandas'}"
    code = f"import sys, watchkeeper.detection.scorer, watchkeeper.detection.model; print({heavy})"
    shared = str(Path(__file__).parents[3] / "shared")
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": shared}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
