import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.series.support import NOW, Store, pack
from watchkeeper.errors import Conflict, StateError
from watchkeeper.ports import ANYWAY, Key
from watchkeeper.records import Device, DeviceRecord, Flag
from watchkeeper.series import merging, percentile, query, reader, readings
from watchkeeper.series.manifest import STORE_CODEC, KnownDevice
from watchkeeper.series.reader import Reader
from watchkeeper.series.segment import SegmentRef

HOUR = 3_600_000


def record(series, device="pump-0"):
    key = Key("acme", device)
    row = series.ports.tables.get_many("devices", [key])[key]
    return msgspec.json.decode(row.value, type=DeviceRecord), row.version


def test_a_reading_delivered_again_is_stored_once():
    series = Store()
    series.send([pack(0, "pump-0", [(1000, [1.0])])])
    assert series.take()["stored"] == 1
    series.taken = -1
    assert series.take()["stored"] == 0
    assert len(readings(series.ports.blobs, 0, "acme", "pump-0").ts) == 1


def segments(series):
    return {key: blob.data for key, blob in series.ports.blobs._blobs.items() if key.startswith("segments/")}


@pytest.mark.usefixtures("small_merges")
def test_a_crash_before_the_commit_and_a_repeat_write_the_same_bytes_at_the_same_keys():
    series = Store()
    series.send([pack(0, "pump-0", [(n * 1000 + k, [1.0 * k]) for k in range(6)]) for n in range(30)])
    save = series.ports.blobs.put

    def crash(key, data, expect=ANYWAY):
        if key.startswith("state/"):
            raise OSError(key)
        return save(key, data, expect)

    for place in range(30):
        messages = series.ports.stream.read("final-data-storage", 0, place - 1, 1)
        before = segments(series)
        series.ports.blobs.put = crash
        with pytest.raises(OSError, match="state/"):
            series.runner._again_on_conflict(lambda now=messages: series.runner._attempt(0, now, lambda: None))
        crashed = segments(series)
        series.ports.blobs.put = save
        series.take(1)
        assert segments(series).items() <= crashed.items()
        assert len(crashed) > len(before)
    assert len(readings(series.ports.blobs, 0, "acme", "pump-0").ts) == 180


@pytest.mark.usefixtures("small_merges")
def test_only_live_segments_are_kept_and_their_number_grows_slowly():
    series = Store()
    series.send([pack(0, "pump-0", [(n * 1000, [1.0])]) for n in range(600)])
    for _ in range(600):
        series.take(1)
    levels = [int(key.split("/")[2]) for key in series.ports.blobs.list("segments/")]
    assert max(levels) > merging.FULL + 1, "pages of pages"
    assert levels.count(0) < 3
    assert levels.count(merging.FULL) <= 600 // 40
    assert len(query(series.ports.blobs, 0, "acme", "pump-0", "a", None, None, 1000).points) == 600


@pytest.mark.usefixtures("small_merges")
def test_the_state_does_not_grow_with_what_is_stored():
    series = Store()
    sizes = []
    for n in range(300):
        series.store([pack(0, "pump-0", [(n * 1000, [1.0])])])
        sizes.append(len(series.ports.blobs.get_many(["state/store/final-data-storage/00000"]).popitem()[1].data))
    assert max(sizes[150:]) <= max(sizes[:150]) + 8


def test_two_workers_on_one_shard_store_each_reading_once():
    one = Store()
    other = Store(one.ports)
    one.send([pack(0, "pump-0", [(n * 1000, [1.0 * n])]) for n in range(40)])
    for turn in range(40):
        worker = (one, other)[turn % 3 == 0]
        worker.taken = turn - 1
        worker.take(3)
    assert readings(one.ports.blobs, 0, "acme", "pump-0").ts.tolist() == [n * 1000 for n in range(40)]


def test_a_segment_missing_in_a_merge_stops_the_partition():
    series = Store()
    series.send([pack(0, "pump-0", [(n * 1000, [1.0])]) for n in range(16)])
    for _ in range(15):
        series.take(1)
    series.ports.blobs.delete(series.ports.blobs.list("segments/")[:1])
    with pytest.raises(Conflict, match="not stored"):
        series.take(1)


def test_a_new_device_is_written_with_its_class_site_and_metrics():
    series = Store()
    series.store([pack(0, "pump-0", [(NOW - 500, [1.0, 2.0])])])
    expected = DeviceRecord("acme", "pump-0", "plant-1", "generic", ("a", "b"), NOW - 500, NOW - 500)
    assert record(series)[0] == expected


def test_a_device_is_written_again_after_a_minute_and_not_before():
    series = Store()
    series.store([pack(0, "pump-0", [(NOW, [1.0])])])
    first = record(series)
    series.now += 59_000
    series.store([pack(0, "pump-0", [(series.now, [1.0])])])
    assert record(series) == first
    series.now += 1_000
    series.store([pack(0, "pump-0", [(series.now, [1.0])])])
    assert record(series)[0].last_seen == NOW + 60_000


