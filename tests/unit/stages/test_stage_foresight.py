"""rule_check's predictions: a metric on its way to a rule's level, and healthy ones that are not."""

import numpy as np
import pytest

from tests.unit.stages.driving import DAY, HOUR, MINUTE, NOW, Drive, changed, pack_of
from watchkeeper.checking.foresight import Foresight
from watchkeeper.checking.foretold import in_words
from watchkeeper.errors import KnowledgeError
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Severity
from watchkeeper.topology import RAG_ERROR_REPORTING

RULE = """applies_to: pump
rules:
  - {{id: pump.full, metric: flow, above: 90, clear: 85, for: 60s, severity: critical, summary: The tank is full,
     runbook: pump-pressure-loss.md{more}}}
"""


def drive_of(more=""):
    return Drive("rule_check", bundle=changed(rules__pump=RULE.format(more=more)))


def told(drive, values, every=MINUTE, start=NOW, cut=500, device="pump-1"):
    """What rule_check says of a series, cut into packs."""
    times = [start + i * every for i in range(len(values))]
    rows = list(zip(times, [float(v) for v in values], strict=True))
    said = []
    for at in range(0, len(rows), cut):
        drive.take(pack_of(device, "flow", rows[at : at + cut]))
        said += drive.came(RAG_ERROR_REPORTING)
    return said


def forecasts(said):
    return [each for each in said if each.detector == "forecast:pump.full"]


def filling(days, a_day, noise=0.05, start=60.0, seed=1):
    steps = np.arange(days * DAY // (5 * MINUTE))
    return start + a_day * steps * 5 * MINUTE / DAY + np.random.default_rng(seed).normal(0, noise, len(steps))


def test_a_level_days_ahead_is_foretold_once_and_its_alert_ends_when_it_has_come_true():
    said = told(drive_of(), filling(9, 4.0), 5 * MINUTE)
    found = forecasts(said)
    assert [each.phase for each in found if each.phase != "update"] == ["open", "clear"]
    opened, cleared = found[0], found[-1]
    crossed = NOW + 7.5 * DAY
    assert 1 * DAY < crossed - opened.ts <= 3.2 * DAY
    assert opened.severity == Severity.WARNING
    assert opened.summary.startswith("The tank is full in ")
    assert "rising by" in opened.summary
    assert opened.confidence >= 0.9
    assert opened.runbook == "pump-pressure-loss.md"
    assert abs(cleared.ts - crossed) < 6 * HOUR
    rule = next(each for each in said if each.detector == "rule:pump.full")
    assert not any(rule.ts + 5 * MINUTE < each.ts for each in found)


def test_a_level_minutes_ahead_is_foretold():
    rng = np.random.default_rng(2)
    values = np.concatenate([60 + rng.normal(0, 0.3, 120), 60 + 0.5 * np.arange(70) + rng.normal(0, 0.05, 70)])
    [opened, *_] = forecasts(told(drive_of(), values))
    left = (NOW + 180 * MINUTE - opened.ts) / MINUTE
    assert 10 < left <= 45
    assert " minutes" in opened.summary


def test_what_turns_round_is_no_longer_foretold():
    values = np.concatenate([filling(6, 4.0), np.full(288 * 4, 84.0) + np.random.default_rng(3).normal(0, 0.05, 1152)])
    assert [each.phase for each in forecasts(told(drive_of(), values, 5 * MINUTE)) if each.phase != "update"] == [
        "open",
        "clear",
    ]


@pytest.mark.parametrize("more", [", predict: off", ", predict: 1h", ", while: flow > 0"])
def test_a_rule_can_say_how_far_ahead_or_not_at_all(more):
    opened = [each for each in forecasts(told(drive_of(more), filling(8, 4.0), 5 * MINUTE)) if each.phase == "open"]
    assert len(opened) <= (more == ", predict: 1h")
    assert all(each.ts > NOW + 7.3 * DAY for each in opened)


@pytest.mark.parametrize("bad", ["1s", "31d", "soon", "[1]"])
def test_a_horizon_that_cannot_be_meant_is_told(bad):
    with pytest.raises(KnowledgeError, match="predict"):
        changed(rules__pump=RULE.format(more=f", predict: {bad}"))


def test_the_result_does_not_depend_on_how_the_stream_was_cut_nor_on_a_restart():
    values = filling(6, 5.0)
    whole = told(drive_of(), values, 5 * MINUTE, cut=5000)
    drive = drive_of()
    half = len(values) // 2
    parts = told(drive, values[:half], 5 * MINUTE, cut=7)
    drive.restart()
    parts += told(drive, values[half:], 5 * MINUTE, NOW + half * 5 * MINUTE, cut=113)
    assert forecasts(whole)
    strip = [(each.id, each.phase, each.ts, each.summary, each.confidence) for each in forecasts(whole)]
    assert strip == [(each.id, each.phase, each.ts, each.summary, each.confidence) for each in forecasts(parts)]


def healthy(kind, rng, n):
    step = rng.normal(size=n)
    hours = np.arange(n) * 5 / 60
    match kind:
        case "random walk":
            return 50 + np.cumsum(step) * 0.3
        case "noise":
            return 80 + 2 * step
        case "daily":
            return 70 + 15 * np.sin(2 * np.pi * hours / 24 + rng.uniform(0, 6)) + step
        case _:  # a tank that is filled and emptied every three hours
            return 50 + 30 * np.abs((hours / 1.5) % 2 - 1) + 0.3 * step


@pytest.mark.parametrize("kind", ["random walk", "noise", "daily", "cycles"])
def test_healthy_devices_are_quiet(kind):
    """At most one alert in 50 device weeks of each kind."""
    rng, drive = np.random.default_rng(7), drive_of()
    week = 7 * DAY // (5 * MINUTE)
    devices = [f"pump-{number}" for number in range(50)]
    values = np.stack([healthy(kind, rng, week) for _ in devices], axis=1)
    opened = 0
    for first in range(0, week, 144):  # half a day of all of them
        rows, device = np.divmod(np.arange(144 * len(devices)), len(devices))
        ts = NOW + (first + rows) * 5 * MINUTE
        table = Table.build(("flow",), device, ts, ts, values[first + rows, device][None])
        drive.take(Pack(0, [Device("default", name) for name in devices], [table]))
        opened += sum(each.phase == "open" for each in forecasts(drive.came(RAG_ERROR_REPORTING)))
    assert opened <= 1


@pytest.mark.parametrize("odd", [1e300, -1e300, 1e-310, 1e15])
def test_bad_values_neither_break_nor_raise_it(odd):
    values = np.random.default_rng(4).normal(50, 1, 600)
    values[::7] = odd
    assert not forecasts(told(drive_of(", predict: 1d"), values))


def test_a_section_that_is_damaged_is_said_and_learnt_anew(caplog):
    held = Foresight()
    held.trends.add()
    held.owners.append(("flow", 0))
    data = bytearray(held.encode())
    assert Foresight.decode(bytes(data), 1) == held
    data[-20] ^= 1
    assert Foresight.decode(bytes(data), 1) == Foresight()
    assert Foresight.decode(held.encode(), 0) == Foresight()
    assert "learnt anew" in caplog.text


def test_times_are_said_as_people_say_them():
    assert [in_words(ms) for ms in (0, 40 * MINUTE, 3 * HOUR, 3 * DAY)] == [
        "1 minute",
        "40 minutes",
        "3 hours",
        "3 days",
    ]
