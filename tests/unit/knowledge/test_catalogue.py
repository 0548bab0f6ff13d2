"""The catalogue: units, formulas, clocks and calendars, what feeds what; and how its mistakes are told."""

import pytest

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.calendars import Calendar
from watchkeeper.knowledge.catalogue import Catalogue, Clock, DeviceClass, Fill
from watchkeeper.knowledge.units import conversion
from watchkeeper.records import Importance


def catalogue_of(text: str, **others: str) -> Catalogue:
    files = {"devices/a.yaml": text} | {f"devices/{name}.yaml": other for name, other in others.items()}
    return Bundle.from_files(files).catalogue


def mistakes(text: str, **others: str) -> list[str]:
    with pytest.raises(KnowledgeError) as raised:
        catalogue_of(text, **others)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("sent", "kept", "pairs"),
    [
        ("degF", "degC", [(32, 0), (212, 100), (-40, -40)]),
        ("degC", "degF", [(0, 32), (100, 212)]),
        ("kelvin", "degC", [(273.15, 0)]),
        ("psi", "bar", [(14.503773773, 1)]),
        ("l/s", "m3/h", [(1, 3.6)]),
        ("gpm", "l/min", [(1, 3.785411784)]),
        ("ft3", "m3", [(1, 0.028316846592)]),
        ("%", "", [(50, 0.5)]),
        ("mm/s", "mm/s", [(7, 7)]),
        ("rpm", "1/s", [(60, 6.283185307)]),
        ("Mbit/s", "MB/s", [(8, 1)]),
    ],
)
def test_units_are_converted_by_a_scale_and_an_offset(sent, kept, pairs):
    found = conversion(sent, kept)
    for before, after in pairs:
        assert before * found.scale + found.offset == pytest.approx(after, rel=1e-9, abs=1e-9)


