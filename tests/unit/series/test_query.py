import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.series.support import NOW, Store, final_points, last_point, pack
from watchkeeper.errors import StateError
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Flag
from watchkeeper.series import history, latest, query, readings

DEVICES = ("pump-0", "pump-1", "host-0", "host-1")  # the shard is the parity
SETS = (("a",), ("b", "a"), ("b", "c"))
ALL = ("a", "b", "c")


@st.composite
def packs(draw):
    """Packs with times that collide, run backwards and are missing, values that are absent, and tables of all sorts."""
    made = []
    for _ in range(draw(st.integers(1, 30))):
        shard = draw(st.integers(0, 1))
        devices = [Device("acme", name) for name in DEVICES if int(name[-1]) == shard]
        tables = []
        for metrics in draw(st.lists(st.sampled_from(SETS), min_size=1, max_size=3)):
            n = draw(st.integers(1, 4))
            column = st.lists(st.integers(0, 40).map(lambda tick: tick * 500), min_size=n, max_size=n)
            value = st.floats(-100, 100).map(lambda v: round(v, 2)) | st.just(math.nan)
            values = [draw(st.lists(value, min_size=n, max_size=n)) for _ in metrics]
            device = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
            flags = draw(st.lists(st.sampled_from([0, 0, 0, int(Flag.NO_TIME)]), min_size=n, max_size=n))
            tables.append(Table.build(metrics, device, draw(column), [NOW] * n, values, flags=flags))
        made.append(Pack(shard, devices, tables))
    return made


CUTS = st.lists(st.integers(1, 4), max_size=30)
SLOW = settings(max_examples=40, deadline=None)


@pytest.mark.usefixtures("small_merges")
@SLOW
@given(packs(), CUTS, st.integers(0, 10_000), st.integers(10_000, 21_000))
def test_any_cut_of_the_stream_answers_as_the_plain_model_does(made, cuts, start, end):
    series = Store()
    series.store(made, cuts)
    for device in DEVICES:
        shard = int(device[-1])
        last = latest(series.ports.blobs, shard, "acme", device)
        for metric in ALL:
            expected = final_points(made, device, metric, start, end)
            assert query(series.ports.blobs, shard, "acme", device, metric, start, end, 10_000).points == expected
            assert last.get(metric) == last_point(made, device, metric)


@pytest.mark.usefixtures("small_merges")
@SLOW
@given(packs(), CUTS)
def test_merges_keep_every_reading_in_its_order(made, cuts):
    series = Store()
    series.store(made, cuts)
    for device in DEVICES:
        rows = readings(series.ports.blobs, int(device[-1]), "acme", device)
        expected = sorted((r for p in made for r in p.readings() if r.device == device), key=lambda r: r.ts)
        assert rows.ts.tolist() == [reading.ts for reading in expected]
        assert rows.flags.tolist() == [reading.flags for reading in expected]
        for place, metric in enumerate(rows.metrics):
            values = [reading.values.get(metric) for reading in expected]
            np.testing.assert_array_equal(rows.values[place], [math.nan if v is None else v for v in values])


@pytest.mark.usefixtures("small_merges")
@SLOW
@given(packs(), CUTS)
def test_history_is_the_final_series_of_every_device(made, cuts):
    series = Store()
    series.store(made, cuts)
    found = {each.device: each for shard in (0, 1) for each in history(series.ports.blobs, shard)}
    assert set(found) == {reading.device for each in made for reading in each.readings()}
    for device, each in found.items():
        for metric, row in zip(each.metrics, each.values, strict=True):
            points = [(ts, v) for ts, v in zip(each.ts.tolist(), row.tolist(), strict=True) if not math.isnan(v)]
            assert points == final_points(made, device, metric, 0, 10**9)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=200, unique=True), st.integers(1, 50))
