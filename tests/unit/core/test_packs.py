"""A pack is the same after a journey, and what is left of it is what was meant."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.errors import DecodeError
from watchkeeper.packs import Pack, Table
from watchkeeper.ports import Stored
from watchkeeper.records import Device, Origin
from watchkeeper.topology import DATA_PROCESSING_OUTPUT as CLEANED
from watchkeeper.wire import Lately

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
MOMENTS = st.integers(0, 4_000_000_000_000)
VALUES = st.one_of(st.just(float("nan")), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def tables(draw, devices, origins, tagsets):
    metrics = tuple(draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)))
    n = draw(st.integers(1, 5))

    def column(of):
        return draw(st.lists(of, min_size=n, max_size=n))

    rules = draw(
        st.dictionaries(st.integers(0, n - 1), st.lists(NAMES, min_size=1, max_size=2, unique=True), max_size=2)
    )
    return Table.build(
        metrics,
        column(st.integers(0, devices - 1)),
        column(MOMENTS),
        column(MOMENTS),
        [column(VALUES) for _ in metrics],
        flags=column(st.integers(0, 255)),
        salt=column(st.integers(0, 2**62)),
        origin=column(st.integers(-1, origins - 1)),
        tags=column(st.integers(-1, tagsets - 1)),
        score=draw(st.sampled_from([[], [0.25] * n])),
        rules=rules,
    )


@st.composite
def packs(draw):
    devices = draw(st.lists(st.builds(Device, NAMES, NAMES, NAMES), min_size=1, max_size=3, unique=True))
    origin = st.builds(Origin, NAMES, st.just("t"), st.integers(0, 2), st.integers(0, 9), st.integers(0, 2))
    origins = draw(st.lists(origin, max_size=3, unique=True))
    tagsets = draw(st.lists(st.dictionaries(NAMES, NAMES, min_size=1, max_size=2), max_size=2))
    of = tables(len(devices), len(origins), len(tagsets))
    return Pack(draw(st.integers(0, 63)), devices, draw(st.lists(of, min_size=1, max_size=3)), origins, tagsets)


def plain(pack):
    """A pack as values that compare; NaN equals NaN."""
    columns = ("device", "ts", "received", "flags", "salt", "origin", "tags", "score")
    return (
        pack.shard,
        pack.devices,
        pack.origins,
        pack.tagsets,
        [
            (t.metrics, t.rules, [getattr(t, name).tolist() for name in columns], str(t.values.tolist()))
            for t in pack.tables
        ],
    )


@given(packs())
def test_a_pack_is_the_same_after_a_journey(pack):
    assert plain(Pack.decode(pack.encode())) == plain(pack)


@given(packs())
def test_what_a_worker_has_sent_itself_it_takes_as_if_it_had_been_decoded_and_once_only(pack):
    for table in pack.tables:
        table.score = table.score + 1e-5 / 3  # more digits than travel
    value = pack.encode()
    lately, message = Lately(), Stored(0, pack.shard, value, {})
    lately.keep(value, pack)
    assert plain(lately.decode(CLEANED, message)) == plain(Pack.decode(value))
    assert plain(lately.decode(CLEANED, message)) == plain(Pack.decode(value))  # decoded, for it is kept no more


def test_a_worker_keeps_so_many_packs_and_no_more():
    lately, values = Lately(kept=2), [Pack(shard, [], []).encode() for shard in range(4)]
    for shard, value in enumerate(values):
        lately.keep(value, Pack(shard + 10, [], []))
    found = [lately.decode(CLEANED, Stored(0, 0, value, {})).shard for value in values]
    assert found == [0, 1, 12, 13]


@given(packs())
def test_a_journey_changes_no_id(pack):
    there = Pack.decode(pack.encode())
    for table, other in zip(pack.tables, there.tables, strict=True):
        assert pack.ids(table).tolist() == there.ids(other).tolist()


@given(packs(), st.data())
def test_select_keeps_whole_readings_in_their_order(pack, data):
    for table in pack.tables:
        keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table))))
        of_all = [reading for reading, kept in zip(readings_of(pack, table), keep, strict=True) if kept]
        assert readings_of(pack, table.select(keep)) == of_all


@given(packs(), st.randoms())
def test_reordered_moves_whole_readings(pack, random):
    for table in pack.tables:
        rows = list(range(len(table)))
        random.shuffle(rows)
        of_all = readings_of(pack, table)
        assert readings_of(pack, table.reordered(np.array(rows))) == [of_all[row] for row in rows]


def readings_of(pack, table):
    return [
        (str(pack.reading(table, row)), table.rules.get(row), int(table.salt[row]), int(table.origin[row]))
        for row in range(len(table))
    ]


@given(
    packs(),
    st.dictionaries(st.builds("{}:t/{}".format, NAMES, st.integers(0, 2)), st.tuples(st.integers(0, 9), st.just(0))),
)
def test_without_leaves_what_was_not_taken(pack, taken):
    def is_fresh(at):
        origin = pack.origins[at] if at >= 0 else None
        return origin is None or origin.place > taken.get(origin.source, (-1, 0))

    left = [each for table in pack.tables for each in readings_of(pack, table) if is_fresh(each[3])]
    rest = pack.without(taken)
    assert [each for table in rest.tables for each in readings_of(rest, table)] == left


def test_a_pack_without_origins_is_always_whole():
    pack = Pack(0, [Device("t", "d")], [Table.build(("a",), [0], [1], [1], [[1.0]])])
    assert pack.without({"x:t/0": (9, 9)}) is pack


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="different lengths"):
        Table.build(("a",), [0], [1, 2], [1, 2], [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"devices": []}, "points outside"),
        ({"v": 2}, "schema version 2"),
        ({"tables": [{"metrics": ["a"], "device": [0], "ts": [1], "received": [1], "values": [[1, 2]]}]}, "not a pack"),
        (
            {"tables": [{"metrics": ["a"], "device": [-1], "ts": [1], "received": [1], "values": [[1]]}]},
            "points outside",
        ),
        (
            {
                "tables": [
                    {
                        "metrics": ["a"],
                        "device": [0],
                        "ts": [1],
                        "received": [1],
                        "values": [[1]],
                        "rules": [[["r"], [1]]],
                    }
                ]
            },
            "outside the table",
        ),
        (
            {"tables": [{"metrics": ["a"], "device": [0], "ts": [2**70], "received": [1], "values": [[1]]}]},
            "not a pack",
        ),
        ({"shard": None}, "not a pack"),
    ],
)
def test_what_does_not_fit_together_is_no_pack(change, reason):
    good = Pack(0, [Device("t", "d")], [Table.build(("a",), [0], [1], [1], [[1.0]])])
    wire = msgspec.json.decode(good.encode()) | change
    with pytest.raises(DecodeError, match=reason):
        Pack.decode(msgspec.json.encode(wire))


def test_scores_travel_with_four_digits():
    table = Table.build(("a",), [0], [1], [1], [[1.0]], score=[0.123456])
    there = Pack.decode(Pack(0, [Device("t", "d")], [table]).encode())
    assert there.tables[0].score.tolist() == [0.1235]


def test_a_reading_for_people_has_everything_but_its_place():
    table = Table.build(("a", "b"), [0], [5], [7], [[1.0], [None]], flags=[2], tags=[0])
    pack = Pack(0, [Device("acme", "pump", "north")], [table], tagsets=[{"line": "a"}])
    (reading,) = pack.readings()
    assert (reading.tenant, reading.device, reading.site, reading.ts, reading.received) == (
        "acme",
        "pump",
        "north",
        5,
        7,
    )
    assert (reading.values, reading.tags, reading.flags) == ({"a": 1.0, "b": None}, {"line": "a"}, 2)