METRICS = "class: a\nmetrics:\n  t: {unit: degC}\n  flow: {unit: m3/h}\n  plain: {}\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sends: {t: degf}", "6:12: unknown unit 'degf' (did you mean 'degF'?)"),
        ("sends: {t: bar}", "6:12: units that do not measure the same: 'bar' ([mass] / [length] / [time] ** 2)"),
        ("sends: {tt: degF}", "6:9: unknown metric 'tt' (did you mean 't'?)"),
        ("sends: {plain: degF}", "6:9: 'plain' has no unit that it could be converted to"),
        ("sends: {t: 3}", "6:12: the unit of 't' must be text, not the number 3"),
        ("sends: {flow: dBm}", "6:15: units that do not measure the same"),
        ("sends: {flow: '(('}", "unknown unit '(('"),
        ("devices: {a-1: {sends: {t: bar}}}", "6:28: units that do not measure the same"),
        ("clock: fix", "6:8: unknown clock 'fix' (one of trust, correct)"),
        ("gap_after: 0s", "6:12: 'gap_after' must be longer than 0s"),
        ("time_zone: Europe/Berlim", "6:12: unknown time zone 'Europe/Berlim' (did you mean 'Europe/Berlin'?)"),
        ("calendar: {days: mon-fry}", "not a weekday: 'fry'"),
        ("derived: {x: flow * hed}", "6:21: unknown metric 'hed'"),
        ("derived: {x: flow > 3}", "this must be a number, such as flow * head, and is a boolean"),
        ("derived: {x: flow *}", "6:"),
        ("derived: {x: 3 + 4}", "'x' looks at no metric"),
        ("derived: {x: [flow]}", "'x' must be a formula such as flow * head, not a list"),
        ("derived: {x: y + 1, y: z * 2, z: flow - x}", "computed from itself: 'x' needs 'y' needs 'z' needs 'x'"),
        ("derived: {x: x + flow}", "computed from itself: 'x' needs 'x'"),
        ("derived: {t: flow * 2}\nsends: {t: degF}", "7:9: unknown metric 't'"),
        ("devices: {a-1: {feeds: [a-2]}, a-2: {feeds: [a-3]}, a-3: {feeds: [a-1]}}", "feeds itself: 'a-"),
        ("devices: {a-1: {fed_by: [a-1]}}", "6:11: feeds itself: 'a-1' feeds 'a-1'"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_may_have_been_meant(line, told):
    [mistake] = mistakes(f"{METRICS}{line}\n")
    assert mistake.startswith("devices/a.yaml:")
    assert told in mistake


@pytest.mark.parametrize("what", ["fill: last", "stuck_after: 5m", "missing: [-1]"])
def test_what_belongs_to_measured_metrics_is_refused_of_derived_ones(what):
    [mistake] = mistakes(f"class: a\nmetrics:\n  x: {{{what}}}\n  flow: {{}}\nderived: {{x: flow * 2}}\n")
    assert "'x' is derived; 'missing', 'fill' and 'stuck_after' belong to the metrics it is computed from" in mistake


def test_how_long_to_fill_needs_something_to_fill_with():
    [mistake] = mistakes("class: a\nmetrics: {t: {fill_for: 5m}}\n")
    assert "'fill_for' has no meaning without 'fill: last' or 'fill: linear'" in mistake


def test_a_circle_through_several_files_is_told_once():
    [mistake] = mistakes("class: a\ndevices: {a-1: {feeds: [b-1]}}\n", b="class: b\ndevices: {b-1: {feeds: [a-1]}}\n")
    assert "feeds itself: " in mistake


def test_formulas_come_in_the_order_in_which_they_can_be_computed():
    catalogue = catalogue_of(f"{METRICS}derived: {{z: y + x, y: x * 2, x: flow + 1}}\n")
    of = catalogue.device_class("a")
    assert [each.name for each in of.derived] == ["x", "y", "z"]
    assert set(of.metrics) == {"t", "flow", "plain", "x", "y", "z"}


def test_a_rule_may_name_a_derived_metric():
    rule = "{id: r, severity: info, summary: s, runbook: r.md, metric: x, above: 3}"
    book = "---\ntitle: r\napplies_to: [a]\ncategory: other\nsignals: [x]\n---\n"
    files = {
        "devices/a.yaml": f"{METRICS}derived: {{x: flow * 2}}\n",
        "rules/a.yaml": f"applies_to: a\nrules: [{rule}]\n",
    }
    with pytest.raises(KnowledgeError) as raised:
        Bundle.from_files(files | {"runbooks/r.md": book})
    assert "unknown metric" not in str(raised.value)


WHOLE = """
class: a
match: ["a-*"]
interval: 2s
importance: low
clock: correct
time_zone: Europe/Berlin
calendar: {days: mon-fri, hours: 08:00-18:00}
owner: utilities
notes: Serviced in May.
metrics:
  t: {unit: degC, fill: linear, fill_for: 1m, stuck_after: 2h}
devices:
  a-1: {feeds: [a-2, x-9], importance: critical, gap_after: 1h, clock: trust, owner: me}
  a-3: {fed_by: [a-2], time_zone: UTC, notes: Noisy.}
"""


def test_a_device_is_what_its_class_says_unless_it_is_said_of_itself():
    catalogue = catalogue_of(WHOLE)
    one, two, three = (catalogue.profile(f"a-{n}") for n in (1, 2, 3))
    assert (one.importance, one.clock, one.owner, one.gap_ms) == (Importance.CRITICAL, Clock.TRUST, "me", 3_600_000)
    assert (two.importance, two.clock, two.owner, two.gap_ms) == (Importance.LOW, Clock.CORRECT, "utilities", 300_000)
    assert (two.time_zone, three.time_zone, three.notes) == ("Europe/Berlin", "UTC", "Noisy.")
    assert one.calendar == Calendar(days=(0, 1, 2, 3, 4), hours=((480, 1080),))
    assert (one.feeds, two.fed_by, two.feeds, three.fed_by) == (("a-2", "x-9"), ("a-1",), ("a-3",), ("a-2",))
    assert catalogue.profile("x-9").fed_by == ("a-1",)
    spec = two.metrics["t"]
    assert (spec.fill, spec.fill_ms, spec.stuck_ms) == (Fill.LINEAR, 60_000, 7_200_000)


def test_a_gap_is_ten_intervals_and_five_minutes_at_least_unless_it_is_said():
    catalogue = Catalogue(
        (DeviceClass("slow", match=("s-*",), interval_ms=60_000), DeviceClass("fast", match=("f-*",)))
    )
    assert [catalogue.profile(name).gap_ms for name in ("s-1", "f-1", "other")] == [600_000] * 3
    assert Catalogue((DeviceClass("x", match=("*",), interval_ms=1),)).profile("d").gap_ms == 300_000


def test_thousands_of_patterns_are_asked_as_one_and_each_device_once():
    classes = [DeviceClass(f"c{n}", match=tuple(f"c{n}-{m}-*" for m in range(200))) for n in range(20)]
    catalogue = Catalogue(tuple(classes))
    devices = [f"c{n}-{n * 7 % 200}-{k}" for n in range(20) for k in range(50)]
    for _ in range(2):
        assert [catalogue.profile(device).class_name for device in devices] == [d.partition("-")[0] for d in devices]
    assert catalogue.profile("c3-200-1").class_name == "generic"
    info = catalogue._profile.cache_info()
    assert (info.misses, info.hits) == (len(devices) + 1, len(devices))
