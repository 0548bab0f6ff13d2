"""Rules over packs as columns, held against the plain reading of each rule, one reading at a time."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.checking.breach import TELL_MS
from watchkeeper.checking.pack_check import PackCheck
from watchkeeper.checking.state import CHECK_CODEC, device_key
from watchkeeper.knowledge.rules import Rule, RuleSet
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Flag, Severity

NOW = 1_795_000_000_000
RULES = RuleSet((
    Rule("hot", "pump", "a", "above", Severity.WARNING, "hot", "r.md", fire_high=6, clear_high=4),
    Rule("hot.long", "pump", "a", "above", Severity.CRITICAL, "hot", "r.md", fire_high=7, clear_high=7, for_ms=20_000),
    Rule("low", "pump", "b", "below", Severity.WARNING, "low", "r.md", fire_low=3, clear_low=5, for_ms=10_000),
    Rule("off", "*", "b", "outside", Severity.WARNING, "off", "r.md", 2, 8, 3, 7),
    Rule("host", "host", "a", "above", Severity.WARNING, "host", "r.md", fire_high=1, clear_high=1),
    Rule("quiet", "*", None, "no_data", Severity.WARNING, "quiet", "r.md", no_data_ms=60_000),
))  # fmt: skip
DEVICES = {"pump-1": "pump", "pump-2": "pump", "host-1": "host", "kettle": "generic"}


class PlainRule:
    """One rule of one device, as somebody would follow it by hand."""

    def __init__(self, rule):
        self.rule = rule
        self.broken_since = self.calm_since = self.open_since = self.said = None
        self.unsaid = 0

    def fires(self, value):
        by_kind = {
            "above": value > self.rule.fire_high,
            "below": value < self.rule.fire_low,
            "outside": value < self.rule.fire_low or value > self.rule.fire_high,
        }
        return by_kind[self.rule.kind]

    def calm(self, value):
        return self.rule.clear_low <= value <= self.rule.clear_high

    def read(self, ts, value):
        """Answers what is said (edge, since, count), and whether the reading belongs to an episode."""
        fires, calm, hold = self.fires(value), self.calm(value), self.rule.for_ms
        if self.open_since is None:
            self.broken_since = (ts if self.broken_since is None else self.broken_since) if fires else None
            if self.broken_since is None or ts - self.broken_since < hold:
                return None, False
            self.open_since, self.said, self.calm_since, self.unsaid = ts, ts, None, 0
            return ("open", ts, 1), True
        self.unsaid += 1
        self.calm_since = (ts if self.calm_since is None else self.calm_since) if calm else None
        if self.calm_since is not None and ts - self.calm_since >= hold:
            said = ("clear", self.open_since, self.unsaid)
            self.open_since = self.broken_since = None
            return said, True
        if fires and ts - self.said >= TELL_MS:
            said = ("update", self.open_since, self.unsaid)
            self.said, self.unsaid = ts, 0
            return said, True
        return None, True


def plainly(readings):
    """The edges of every device and rule, and the rules each reading breaks."""
    rules = {}
    edges, verdicts = [], []
    for device, ts, values, late in readings:
        broken = []
        for rule in RULES.rules:
            value = values.get(rule.metric)
            if late or value is None or rule.applies_to not in ("*", DEVICES[device]):
                continue
            said, within = rules.setdefault((device, rule.id), PlainRule(rule)).read(ts, value)
            if said:
                edges.append((device, rule.id, ts, *said))
            if within:
                broken.append(rule.id)
        verdicts.append(broken)
    return sorted(edges), verdicts


def by_columns(readings, cuts):
    """The same through packs, cut anywhere, with the state going through its bytes in between."""
    state, edges, verdicts = CHECK_CODEC.empty(), [], []
    bounds = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    for start, end in pairwise(bounds):
        part = readings[start:end]
        names = list(dict.fromkeys(device for device, *_ in part))
        metrics = ("a", "b", "c")
        values = [[row[2].get(metric) for row in part] for metric in metrics]
        flags = [int(Flag.LATE) if late else 0 for *_, late in part]
        times = [ts for _, ts, *_ in part]
        table = Table.build(metrics, [names.index(row[0]) for row in part], times, times, values, flags=flags)
        pack = Pack(0, [Device("default", name) for name in names], [table])
        for found in PackCheck(pack, state, [DEVICES[name] for name in names], RULES).run():
            device = names[found.table.device[found.row]]
            edges.append((device, found.rule.id, int(found.table.ts[found.row]), found.edge, found.since, found.count))
        verdicts += [table.rules.get(row, []) for row in range(len(part))]
        state = CHECK_CODEC.decode(CHECK_CODEC.encode(state))
    return sorted(edges), verdicts


value = st.none() | st.integers(0, 10).map(float)
reading = st.tuples(
    st.sampled_from(list(DEVICES)),
    st.integers(0, 15_000),
    st.fixed_dictionaries({"a": value, "b": value}),
    st.integers(0, 9),
)


@settings(max_examples=200)
@given(steps=st.lists(reading, max_size=60), cuts=st.lists(st.integers(1, 60), max_size=3))
def test_columns_say_what_plain_rules_say_however_the_readings_are_cut(steps, cuts):
    ts, readings = NOW, []
    for device, step, values, luck in steps:
        ts += step
        readings.append((device, ts - (500_000 if luck == 0 else 0), values, luck == 0))
    edges, verdicts = by_columns(readings, cuts)
    plain_edges, plain_verdicts = plainly(readings)
    assert edges == plain_edges
    assert [sorted(ids) for ids in verdicts] == [sorted(ids) for ids in plain_verdicts]


def series(device, metric, points):
    return [(device, NOW + ts, {metric: value}, False) for ts, value in points]


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
    state = CHECK_CODEC.empty()
    times = [NOW + n * 5_000 for n in range(9)]
    even, odd = times[::2], times[1::2]
    hot = 9.0
    both = Table.build(("a", "b"), [0] * 5, even, even, [[hot] * 5, [5.0] * 5])
    alone = Table.build(("a",), [0] * 4, odd, odd, [[5.0, hot, hot, hot]])
    pack = Pack(0, [Device("default", "pump-1")], [both, alone])
    found = [f for f in PackCheck(pack, state, ["pump"], RULES).run() if f.rule.id == "hot.long"]
    assert [(f.edge, int(f.table.ts[f.row])) for f in found] == [("open", NOW + 30_000)]
    assert sorted(row for row, ids in both.rules.items() if "hot.long" in ids) == [3, 4]
    assert sorted(row for row, ids in alone.rules.items() if "hot.long" in ids) == [3]


def test_a_device_that_changes_its_site_is_one_device_all_the_same():
    times = [NOW + n * 1000 for n in range(40)]
    table = Table.build(("a",), [n % 2 for n in range(40)], times, times, [[9.0] * 40])
    pack = Pack(0, [Device("default", "pump-1", "north"), Device("default", "pump-1", "south")], [table])
    found = list(PackCheck(pack, CHECK_CODEC.empty(), ["pump", "pump"], RULES).run())
    assert [(f.rule.id, f.edge) for f in found] == [("hot", "open"), ("hot.long", "open")]


def test_nothing_is_remembered_of_a_device_at_rest():
    state = CHECK_CODEC.empty()
    values = np.array([[9.0, 1.0]])
    table = Table.build(("a",), [0, 0], [NOW, NOW + 1], [NOW, NOW], values)
    list(PackCheck(Pack(0, [Device("default", "pump-1")], [table]), state, ["pump"], RULES).run())
    assert state.breaches == {}


def test_nan_neither_fires_nor_clears():
    points = [(0, 9.0), (1000, math.nan), (2000, 1.0)]
    edges, verdicts = by_columns(series("pump-1", "a", points), [])
    assert [edge for *_, edge, _, _ in edges] == ["open", "clear"]
    assert verdicts[1] == []


def test_devices_of_two_tenants_with_one_name_are_two():
    assert device_key("one", "pump-1") != device_key("two", "pump-1")
    table = Table.build(("a",), [0, 1], [NOW, NOW], [NOW, NOW], [[9.0, 1.0]])
    pack = Pack(0, [Device("one", "pump-1"), Device("two", "pump-1")], [table])
    state = CHECK_CODEC.empty()
    found = list(PackCheck(pack, state, ["pump", "pump"], RULES).run())
    assert [(f.rule.id, f.row) for f in found] == [("hot", 0)]
    assert list(state.breaches) == [device_key("one", "pump-1")]
