"""Packs are taken together only where no device's readings change their order by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.merging import may_join, together
from watchkeeper.outcome import Delivered
from watchkeeper.packs import MAX_PACK_BYTES, Pack, Table
from watchkeeper.records import Device, Origin

NOW = 1_790_000_000_000


def pack(*readings: tuple[str, int], metrics: tuple[str, ...] = ("flow",), shard: int = 0) -> Pack:
    """A pack of readings (device, seconds), all of the same metrics."""
    names = list(dict.fromkeys(device for device, _ in readings))
    ts = [NOW + seconds * 1000 for _, seconds in readings]
    device = [names.index(name) for name, _ in readings]
    table = Table.build(metrics, device, ts, ts, [[1.0] * len(ts)] * len(metrics))
    return Pack(shard, [Device("default", name) for name in names], [table])


def delivered(packs: list[Pack]) -> list[Delivered]:
    return [Delivered(Origin("clean", "iot-data-ingestion", 0, offset), each) for offset, each in enumerate(packs)]


def order(packs: list[Pack]) -> dict[str, list[tuple[tuple[str, ...], int]]]:
    """What each device sent, in the order in which a stage would see it."""
    seen: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for each in packs:
        for table in each.tables:
            for at, ts in zip(table.device.tolist(), table.ts.tolist(), strict=True):
                seen.setdefault(each.devices[at].device, []).append((table.metrics, ts))
    return seen


def test_packs_in_order_become_one_which_comes_from_where_the_first_came_from():
    (one,) = together(delivered([pack(("a", 1), ("b", 1)), pack(("b", 2)), pack(("a", 2), ("c", 0))]))
    assert len(one.record) == 5
    assert one.origin.offset == 0


def test_a_device_that_goes_back_in_time_is_not_joined_with_what_it_sent_before():
    assert not may_join([pack(("a", 5)), pack(("a", 4))])
    assert may_join([pack(("a", 5)), pack(("b", 4))])


def test_a_device_with_two_sets_of_metrics_is_not_joined():
    assert not may_join([pack(("a", 1)), pack(("a", 2), metrics=("flow", "head"))])
    assert may_join([pack(("a", 1)), pack(("b", 2), metrics=("flow", "head"))])


def test_what_would_not_fit_into_a_message_is_not_joined():
    many = [pack(*((f"d{n}", n) for n in range(1_000))), pack(*((f"e{n}", n) for n in range(1_000)))]
    assert may_join(many[:1])
    assert not may_join(many)
    assert all(len(item.record.encode()) < MAX_PACK_BYTES for item in together(delivered(many * 3)))


def test_shards_are_kept_apart():
    found = together(delivered([pack(("a", 1), shard=1), pack(("b", 1), shard=2), pack(("a", 2), shard=1)]))
    assert sorted((item.record.shard, len(item.record)) for item in found) == [(1, 2), (2, 1)]


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=4),
            st.sampled_from([("flow",), ("flow", "head")]),
        ),
        max_size=12,
    )
)
def test_no_device_sees_another_order_however_packs_are_joined(given_packs):
    packs = [pack(*readings, metrics=metrics) for readings, metrics in given_packs]
    joined = [item.record for item in together(delivered(packs))]
    assert order(joined) == order(packs)
