"""ml_score: a device against its own past; what is said of it; and that nothing depends on how readings are cut."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.shadow.support import put_in_force
from tests.unit.stages.driving import MINUTE, NOW, SECOND, Drive, joined, pack_of, readings_of, shipped
from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.training import train
from watchkeeper.knowledge.calendars import Calendar
from watchkeeper.knowledge.catalogue import Catalogue, DeviceClass
from watchkeeper.packs import MAX_PACK_BYTES, Pack
from watchkeeper.records import Flag, Severity
from watchkeeper.stages.ml_score import local_time
from watchkeeper.topology import FINAL_DATA_STORAGE, RAG_ERROR_REPORTING

METRICS = "flow discharge_pressure"
QUIET, STEP = 400, 40
DAY = 86_400_000


def steady(count, *, seed=1, start=0, offset=(0.0, 0.0)):
    """A pump's readings, one a second: rows of [time, flow, pressure]."""
    noise = np.random.default_rng(seed).standard_normal((count, 2)) * (1.0, 0.02) + (120.0, 6.2)
    times = NOW + (start + np.arange(count)) * SECOND
    return [(int(ts), *row) for ts, row in zip(times, (noise + offset).tolist(), strict=True)]


def pump(rows, device="pump-1", **more):
    return pack_of(device, METRICS, rows, **more)


def fault(step=(-30.0, 0.0)):
    """A quiet time, a step (in the flow), and quiet again for long enough to clear."""
    return [
        *steady(QUIET),
        *steady(STEP, seed=2, start=QUIET, offset=step),
        *steady(400, seed=3, start=QUIET + STEP),
    ]


def cut(rows, size, **more):
    return [pump(rows[n : n + size], **more) for n in range(0, len(rows), size)]


def edges(drive):
    return drive.came(RAG_ERROR_REPORTING)


