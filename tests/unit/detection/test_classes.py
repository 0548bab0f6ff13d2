"""A new device is held against its class from its first reading on; people's reviews move a class's bar a little."""

import msgspec
import numpy as np
import pytest

from tests.unit.detection.series_of import F64, START
from watchkeeper.detection.classes import (
    FEWEST,
    HIGHEST,
    LOWEST,
    ClassBook,
    ClassKnowledge,
    MetricPrior,
    factor_of,
    kin_of,
    prior_of,
)
from watchkeeper.detection.devices import DEVICE
from watchkeeper.detection.scorer import Scored, score
from watchkeeper.detection.series import RECORD
from watchkeeper.detection.state import DetectorState

METRICS = ("flow", "temperature")


def run(state: DetectorState, name: str, rows: F64, known: ClassKnowledge | None = None, start: int = START) -> Scored:
    ts = start + 60_000 * np.arange(len(rows), dtype=np.int64)
    classes = () if known is None else [known]
    return score(state, [name], np.zeros(len(rows), int), ts, METRICS, rows, classes=classes)


def healthy(n: int, seed: int, level: tuple[float, float] = (100.0, 40.0)) -> F64:
    chance = np.random.default_rng(seed)
    return np.array(level) + chance.normal(0, 0.02, 2) * level + chance.standard_normal((n, 2)) * (1.0, 0.3)


def settled(devices: int, factor: float = 1.0, n: int = 300) -> DetectorState:
    """A state with so many devices of one kind."""
    state = DetectorState.empty()
    x = np.stack([healthy(n, seed) for seed in range(devices)], axis=1).reshape(-1, 2) * factor
    ts = START + 60_000 * np.repeat(np.arange(n, dtype=np.int64), devices)
    score(state, [f"p{d}" for d in range(devices)], np.tile(np.arange(devices), n), ts, METRICS, x)
    return state


def known(state: DetectorState, *, early: bool = True, factor: float = 1.0) -> ClassKnowledge:
    priors = {
        metric: prior
        for metric in METRICS
        if (prior := prior_of(state.series[[own[metric] for own in state.slots if metric in own]])) is not None
    }
    return ClassKnowledge(factor, metrics=priors, may_alert_early=early)


@pytest.fixture(scope="module")
def pumps() -> ClassKnowledge:
    return known(settled(8))


def test_an_absurd_first_reading_of_a_new_device_scores_high_and_a_normal_one_low(pumps: ClassKnowledge) -> None:
    for absurd in ((900.0, 40.0), (100.0, -270.0), (0.0, 40.0)):
        got = run(DetectorState.empty(), "new", np.array([absurd]), pumps)
        assert got.score[0] >= 0.5
        assert got.warming[0]
        assert not got.edges
    new = [f"new{seed}" for seed in range(50, 70)]  # in one batch, which costs little more than one of them
    rows = np.concatenate([healthy(100, seed) for seed in range(50, 70)])
    owner, ts = np.repeat(np.arange(20), 100), np.tile(START + 60_000 * np.arange(100), 20)
    assert score(DetectorState.empty(), new, owner, ts, METRICS, rows, classes=[pumps] * 20).score.max() < 0.45


def test_without_what_is_known_of_a_class_a_first_reading_is_nothing_special(pumps: ClassKnowledge) -> None:
    rows = healthy(400, 99)
    rows[0] = 900.0, -270.0
    plain, other = DetectorState.empty(), DetectorState.empty()
    got = run(plain, "new", rows)
    same = run(other, "new", rows, ClassKnowledge())
    assert got.score[0] < 0.1
    assert np.array_equal(got.score, same.score)
    assert plain.encode() == other.encode()
    strange = ClassKnowledge(metrics={"other": pumps.metrics["flow"]})
    assert run(DetectorState.empty(), "new", rows[:1], strange).score[0] == got.score[0]


def test_only_a_device_of_a_named_class_that_is_grossly_outside_alerts_while_it_warms_up(pumps: ClassKnowledge) -> None:
    wrong = healthy(60, 30, (30_000.0, 40.0))
    got = run(DetectorState.empty(), "new", wrong, pumps)
    first = got.edges[0]
    assert (first.phase, first.row, first.metric) == ("open", 2, "flow")
    assert first.low["flow"] < 100.0 < first.high["flow"] < 150.0
    assert not run(DetectorState.empty(), "new", wrong, msgspec.structs.replace(pumps, may_alert_early=False)).edges
    once = healthy(60, 31)
    once[0] = 30_000.0, 40.0
    assert not run(DetectorState.empty(), "new", once, pumps).edges


@pytest.mark.parametrize("early", [True, False])
def test_a_new_metric_of_an_old_device_is_held_to_the_same(pumps: ClassKnowledge, *, early: bool) -> None:
    rows = healthy(300, 32)
    rows[:250, 1] = np.nan
    rows[250:, 1] = 9000.0
    got = run(DetectorState.empty(), "old", rows, msgspec.structs.replace(pumps, may_alert_early=early))
    assert got.score[250] >= 0.5
    assert [edge.row for edge in got.edges if edge.phase == "open"] == ([252] if early else [])


def test_a_jump_within_the_range_of_the_class_is_seen_by_how_its_devices_change(pumps: ClassKnowledge) -> None:
    wide = {name: msgspec.structs.replace(prior, low=0.0, high=1000.0) for name, prior in pumps.metrics.items()}
    rows = healthy(10, 40)
    rows[6] += 200.0, 0.0
    got = run(DetectorState.empty(), "new", rows, msgspec.structs.replace(pumps, metrics=wide))
    assert got.score[6] >= 0.5 > got.score[:6].max()
    assert not got.edges


