"""Rules over packs as columns, held against the plain reading of each rule, one reading at a time."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.checking.plain import PlainRule, rule_for
from watchkeeper.checking.pack_check import PackCheck
from watchkeeper.checking.roster import Roster
from watchkeeper.checking.state import CHECK_CODEC
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Flag

NOW = 1_795_000_200_000  # a Wednesday, 11:10 UTC
PUMP = """
{id: hot, metric: a, above: 6, clear: 4}
{id: hot.long, metric: a, above: 7, for: 20s}
{id: hot.much, metric: a, above: 8, overrides: [{devices: [pump-2], above: 6, for: 5s}, {sites: [south], off: true}]}
{id: low, metric: b, below: 3, clear: 5, for: 10s}
{id: exactly, metric: a, equals: [7, 3]}
{id: hunting, metric: a, above: 6, clear: 4, times: 3, within: 1m}
{id: hunting.anywhere, when: a > b, times: 2, within: 40s}
{id: rising, metric: a, rising: 4 per 20s, clear: 1}
{id: falling, metric: b, falling: 3 per 30s, for: 10s}
{id: flat, metric: a, flatline: 30s}
{id: flat.nearly, metric: b, flatline: 30s, tolerance: 1}
{id: above.b, when: a > b + 3, clear: a < b + 1}
{id: tagged, when: "tag.line like 'A*' and a > 5 and not missing(b)"}
{id: any, when: {any: [a > 8, {all: [a > 5, b < 3]}, {not: a >= 1}]}, for: 10s}
{id: steps, sequence: [a > 6, b > 6, a < 3], within: 1m}
{id: steps.same, sequence: [a > 5, a > 5], within: 20s}
{id: guarded, metric: a, above: 5, while: b > 4}
{id: guarded.rise, metric: a, rising: 3 per 20s, while: b > 2, except: {hours: 11:14-11:16}}
{id: hours, metric: a, above: 4, clear: 2, during: [{hours: 11:00-11:12}, {days: thu}]}
{id: one.site, metric: a, above: 5, sites: [n*], devices: [pump-*]}
"""
EVERY = """
{id: outside, metric: b, outside: [2, 8], clear: [3, 7]}
{id: quiet, no_data: 60s}
"""
DEVICES = {"pump-1": "north", "pump-2": "north", "pump-3": "south", "kettle": ""}
RUNBOOK = (
    "---\ntitle: T\napplies_to: ['*']\ncategory: operations\nsignals: [a]\n---\n## What it looks like\nX.\n"
    "## Likely causes\n- X\n## What to do\n1. X\n## When it is over\nX.\n"
)


def rules_file(applies_to, lines):
    ending = ", severity: warning, summary: s, runbook: r.md}"
    return f"applies_to: '{applies_to}'\nrules:\n" + "".join(
        f"  - {line[:-1]}{ending}\n" for line in lines.split("\n")[1:-1]
    )


def bundle_of(pump=PUMP, every=EVERY):
    return Bundle.from_files({
        "devices/pump.yaml": "class: pump\nmatch: [pump-*]\ninterval: 1s\nmetrics: {a: {}, b: {}, c: {}}\n",
        "rules/pump.yaml": rules_file("pump", pump),
        "rules/every.yaml": rules_file("*", every),
        "runbooks/r.md": RUNBOOK,
    })  # fmt: skip


BUNDLE = bundle_of()
RULES = BUNDLE.rules


def plainly(readings, only=None):
    """The edges of every device and rule, and the rules each reading breaks."""
    rules, edges, verdicts = {}, [], []
    for device, ts, values, late, tags in readings:
        broken = []
        for rule in RULES.rules:
            own = rule_for(rule, DEVICES[device], device)
            of_class = rule.applies_to in ("*", "pump" if device.startswith("pump") else "generic")
            if late or own is None or not of_class or rule.kind == "no_data" or (only and rule.id != only):
                continue
            given = {name: value for name, value in values.items() if value is not None}
            if own.kind == "sequence":  # looks at every reading in whose table one of its metrics is
                given = dict(values)
            said, within = rules.setdefault((device, rule.id), PlainRule(own)).read(ts, given, tags)
            if said:
                edges.append((device, rule.id, ts, *said))
            if within:
                broken.append(rule.id)
        verdicts.append(broken)
    return sorted(edges), verdicts


def check(state, pack, bundle=BUNDLE):
    """The rules of a bundle over a pack."""
    return PackCheck(pack, state, bundle.rules, Roster(bundle).find(state, pack.devices)).run()


def by_columns(readings, cuts, bundle=BUNDLE):
    """The same through packs, cut anywhere, with the state going through its bytes in between."""
    state, edges, verdicts = CHECK_CODEC.empty(), [], []
    bounds = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    for start, end in pairwise(bounds):
        part = readings[start:end]
        names = list(dict.fromkeys(device for device, *_ in part))
        metrics = ("a", "b", "c")
        values = [[row[2].get(metric) for row in part] for metric in metrics]
        flags = [int(Flag.LATE) if row[3] else 0 for row in part]
        times = [ts for _, ts, *_ in part]
        tagsets = [row[4] for row in part]
        table = Table.build(
            metrics, [names.index(row[0]) for row in part], times, times, values, flags=flags, tags=range(len(part))
        )
        pack = Pack(0, [Device("default", name, DEVICES[name]) for name in names], [table], tagsets=tagsets)
        for found in check(state, pack, bundle):
            device = names[found.table.device[found.row]]
            edges.append((device, found.rule.id, int(found.table.ts[found.row]), found.edge, found.since, found.count))
        verdicts += [table.rules.get(row, []) for row in range(len(part))]
        state = CHECK_CODEC.decode(CHECK_CODEC.encode(state))
    return sorted(edges), verdicts


value = st.none() | st.integers(0, 10).map(float)
reading = st.tuples(
    st.sampled_from(list(DEVICES)),
    st.integers(-500, 15_000),
    st.fixed_dictionaries({"a": value, "b": value}),
    st.integers(0, 9),
    st.sampled_from([{}, {"line": "A1"}, {"line": "B", "shift": "A"}]),
)


def told(steps):
    ts, readings = NOW, []
    for device, step, values, luck, tags in steps:
        ts += step
        readings.append((device, ts - (500_000 if luck == 0 else 0), values, luck == 0, tags))
    return readings


@settings(max_examples=300)
@given(steps=st.lists(reading, max_size=70), cuts=st.lists(st.integers(1, 60), max_size=4))
def test_columns_say_what_plain_rules_say_however_the_readings_are_cut(steps, cuts):
    readings = told(steps)
    edges, verdicts = by_columns(readings, cuts)
    plain_edges, plain_verdicts = plainly(readings)
    assert edges == plain_edges
    assert [sorted(ids) for ids in verdicts] == [sorted(ids) for ids in plain_verdicts]


slow = st.tuples(
    st.sampled_from(["pump-1", "pump-2"]),
    st.integers(0, 6_000),
    st.fixed_dictionaries({"a": st.sampled_from([5.0, 5.0, 5.5, 6.0]), "b": st.sampled_from([4.0, 4.5, 5.0, 5.5])}),
    st.just(1),
    st.just({}),
)


@pytest.mark.no_cover
@settings(max_examples=200)
@given(steps=st.lists(slow, min_size=20, max_size=120), cuts=st.lists(st.integers(1, 110), max_size=5))
def test_rules_that_look_back_say_the_same_over_slow_values_however_they_are_cut(steps, cuts):
    readings = told(steps)
    found = by_columns(readings, cuts)
    assert found == by_columns(readings, [])
    assert found[0] == plainly(readings)[0]


def test_every_rule_of_these_tests_can_fire_and_clear():
    chance = np.random.default_rng(7)
    steps = [
        (
            str(chance.choice([*DEVICES])),
            int(chance.integers(0, 3000)),
            {name: None if chance.random() < 0.1 else float(chance.integers(0, 11)) for name in "ab"},
            1,
            {"line": "A1"},
        )
        for _ in range(2000)
    ]
    still = [("pump-1", 1000, {"a": 5.0, "b": 5.0}, 1, {})] * 60 + [("pump-1", 1000, {"a": 9.0, "b": 1.0}, 1, {})] * 2
    readings = told(still + steps)
    edges, verdicts = by_columns(readings, [100, 150, 700])
    assert (edges, verdicts) == by_columns(readings, [])
    assert edges == plainly(readings)[0]
    seen = {(rule, edge) for _, rule, _, edge, *_ in edges}
    wanted = {rule.id for rule in RULES.rules} - {"quiet"}
    assert {rule for rule, edge in seen if edge == "open"} == wanted
    assert {rule for rule, edge in seen if edge == "clear"} == wanted


def series(device, metric, points):
    return [(device, NOW + ts, {metric: value}, False, {}) for ts, value in points]


def test_between_its_levels_a_rule_neither_fires_nor_clears():
    edges, _ = by_columns(series("pump-1", "a", [(0, 5), (1, 6), (2, 6.1), (3, 5), (4, 4.1), (5, 6), (6, 4)]), [])
    assert [(ts - NOW, edge) for _, rule, ts, edge, *_ in edges if rule == "hot"] == [(2, "open"), (6, "clear")]


def test_an_episode_that_goes_on_speaks_up_once_a_minute_and_its_counts_add_up():
    points = [(second * 1000, 9.0) for second in range(200)]
    edges, verdicts = by_columns(series("pump-1", "a", [*points, (200_000, 1.0)]), [70, 130])
    said = [(ts - NOW, edge, count) for _, rule, ts, edge, _, count in edges if rule == "hot"]
    assert said == [
        (0, "open", 1),
        (60_000, "update", 60),
        (120_000, "update", 60),
        (180_000, "update", 60),
        (200_000, "clear", 20),
    ]
    assert sum(count for *_, count in said) == sum("hot" in ids for ids in verdicts) == 201


def test_metrics_of_one_device_in_two_tables_are_followed_in_the_order_of_their_times():
    """The pack holds `a` with `b` and without it; looked at table by table, `hot.long` would never last 20 s."""
    times = [NOW + n * 5_000 for n in range(9)]
    even, odd = times[::2], times[1::2]
    hot = 9.0
    both = Table.build(("a", "b"), [0] * 5, even, even, [[hot] * 5, [5.0] * 5])
    alone = Table.build(("a",), [0] * 4, odd, odd, [[5.0, hot, hot, hot]])
    pack = Pack(0, [Device("default", "pump-1")], [both, alone])
    found = [f for f in check(CHECK_CODEC.empty(), pack) if f.rule.id == "hot.long"]
    assert [(f.edge, int(f.table.ts[f.row])) for f in found] == [("open", NOW + 30_000)]
    assert sorted(row for row, ids in both.rules.items() if "hot.long" in ids) == [3, 4]
    assert sorted(row for row, ids in alone.rules.items() if "hot.long" in ids) == [3]


def test_what_looks_back_sees_both_tables_too():
    times = [NOW + n * 4_000 for n in range(12)]
    table = Table.build(("a", "b"), [0] * 6, times[::2], times[::2], [[float(n) for n in range(0, 12, 2)], [5.0] * 6])
    alone = Table.build(("a",), [0] * 6, times[1::2], times[1::2], [[float(n) for n in range(1, 12, 2)]])
    pack = Pack(0, [Device("default", "pump-1")], [table, alone])
    found = [f for f in check(CHECK_CODEC.empty(), pack) if f.rule.id == "rising"]
    assert [(f.edge, int(f.table.ts[f.row]) - NOW) for f in found] == [("open", 20_000)]


def test_a_device_that_changes_its_site_is_one_device_all_the_same():
    times = [NOW + n * 1000 for n in range(40)]
    table = Table.build(("a",), [n % 2 for n in range(40)], times, times, [[9.0 + n for n in range(40)]])
    pack = Pack(0, [Device("default", "pump-1", "north"), Device("default", "pump-1", "nowhere")], [table])
    found = {(f.rule.id, f.edge) for f in check(CHECK_CODEC.empty(), pack)}
    assert {("hot", "open"), ("hot.long", "open")} <= found
    assert len([edge for edge in found if edge[0].startswith("hot")]) == 3


def test_nothing_is_remembered_of_a_device_at_rest():
    state = CHECK_CODEC.empty()
    table = Table.build(("a", "b"), [0], [NOW], [NOW], [[9.0], [9.0]])
    pack = Pack(0, [Device("default", "pump-1", "north")], [table])
    list(check(state, pack))
    assert state.breaches
    assert state.marks
    calm = Table.build(("a", "b"), [0, 0], [NOW + 900_000, NOW + 990_000], [NOW, NOW], [[2.0, 2.1], [5.0, 7.0]])
    list(check(state, Pack(0, pack.devices, [calm])))
    assert (state.breaches, state.marks) == ({}, {})


def test_what_is_remembered_of_a_device_is_bounded():
    chance = np.random.default_rng(3)
    state = CHECK_CODEC.empty()
    sizes = []
    for round_ in range(60):
        times = NOW + np.arange(round_ * 500, round_ * 500 + 500) * 100
        values = chance.integers(0, 11, (2, 500)).astype(float)
        table = Table.build(("a", "b"), np.zeros(500, int), times, times, values)
        list(check(state, Pack(0, [Device("default", "pump-1", "north")], [table])))
        sizes.append(len(CHECK_CODEC.encode(state)))
    assert max(sizes[5:]) < 3000


def test_nan_neither_fires_nor_clears():
    points = [(0, 9.0), (1000, math.nan), (2000, 1.0)]
    edges, verdicts = by_columns(series("pump-1", "a", points), [])
    assert [edge for _, rule, _, edge, *_ in edges if rule == "hot"] == ["open", "clear"]
    assert verdicts[1] == []


def test_devices_of_two_tenants_with_one_name_are_two():
    table = Table.build(("a",), [0, 1], [NOW, NOW], [NOW, NOW], [[9.0, 1.0]])
    pack = Pack(0, [Device("one", "pump-1"), Device("two", "pump-1")], [table])
    state = CHECK_CODEC.empty()
    found = [f for f in check(state, pack) if f.rule.id == "hot"]
    assert [f.row for f in found] == [0]
    assert [state.devices[slot].tenant for slot in state.breaches["hot"]] == ["one"]


BEFORE = [
    "{id: x, sequence: [a > 1, a > 2], within: 1m}",
    "{id: x, metric: a, rising: 1 per 8s}",
    "{id: x, when: a > 1, times: 9, within: 1m}",
]
AFTER = [
    "{id: x, metric: a, above: 5, times: 2, within: 1m}",
    "{id: x, metric: a, flatline: 10s}",
    "{id: x, sequence: [a > 1, a > 2, a > 3, a > 4], within: 1m}",
    "{id: x, metric: a, rising: 1 per 8s}",
    "{id: x, metric: a, above: 5}",
]


@pytest.mark.parametrize("kind", AFTER)
@pytest.mark.parametrize("before", BEFORE)
def test_a_rule_that_becomes_one_of_another_kind_goes_on_with_what_is_remembered(before, kind):
    state = CHECK_CODEC.empty()
    times = [NOW + n * 1000 for n in range(10)]
    for bundle in (bundle_of(f"\n{before}\n"), bundle_of(f"\n{kind}\n")):
        table = Table.build(("a",), [0] * 10, times, times, [[float(n % 7) for n in range(10)]])
        list(check(state, Pack(0, [Device("default", "pump-1")], [table]), bundle))
        times = [ts + 10_000 for ts in times]
    assert CHECK_CODEC.encode(CHECK_CODEC.decode(CHECK_CODEC.encode(state)))