def test_a_device_that_is_not_known_yet_is_warming_and_alerts_nobody_whatever_it_sends():
    rows = [
        (NOW + n * SECOND, 120.0 if n % 7 else 9_999.0, 6.2 if n % 5 else -50.0)
        for n in range(DEFAULT.warm_readings // 2)
    ]
    drive = Drive("ml_score")
    drive.take(pump(rows))
    assert edges(drive) == []
    came = readings_of(drive.came(FINAL_DATA_STORAGE))
    assert len(came) == len(rows)
    assert all(reading.flags & Flag.WARMING for reading in came)


def test_a_step_opens_one_episode_goes_on_and_clears():
    drive = Drive("ml_score")
    drive.take(*cut(fault(), 20))
    said = edges(drive)
    assert [a.phase for a in said if a.phase != "update"] == ["open", "clear"]
    assert {a.episode for a in said} == {said[0].episode}
    first, last = said[0], said[-1]
    assert 0 <= (first.ts - NOW) // SECOND - QUIET <= 10
    assert last.ts > NOW + (QUIET + STEP) * SECOND + DEFAULT.quiet_ms - 30 * SECOND
    readings = readings_of(drive.came(FINAL_DATA_STORAGE))
    assert len(readings) == len(fault())
    within = [r.ts for r in readings if r.flags & Flag.ANOMALOUS]
    assert (min(within), max(within)) == (first.ts, last.ts - SECOND)
    assert not any(r.flags & Flag.WARMING for r in readings[DEFAULT.warm_readings :])


def test_an_anomaly_says_what_was_expected_in_which_band_and_which_metric_stands_out():
    drive = Drive("ml_score")
    drive.take(*cut(fault(), 20, site="north"))
    opened = edges(drive)[0]
    assert (opened.detector, opened.metric, opened.device_class, opened.site) == ("model", "flow", "pump", "north")
    view = opened.metrics["flow"]
    assert view.value < view.low < view.expected < view.high
    assert view.expected == pytest.approx(120, abs=3)
    assert view.contribution > opened.metrics["discharge_pressure"].contribution >= 0
    assert opened.summary.startswith("flow is ")
    assert "below the expected" in opened.summary
    assert opened.score >= 0.5
    assert 0 < opened.confidence <= 1
    assert opened.severity == Severity.WARNING
    assert (opened.model, opened.bundle) == ("baseline", shipped().version)


def test_a_device_of_critical_importance_makes_a_critical_alert():
    drive = Drive("ml_score")
    drive.take(*cut(fault(), 20, device="pump-07"))
    assert edges(drive)[0].severity == Severity.CRITICAL


def test_a_backfill_says_so():
    drive = Drive("ml_score")
    marked = [dataclasses.replace(t, flags=t.flags | Flag.BACKFILL) for p in cut(fault(), 50) for t in p.tables]
    drive.take(*[Pack(0, cut(fault(), 50)[0].devices, [table]) for table in marked])
    assert all(anomaly.backfill for anomaly in edges(drive))


def test_the_model_in_force_is_named_and_a_new_one_is_taken_up():
    drive = Drive("ml_score")
    matrix = np.abs(np.random.default_rng(0).standard_normal((300, len(FEATURE_NAMES))))
    model = train(matrix, seed=1, trees=10, max_samples=64, version="m-7")
    put_in_force(drive.ports.blobs, model)
    drive.take(*cut(fault(), 20))
    assert {anomaly.model for anomaly in edges(drive)} == {model.version}


def outcome(drive):
    """All that left the stage: readings with their scores, and the anomalies, whole."""
    tables = [table for pack in drive.came(FINAL_DATA_STORAGE) for table in pack.tables]
    columns = [np.concatenate([getattr(t, name) for t in tables]).tolist() for name in ("ts", "score", "flags")]
    return columns, edges(drive)


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_however_the_stream_is_cut_into_batches_the_same_comes_out(cuts):
    packs = cut(fault(), 24)
    whole, parts = Drive("ml_score"), Drive("ml_score")
    whole.take(*packs)
    done = 0
    for size in cuts:
        if packs[done : done + size]:
            parts.take(*packs[done : done + size])
            parts.restart()
            done += size
    if packs[done:]:
        parts.take(*packs[done:])
    assert outcome(parts) == outcome(whole)


@pytest.mark.parametrize(("step", "metric"), [((-30.0, 0.0), "flow"), ((0.0, -2.0), "discharge_pressure")])
def test_metrics_that_travel_apart_are_scored_in_the_order_of_their_times_and_travel_on_apart(step, metric):
    """Each pack holds a stretch of the flow and then the same stretch of the pressure."""
    rows = fault(step)
    packs = []
    for start in range(0, len(rows), 20):
        part = rows[start : start + 20]
        flow = pack_of("pump-1", "flow", [(ts, f) for ts, f, _ in part])
        pressure = pack_of("pump-1", "discharge_pressure", [(ts, p) for ts, _, p in part])
        packs.append(joined(flow, pressure))
    drive = Drive("ml_score")
    drive.take(*packs)
    came = drive.came(FINAL_DATA_STORAGE)
    assert {table.metrics for pack in came for table in pack.tables} == {("flow",), ("discharge_pressure",)}
    assert sum(map(len, came)) == 2 * len(rows)
    for before, after in zip(packs, came, strict=True):
        for old, new in zip(before.tables, after.tables, strict=True):
            assert old.ts.tolist() == new.ts.tolist()
            np.testing.assert_allclose(old.values, new.values)
            assert len(new.score) == len(new)
    said = edges(drive)
    assert [a.phase for a in said if a.phase != "update"] == ["open", "clear"]
    opened, cleared = said[0], said[-1]
    assert opened.metric == metric
    for table in (table for pack in came for table in pack.tables):
        for ts, flags, score in zip(table.ts.tolist(), table.flags.tolist(), table.score.tolist(), strict=True):
            if ts not in (opened.ts, cleared.ts):
                assert bool(flags & Flag.ANOMALOUS) == (opened.ts < ts < cleared.ts)
            if table.metrics == (metric,) and opened.ts < ts < NOW + (QUIET + STEP) * SECOND:
                assert score >= 0.5


def test_many_metrics_that_each_travel_alone_do_not_blow_a_pack_up():
    """Nulls of all the others beside each value would make a quarter of a megabyte of a few thousand numbers."""
    names = [f"m{n}" for n in range(60)]
    parts = [pack_of("meter", name, [(NOW + s * SECOND, 1 / 7) for s in range(30)]) for name in names]
    drive = Drive("ml_score")
    drive.take(joined(*parts))
    sizes = [len(message.value) for message in drive.ports.stream.read(FINAL_DATA_STORAGE.name, 0, -1, 10)]
    assert max(sizes) < MAX_PACK_BYTES
    assert sum(map(len, drive.came(FINAL_DATA_STORAGE))) == 1800


def test_a_device_that_moves_to_another_site_within_a_pack_is_scored_as_one():
    rows = steady(QUIET)
    drive = Drive("ml_score")
    for start in range(0, QUIET, 20):
        drive.take(
            joined(pump(rows[start : start + 10], site="north"), pump(rows[start + 10 : start + 20], site="south"))
        )
    assert drive.dead() == []
    came = readings_of(drive.came(FINAL_DATA_STORAGE))
    assert len(came) == QUIET
    assert not came[-1].flags & Flag.WARMING


def test_rules_that_fired_travel_on_with_their_readings():
    pack = pump(steady(5))
    pack.tables[0].rules.update({1: ["pump.flow-low"], 4: ["pump.flow-low", "pump.other"]})
    drive = Drive("ml_score")
    drive.take(pack)
    [table] = [table for came in drive.came(FINAL_DATA_STORAGE) for table in came.tables]
    assert table.rules == {1: ["pump.flow-low"], 4: ["pump.flow-low", "pump.other"]}


def test_an_open_episode_speaks_up_once_a_minute_at_most():
    rows = [*steady(QUIET), *steady(300, seed=5, start=QUIET, offset=(-30.0, -1.0))]
    drive = Drive("ml_score")
    drive.take(*cut(rows, 30))
    times = [anomaly.ts for anomaly in edges(drive)]
    assert len(times) >= 2
    assert all(b - a >= MINUTE for a, b in pairwise(times))


def test_values_beyond_the_most_metrics_of_a_device_are_counted_and_travel_on():
    names = " ".join(f"m{n}" for n in range(DEFAULT.most_metrics + 6))
    rows = [(NOW + s * SECOND, *([1.5] * (DEFAULT.most_metrics + 6))) for s in range(5)]
    drive = Drive("ml_score")
    drive.take(pack_of("meter", names, rows))
    [reading, *_] = readings_of(drive.came(FINAL_DATA_STORAGE))
    assert len(reading.values) == DEFAULT.most_metrics + 6
    assert drive.ports.meter.total("0001-01-01", "9999-12-31")["ml_score"]["unscored"] == 30


def test_a_late_reading_is_scored_as_such_also_in_company_of_a_device_of_two_sets():
    rows = steady(60)
    rows.insert(50, rows.pop(20))
    others = steady(60, seed=9)
    apart, company = Drive("ml_score"), Drive("ml_score")
    apart.take(pump(rows))
    flow = pack_of("pump-2", "flow", [(ts, f) for ts, f, _ in others])
    pressure = pack_of("pump-2", "discharge_pressure", [(ts, p) for ts, _, p in others])
    company.take(joined(pump(rows), flow, pressure))

    def scores(drive):
        tables = [(pack, table) for pack in drive.came(FINAL_DATA_STORAGE) for table in pack.tables]
        return [
            table.score[row] for pack, table in tables for row in range(len(table))
            if pack.devices[table.device[row]].device == "pump-1"
        ]  # fmt: skip

    assert scores(company) == scores(apart)


def test_the_clocks_and_the_week_of_a_device_are_those_of_its_catalogue():
    friday = 1_773_961_200_000  # 2026-03-19 23:00 UTC: in Dubai it is Friday by then
    dubai = DeviceClass("shop", match=("shop-*",), time_zone="Asia/Dubai", calendar=Calendar(days=(0, 1, 2, 3)))
    catalogue = Catalogue((dubai,))
    pack = joined(
        pack_of("shop-1", "flow", [(friday, 1.0)]), pack_of("pump-1", "flow", [(friday, 1.0), (friday + 2 * DAY, 1.0)])
    )
    found = {}
    for table in pack.tables:
        at = local_time(pack, table, catalogue)
        for device, ahead, rest in zip(table.device, at.ms - table.ts, at.resting, strict=True):
            found.setdefault(pack.devices[device].device, []).append((int(ahead) // 3_600_000, bool(rest)))
    assert found == {"shop-1": [(4, True)], "pump-1": [(0, False), (0, True)]}
