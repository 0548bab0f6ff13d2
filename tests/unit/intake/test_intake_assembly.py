"""Packs in the making: small enough whatever comes, and with the readings of a message together."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.intake import assembly as module
from watchkeeper.intake.assembly import Assembly, Placed
from watchkeeper.intake.sent import MAX_METRICS, MAX_TAGS, SentReading, fault_of
from watchkeeper.packs import MAX_PACK_BYTES, Pack
from watchkeeper.records import Device, Flag, Origin

LONGEST = -1.7976931348623157e308
NOW = 1_795_000_000_000


def placed(values, *, device="p", tags=None, ts=NOW, salt=0, site=""):
    sent = SentReading(values, tags=tags or {})
    assert fault_of(sent) == ""
    return Placed(Device("default", device, site), sent, sent.tags_as_text(), ts, NOW, salt)


def with_all_verdicts(pack):
    """The pack as it can become at most: every column filled, every value long, every reading breaking rules."""
    tables = []
    for table in pack.tables:
        n = len(table)
        rules = {row: [f"pump.rule-number-{row % 3}-{i}" for i in range(6)] for row in range(n)}
        every = np.full(n, int(sum(Flag)))
        tables.append(
            dataclasses.replace(
                table, values=np.full_like(table.values, LONGEST), score=np.full(n, 0.1234), flags=every, rules=rules
            )
        )
    whole = dataclasses.replace(pack, tables=tables)
    wide = Origin("rule_check", "data-processing-output", 63, 10**12, 99)
    return max(whole, whole.from_origin(wide), key=lambda each: len(each.encode()))


def bytes_of(packs):
    return [len(with_all_verdicts(pack).encode()) for pack in packs]


def test_packs_stay_under_their_limit_whatever_later_stages_add():
    assembly = Assembly()
    for n in range(6000):
        values = {f"metric_{m}": LONGEST for m in range(n % 12 + 1)}
        assembly.add(3, [placed(values, device=f"pump-{n % 70}", tags={"line": n % 40}, ts=None, salt=2**62 + n)])
    sizes = bytes_of(assembly.packs())
    assert sum(map(len, assembly.packs())) == 6000
    assert max(sizes) <= MAX_PACK_BYTES
    assert min(sizes[:-1]) > MAX_PACK_BYTES / 2  # and none is sent half empty


def test_readings_that_each_bring_names_of_their_own_are_counted_with_them():
    assembly = Assembly()
    for n in range(300):
        values = {f"{n}-{m}-{'ä' * 100}": 1.0 for m in range(30)}
        assembly.add(0, [placed(values, device=f"{n}{'d' * 120}", tags={f"{n}{'ö' * 50}": "ü" * 256}, site="s" * 128)])
    assert max(bytes_of(assembly.packs())) <= MAX_PACK_BYTES


def test_the_largest_reading_that_is_allowed_fits_into_a_pack_of_its_own():
    assembly = Assembly()
    for n in range(3):
        values = {f"{n}{m:03d}{'😀' * 124}": LONGEST for m in range(MAX_METRICS)}
        tags = {f"{n}{t:02d}{'😀' * 61}": "😀" * 256 for t in range(MAX_TAGS)}
        assembly.add(0, [placed(values, device=f"p{n}", tags=tags)])
    packs = assembly.packs()
    assert [len(pack) for pack in packs] == [1, 1, 1]
    assert max(bytes_of(packs)) <= MAX_PACK_BYTES


def test_the_readings_of_a_message_are_never_parted():
    assembly = Assembly()
    message = [placed({"flow": 1.0, "pressure": None}, ts=NOW + n) for n in range(500)]
    for offset in range(20):
        assembly.add_message(0, message, Origin("hub", "device-telemetry", 0, offset))
    packs = assembly.packs()
    assert len(packs) > 1
    homes = {}
    for number, pack in enumerate(packs):
        for table in pack.tables:
            for at in table.origin:
                homes.setdefault(pack.origins[at], set()).add(number)
    assert sorted(origin.place for origin in homes) == [(offset, 0) for offset in range(20)]
    assert all(len(where) == 1 for where in homes.values())


def parts_of(company, message):
    """Which readings of a message share an origin, when it comes after `company` other readings."""
    assembly = Assembly()
    for n in range(company):
        assembly.add_message(0, [placed({"flow": 1.0})], Origin("hub", "device-telemetry", 0, n))
    assembly.add_message(0, message, Origin("hub", "device-telemetry", 0, 9_999))
    found = {}
    for pack in assembly.packs():
        assert len(with_all_verdicts(pack).encode()) <= MAX_PACK_BYTES
        for table in pack.tables:
            for at, ts in zip(table.origin, table.ts, strict=True):
                origin = pack.origins[at]
                if origin.offset == 9_999:
                    found.setdefault(origin.index, []).append(int(ts))
    return found


def test_a_message_that_no_pack_can_hold_goes_in_numbered_parts_that_do_not_depend_on_its_company():
    message = [placed({f"m{m}": LONGEST for m in range(10)}, ts=NOW + n) for n in range(3000)]
    alone = parts_of(0, message)
    assert len(alone) > 2
    assert list(alone) == sorted(alone)
    assert [ts for part in alone.values() for ts in part] == [NOW + n for n in range(3000)]
    assert parts_of(700, message) == alone


readings = st.builds(
    placed,
    st.dictionaries(
        st.sampled_from("abcdef"), st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1
    ),
    device=st.sampled_from(["p", "q", "r"]),
    tags=st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", "2"]), max_size=2),
    ts=st.none() | st.integers(NOW, NOW + 50),
    salt=st.integers(1, 2**62),
)


@pytest.mark.parametrize("room", [300, 1000])
@settings(max_examples=60)
@given(given_readings=st.lists(st.tuples(st.integers(0, 1), readings), max_size=40))
def test_what_is_put_in_comes_out_once_and_each_devices_readings_of_the_same_metrics_in_order(room, given_readings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROOM", room)
        assembly = Assembly()
        for shard, reading in given_readings:
            assembly.add(shard, [reading])
        packs = [Pack.decode(pack.encode()) for pack in assembly.packs()]
    for shard in (0, 1):
        came = [r for pack in packs if pack.shard == shard for r in pack.readings()]
        sent = [reading for at, reading in given_readings if at == shard]
        assert len(came) == len(sent)
        for device in "pqr":
            for metrics in {tuple(reading.sent.values) for reading in sent}:
                theirs = [r.values for r in came if r.device == device and tuple(r.values) == metrics]
                assert theirs == [
                    r.sent.values for r in sent if r.who.device == device and tuple(r.sent.values) == metrics
                ]


def test_a_reading_without_a_time_has_the_time_it_was_received_and_says_so():
    assembly = Assembly()
    assembly.add(0, [placed({"a": 1.0}, ts=None, salt=77)])
    assembly.add(0, [placed({"a": 2.0}, ts=NOW - 5, salt=77)])
    table = assembly.packs()[0].tables[0]
    assert table.ts.tolist() == [NOW, NOW - 5]
    assert table.flags.tolist() == [Flag.NO_TIME, 0]
    assert table.salt.tolist() == [77, 0]