def test_its_own_past_takes_over(pumps: ClassKnowledge) -> None:
    rows = healthy(300, 41, (130.0, 40.0))
    got = run(DetectorState.empty(), "new", rows, pumps)
    assert got.score[0] > 0.1
    assert not got.edges
    alone, held = DetectorState.empty(), DetectorState.empty()
    run(alone, "new", rows)
    run(held, "new", rows, pumps)
    assert held.series.tobytes() == alone.series.tobytes()


def test_fewer_than_three_settled_devices_give_no_prior() -> None:
    assert known(settled(FEWEST - 1)).metrics == {}
    assert known(settled(1)).metrics == {}
    assert set(known(settled(FEWEST)).metrics) == set(METRICS)
    assert known(settled(8, n=150)).metrics == {}


def test_three_devices_say_less_than_thirty_of_the_same_spread() -> None:
    state = settled(3)
    records = state.series[[own["flow"] for own in state.slots]]
    few, many = prior_of(records), prior_of(np.tile(records, 10))
    assert few is not None
    assert many is not None
    assert few.unit > 1.5 * many.unit


def test_what_is_zero_on_all_devices_gives_no_prior_and_a_constant_one_that_knows_a_hundredth() -> None:
    assert known(settled(5, 0.0)).metrics == {}
    state = DetectorState.empty()
    n = 300
    ts = START + 60_000 * np.repeat(np.arange(n, dtype=np.int64), 4)
    score(state, list("abcd"), np.tile(np.arange(4), n), ts, METRICS, np.full((4 * n, 2), 50.0))
    prior = known(state).metrics["flow"]
    assert (prior.low, prior.high) == pytest.approx((50.0, 50.0))
    assert prior.unit == pytest.approx(1.0)


def test_a_class_that_changes_its_units_is_known_by_the_new_ones_at_the_next_look(pumps: ClassKnowledge) -> None:
    other = known(settled(8, 1000.0))
    new = healthy(1, 60) * 1000.0
    assert run(DetectorState.empty(), "new", new, pumps).score[0] >= 0.5
    assert run(DetectorState.empty(), "new", new, other).score[0] < 0.2


def test_devices_in_trouble_and_wild_numbers_do_not_make_the_prior() -> None:
    state = settled(8)
    state.series["anchor"][state.slots[0]["flow"]] = 1e300
    state.series["fields"][state.slots[0]["flow"], :10] = 0.0
    prior = prior_of(state.series[[own["flow"] for own in state.slots]])
    assert prior is None or np.isfinite([prior.low, prior.high, prior.unit]).all()


def test_priors_take_no_room_in_the_state_and_little_where_they_are(pumps: ClassKnowledge) -> None:
    assert RECORD.itemsize <= 256
    assert DEVICE.itemsize <= 512
    assert len(msgspec.msgpack.encode(pumps.metrics["flow"])) <= 128
    book = ClassBook(5, {"default": {"pump": pumps}})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=ClassBook) == book
    assert isinstance(pumps.metrics["flow"], MetricPrior)


def test_without_reviews_the_factor_is_exactly_one_and_it_never_leaves_its_bounds() -> None:
    assert factor_of(0, 0) == 1.0
    assert factor_of(7, 3) == pytest.approx(1.0)
    assert factor_of(0, 10) == pytest.approx(1.25)
    assert factor_of(10, 0) == pytest.approx(0.9)
    assert LOWEST <= factor_of(1e9, 0) < 0.81
    assert 1.49 < factor_of(0, 1e9) <= HIGHEST
    steps = [factor_of(50 - bad, bad) for bad in range(51)]
    assert steps == sorted(steps)


def test_a_factor_of_one_changes_nothing_and_a_great_one_takes_more_to_open() -> None:
    rows = healthy(500, 70)
    rows[300:, 0] += 6.0
    runs = {}
    for factor in (None, 1.0, LOWEST, HIGHEST):
        state = DetectorState.empty()
        got = run(state, "d", rows, None if factor is None else ClassKnowledge(factor))
        runs[factor] = got, state.encode()
    assert np.array_equal(runs[None][0].score, runs[1.0][0].score)
    assert runs[None][1] == runs[1.0][1]
    peaks = [float(runs[factor][0].score[300:320].max()) for factor in (HIGHEST, 1.0, LOWEST)]
    assert peaks == sorted(peaks)
    surprise = [peak / (1.0 - peak) for peak in peaks]
    assert surprise[1] == pytest.approx(surprise[0] * HIGHEST, rel=1e-4)


def test_the_highest_factor_does_not_silence_a_real_fault() -> None:
    rows = healthy(600, 71)
    rows[400:, 0] += 60.0
    got = run(DetectorState.empty(), "d", rows, ClassKnowledge(HIGHEST))
    assert [400 <= edge.row < 420 for edge in got.edges if edge.phase == "open"] == [True]


def test_devices_of_several_classes_in_one_batch_are_held_to_their_own(pumps: ClassKnowledge) -> None:
    names, device = ["a", "b", "c"], np.array([0, 1, 2])
    rows = np.full((3, 2), (900.0, 40.0))
    classes = [pumps, None, ClassKnowledge(1.2)]
    got = score(DetectorState.empty(), names, device, np.full(3, START), METRICS, rows, classes=classes)
    assert got.score[0] >= 0.5
    assert max(got.score[1:]) < 0.1
    assert kin_of([None, None], device) is None
