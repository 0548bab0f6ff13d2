import dataclasses
import math

import msgspec
import pytest

from benchmarks import profiles, readings, running

LOOK = running.Look(
    at=0.0,
    counts={"accepted": 100, "stored": 96, "dead": 1, "deduplicated": 2, "shed": 1},
    in_flight=0,
    lag={},
    anomalies=0,
    stored_mb=1.0,
    pss_mb=1.0,
    rss_mb=1.0,
    cpu={},
)


def test_readings_that_add_up_pass():
    running.check_accounting(LOOK, 100, 2)


@pytest.mark.parametrize(("name", "said"), [("stored", "do not add up"), ("accepted", "acknowledged 100")])
def test_a_benchmark_stops_where_a_reading_is_missing(name, said):
    missing = dataclasses.replace(LOOK, counts=LOOK.counts | {name: LOOK.counts[name] - 1})
    with pytest.raises(AssertionError, match=said):
        running.check_accounting(missing, 100)


def test_a_benchmark_stops_where_a_repetition_was_not_found():
    with pytest.raises(AssertionError, match="sent twice 3, found 2"):
        running.check_accounting(LOOK, 100, 3)


def test_percentiles_are_of_what_came_between_two_looks():
    before = {0.1: 50.0, 1.0: 50.0, math.inf: 50.0}
    after = {0.1: 50.0, 1.0: 150.0, math.inf: 150.0}
    found = running.percentiles(before, after)
    assert found["p50"] == pytest.approx(550)
    assert found["p95"] == pytest.approx(955)


def test_nothing_stored_in_between_has_no_percentiles():
    same = {0.1: 50.0, math.inf: 50.0}
    assert running.percentiles(same, same) == {"p50": None, "p95": None, "p99": None}


def test_lag_that_grows_by_more_than_a_seconds_readings_is_not_steady():
    assert running.is_steady([500, 700, 400, 600, 900, 800], 1000)
    assert not running.is_steady([500, 700, 2000, 2500, 4000, 4500], 1000)


@pytest.mark.parametrize("form", ["json", "ndjson", "msgpack"])
def test_a_body_carries_the_time_it_is_patched_with_and_each_devices_readings_in_order(form):
    (body, *_) = readings.bodies(range(7, 9), 4, 1, form, 1)
    body.patch(1_700_000_000_000)
    if form == "msgpack":
        sent = msgspec.msgpack.decode(bytes(body.data))
    elif form == "ndjson":
        sent = [msgspec.json.decode(line) for line in bytes(body.data).splitlines()]
    else:
        sent = msgspec.json.decode(bytes(body.data))
    assert [(each["device"], each["ts"] - 1_700_000_000_000) for each in sent] == [
        ("pump-00007", 0),
        ("pump-00008", 0),
        ("pump-00007", 1),
        ("pump-00008", 1),
    ]
    assert all(len(each["values"]) == 4 for each in sent)


def test_a_sample_counts_for_the_innermost_part_it_was_in():
    stacks = "main (x.py:1);step (watchkeeper/worker.py:9);score (watchkeeper/detection/scorer.py:3);dot (numpy.py:1) 3"
    shares = profiles.shares_of(f"{stacks}\nmain (x.py:1);read (watchkeeper_local/sqlite/stream.py:4) 1\n")
    assert shares == {"scoring": 0.75, "SQLite: reads and commits": 0.25}