def test_a_device_that_changes_is_written_at_once_and_forgets_nothing():
    series = Store()
    moved = pack(0, "pump-0", [(NOW + 1, [1.0])])
    moved.devices = [Device("acme", "pump-0", "plant-2")]
    series.store([pack(0, "pump-0", [(NOW, [1.0, 2.0])])])
    series.store([moved])
    assert (record(series)[0].site, record(series)[0].metrics) == ("plant-2", ("a", "b"))
    series.store([pack(0, "pump-0", [(NOW + 2, [1.0, 2.0, 3.0])])])
    assert record(series)[0].metrics == ("a", "b", "c")


def test_a_backfill_in_no_time_still_says_until_when_there_is_data():
    series = Store()
    for hour in (0, 1, 2, -3):
        series.store([pack(0, "pump-0", [(NOW + hour * HOUR, [1.0])])])
    assert (record(series)[0].first_seen, record(series)[0].last_seen) == (NOW - 3 * HOUR, NOW + 2 * HOUR)


def test_latency_is_counted_for_all_but_backfills():
    series = Store()
    series.now = NOW + 70
    rows = [(NOW, [1.0])] * 4
    series.send([pack(0, "pump-0", rows, flags=[0, 0, Flag.BACKFILL, 0])])
    counts = series.take()
    assert counts["stored"] == 4
    assert (counts["latency_le_50"], counts["latency_le_100"], counts["latency_le_inf"]) == (0, 3, 3)
    assert percentile(counts, 0.5) == pytest.approx(75)


def test_the_percentile_of_nothing_is_none_and_beyond_the_last_bound_is_that_bound():
    assert percentile({}, 0.5) is None
    assert percentile({"latency_le_inf": 4.0}, 0.5) == 60_000


def test_a_manifest_comes_back_and_garbage_does_not():
    state = STORE_CODEC.empty()
    ref = SegmentRef(1, 7, "ab", 3, -5, 9)
    state.segments.append(ref)
    state.sequence = 8
    state.know(KnownDevice("acme", "pump-0", "", ("a",), 1, 2, 3, ref))
    assert STORE_CODEC.encode(STORE_CODEC.decode(STORE_CODEC.encode(state))) == STORE_CODEC.encode(state)
    assert STORE_CODEC.decode(STORE_CODEC.encode(state)).devices() == state.devices()
    with pytest.raises(StateError, match="version 9"):
        STORE_CODEC.decode(b"\x94\x09\x00\x90\x90")


@given(st.binary(max_size=100))
def test_bytes_that_are_no_manifest_are_a_state_error(data):
    with pytest.raises(StateError):
        STORE_CODEC.decode(data)


def test_a_batch_of_many_shards_and_sorts_of_devices_is_stored_whole():
    series = Store()
    packs = [
        pack(n % 2, f"pump-{n}", [(NOW + k, list(np.arange(1.0 + n % 3))) for k in range(n)]) for n in range(1, 30)
    ]
    series.send(packs)
    assert series.take()["stored"] == sum(range(1, 30))
    for n in range(1, 30):
        assert len(readings(series.ports.blobs, n % 2, "acme", f"pump-{n}").ts) == n


def live(series, shard=0):
    """The names of all segments and pages that can be reached."""
    state = reader._manifest(series.ports.blobs, shard)
    load = Reader(series.ports.blobs, shard, state).load

    def unpaged(refs):
        for ref in refs:
            yield ref.key(shard)
            if ref.level > merging.FULL:
                yield from unpaged(load([ref])[0].before)

    newest = [known.newest for known in state.devices() if known.newest]
    older = [ref for segment in load(newest) for ref in segment.before]
    return [*unpaged([*state.segments, *newest, *older])]


@pytest.mark.usefixtures("small_merges")
def test_what_is_older_than_its_devices_readings_are_kept_goes_and_nothing_else_does():
    series = Store(catalogue="class: pump\nmatch: [pump-*]\nkeep: 6h\n")
    minutes = range(1500)
    for n in minutes:
        series.now = NOW + n * 60_000
        rows = [(series.now, [float(n)])]
        series.store([pack(0, "pump-0", rows), pack(0, "valve-0", rows)])
    held = {device: readings(series.ports.blobs, 0, "acme", device).ts for device in ("pump-0", "valve-0")}
    assert len(held["valve-0"]) == len(minutes)
    kept = held["pump-0"].tolist()
    assert kept == [NOW + n * 60_000 for n in minutes][-len(kept) :]
    assert 360 <= len(kept) <= 360 + merging.FULL_ROWS + merging.DIVIDE_ROWS
    assert sorted(live(series)) == sorted(segments(series)), "nothing is left behind, and nothing is missing"