def test_buckets_are_equal_stretches_with_mean_least_greatest_and_count(times, points):
    series = Store()
    series.store([pack(0, "pump-0", [(ts, [ts / 4]) for ts in times])])
    answer = query(series.ports.blobs, 0, "acme", "pump-0", "a", 0, 1000, points)
    if len(times) <= points:
        assert answer.points == [(ts, ts / 4) for ts in sorted(times)]
        return
    width = math.ceil(1000 / points)
    buckets = defaultdict(list)
    for ts in times:
        buckets[ts // width * width].append(ts / 4)
    assert answer.bucket_ms == width
    assert len(answer.points) <= points
    for point, (ts, values) in zip(answer.points, sorted(buckets.items()), strict=True):
        assert point[0] == ts
        assert point[1:] == (pytest.approx(sum(values) / len(values)), min(values), max(values), len(values))


def test_without_bounds_buckets_span_what_there_is():
    series = Store()
    series.store([pack(0, "pump-0", [(ts, [1.0]) for ts in range(5000, 6000, 10)])])
    answer = query(series.ports.blobs, 0, "acme", "pump-0", "a", None, None, 10)
    assert [point[0] for point in answer.points] == list(range(5000, 5991, answer.bucket_ms))


def test_a_correction_wins_and_its_original_stays_visible():
    series = Store()
    first, second = pack(0, "pump-0", [(1000, [1.0])]), pack(0, "pump-0", [(1000, [2.0])], flags=[Flag.CORRECTION])
    series.store([first, second], [1, 1])
    assert query(series.ports.blobs, 0, "acme", "pump-0", "a", 0, 2000, 10).points == [(1000, 2.0)]
    assert readings(series.ports.blobs, 0, "acme", "pump-0").values.tolist() == [[1.0, 2.0]]


def test_readings_come_with_their_score_rules_and_tags():
    given_pack = pack(
        0, "pump-0", [(1000, [1.0]), (2000, [2.0])], score=[0.25, 0.5], rules={1: ["hot"]}, tags=[0, -1]
    )  # fmt: skip
    given_pack.tagsets = [{"line": "7"}]
    series = Store()
    series.store([given_pack])
    rows = readings(series.ports.blobs, 0, "acme", "pump-0", 0, 3000)
    assert (rows.score.tolist(), rows.rules, rows.tags) == ([0.25, 0.5], {1: ("hot",)}, {0: {"line": "7"}})
    assert rows.received.tolist() == [NOW, NOW]


def test_what_was_never_stored_is_empty_and_no_error():
    blobs = Store().ports.blobs
    assert query(blobs, 0, "acme", "pump-0", "a", 0, 1000, 10).points == []
    assert latest(blobs, 0, "acme", "pump-0") == {}
    assert len(readings(blobs, 0, "acme", "pump-0").ts) == 0
    assert list(history(blobs, 0)) == []


class Merged:
    """Blobs in which, after the manifest has been read, the store stage goes on and merges."""

    def __init__(self, blobs, meanwhile):
        self._blobs, self._meanwhile = blobs, meanwhile

    def get_many(self, keys):
        found = self._blobs.get_many(keys)
        if any(key.startswith("state/") for key in keys) and self._meanwhile:
            self._meanwhile.pop()()
        return found


@pytest.mark.usefixtures("small_merges")
def test_a_query_outlives_merges_that_take_its_segments_away():
    series = Store()
    rows = [[(second * 1000, [float(second)])] for second in range(60)]
    series.send([pack(0, "pump-0", row) for row in rows])
    for _ in range(50):
        series.take(1)
    blobs = Merged(series.ports.blobs, [lambda: [series.take(1) for _ in range(4)]] * 2)
    answer = query(blobs, 0, "acme", "pump-0", "a", 0, 50_000, 100)
    assert answer.points == [(second * 1000, float(second)) for second in range(50)]


def test_a_segment_that_is_really_lost_is_named():
    series = Store()
    series.store([pack(0, "pump-0", [(1000, [1.0])])])
    lost = series.ports.blobs.list("segments/")
    series.ports.blobs.delete(lost)
    with pytest.raises(StateError, match=lost[0]):
        query(series.ports.blobs, 0, "acme", "pump-0", "a", 0, 2000, 10)
