"""rule_check: verdicts, edges of episodes, and devices that fall silent."""

import pytest

from tests.unit.stages.driving import DAY, HOUR, MINUTE, NOW, SECOND, Drive, changed, joined, pack_of, shipped
from watchkeeper.packs import MAX_PACK_BYTES
from watchkeeper.records import Flag, Severity
from watchkeeper.topology import RAG_ERROR_REPORTING, RULE_CHECK_OUTPUT

SILENT = "silence:device.silent"
ONE_RULE = """applies_to: pump
rules:
  - {id: pump.flow-low, metric: flow, below: 80, clear: 95, severity: warning, summary: Flow is low,
     runbook: pump-pressure-loss.md}
"""
NO_RULE = "applies_to: pump\nrules: []\n"


def flow(*rows, device="pump-1", **more):
    return pack_of(device, "flow", [(NOW + t * SECOND, v) for t, v in rows], **more)


def said(drive):
    """(detector, phase, seconds) of what was reported since the last look."""
    return [(a.detector, a.phase, (a.ts - NOW) // SECOND) for a in drive.came(RAG_ERROR_REPORTING)]


def verdicts(drive):
    [pack] = drive.came(RULE_CHECK_OUTPUT)
    return {(int(t.ts[row]) - NOW) // SECOND: ids for t in pack.tables for row, ids in t.rules.items()}


def test_a_rule_must_be_broken_for_its_time_and_clear_as_long_and_every_reading_has_its_verdict():
    drive = Drive("rule_check")
    low, between, good = 70, 90, 100
    drive.take(flow((0, low), (20, good), (30, low), (45, between), (50, low), (79, low), (80, low), (90, between),
                    (100, good), (129, good), (130, good), (140, good)))  # fmt: skip
    assert said(drive) == [("rule:pump.flow-low", "open", 80), ("rule:pump.flow-low", "clear", 130)]
    assert verdicts(drive) == {second: ["pump.flow-low"] for second in (80, 90, 100, 129, 130)}


def test_an_anomaly_says_what_broke_which_rule_and_where_to_look():
    drive = Drive("rule_check")
    drive.take(flow((0, 70), (30, 60.5), device="pump-07", site="north"))
    [anomaly] = drive.came(RAG_ERROR_REPORTING)
    assert (anomaly.device, anomaly.site, anomaly.device_class, anomaly.metric) == ("pump-07", "north", "pump", "flow")
    assert (anomaly.severity, anomaly.summary, anomaly.runbook) == (
        Severity.WARNING,
        "Flow is low",
        "pump-pressure-loss.md",
    )
    assert anomaly.threshold == "below 80 for 30 s"
    view = anomaly.metrics["flow"]
    assert (view.value, view.low, view.high) == (60.5, 80, None)
    assert anomaly.bundle == shipped().version
    assert anomaly.origin.stage == "rule_check"
    assert not anomaly.backfill


def test_outside_fires_on_either_side():
    drive = Drive("rule_check")
    volts = [(0, 349), (2, 340), (10, 400), (20, 400), (30, 451), (32, 460)]
    drive.take(pack_of("pump-1", "motor_voltage", [(NOW + t * SECOND, v) for t, v in volts]))
    edges = said(drive)
    assert edges == [
        ("rule:pump.voltage-out-of-band", phase, at) for phase, at in (("open", 2), ("clear", 20), ("open", 32))
    ]


def test_two_rules_on_one_metric_have_an_episode_each():
    drive = Drive("rule_check")
    drive.take(pack_of("pump-1", "vibration", [(NOW + s * SECOND, 8.0 if s < 40 else 5.0) for s in range(60)]))
    assert sorted(said(drive)) == [
        ("rule:pump.vibration-dangerous", "clear", 50),
        ("rule:pump.vibration-dangerous", "open", 10),
        ("rule:pump.vibration-raised", "open", 30),
    ]


def test_late_readings_have_no_verdict_and_turn_no_clock_back():
    drive = Drive("rule_check")
    drive.take(flow((0, 70), (-300, 100), (30, 70), (-299, 100), flags=[0, int(Flag.LATE), 0, int(Flag.LATE)]))
    assert said(drive) == [("rule:pump.flow-low", "open", 30)]
    assert verdicts(drive) == {30: ["pump.flow-low"]}


def test_a_missing_value_neither_breaks_a_rule_nor_ends_an_episode():
    drive = Drive("rule_check")
    drive.take(flow((0, 70), (30, None), (31, 70), (60, None), (1000, None)))
    assert said(drive) == [("rule:pump.flow-low", "open", 31)]


def test_an_episode_goes_on_over_batches_and_restarts():
    drive = Drive("rule_check")
    for row in ((0, 70), (30, 70), (60, 70), (90, 70), (100, 100), (130, 100)):
        drive.take(flow(row))
        drive.restart()
    assert said(drive) == [
        ("rule:pump.flow-low", "open", 30), ("rule:pump.flow-low", "update", 90), ("rule:pump.flow-low", "clear", 130),
    ]  # fmt: skip


def test_a_backfill_opens_episodes_that_say_so():
    drive = Drive("rule_check")
    drive.take(flow((0, 70), (30, 70), flags=[int(Flag.BACKFILL)] * 2, received=NOW + HOUR))
    [anomaly] = drive.came(RAG_ERROR_REPORTING)
    assert anomaly.backfill


# --- other kinds ----------------------------------------------------------------------------------------------------


def of_kind(text, applies_to="pump", **more):
    """The shipped bundle with one rule for pumps."""
    rule = f"{{id: pump.one, {text}, severity: warning, summary: s, runbook: pump-pressure-loss.md}}"
    return changed(rules__pump=f"applies_to: {applies_to}\nrules:\n  - {rule}\n", **more)


def pressures(*rows):
    return pack_of("pump-1", "suction_pressure discharge_pressure flow", [(NOW + r[0] * SECOND, *r[1:]) for r in rows])


def test_an_anomaly_of_a_condition_shows_what_it_looked_at():
    drive = Drive(
        "rule_check", bundle=of_kind("when: discharge_pressure < suction_pressure + 1, for: 2s, while: flow > 5")
    )
    drive.take(pressures((0, 2.0, 2.5, 9), (1, 2.0, None, 9), (2, 2.0, 2.25, 9), (3, 2.0, 9.0, 9), (5, 2.0, 2.5, 0)))
    opened, cleared = drive.came(RAG_ERROR_REPORTING)
    assert (opened.phase, opened.ts, cleared.phase, cleared.ts) == ("open", NOW + 2 * SECOND, "clear", NOW + 5 * SECOND)
    assert opened.threshold == "discharge_pressure < suction_pressure + 1 while flow > 5 for 2 s"
    assert {name: view.value for name, view in opened.metrics.items()} == {
        "discharge_pressure": 2.25,
        "suction_pressure": 2.0,
    }
    assert sum(view.contribution for view in opened.metrics.values()) == 1
    assert opened.metric == "discharge_pressure"


THRESHOLDS = {
    "metric: flow, rising: 5 per 1m": "rising by more than 5 per 1m",
    "metric: flow, falling: 2.5 per 10m, for: 3s": "falling by more than 2.5 per 10m for 3 s",
    "metric: flow, equals: [0, 7]": "equal to 0 or 7",
    "metric: flow, flatline: 10m": "has not moved for 600 s",
    "metric: flow, flatline: 10m, tolerance: 0.5": "has not moved by more than 0.5 for 600 s",
    "metric: flow, outside: [1, 9], times: 3, within: 1m": "below 1 or above 9, 3 times within 60 s",
    "sequence: [flow > 3, flow < 1], within: 1m": "flow > 3, then flow < 1, within 60 s",
    "when: {any: [flow > 3, {not: filter_dp < 1}]}": "(flow > 3) or (not (filter_dp < 1))",
}


@pytest.mark.parametrize(("text", "threshold"), THRESHOLDS.items())
def test_every_kind_says_what_it_takes_to_fire_it(text, threshold):
    assert of_kind(text).rules.by_id("pump.one").threshold() == threshold


def test_a_rule_can_be_another_one_at_other_sites_and_for_other_devices():
    bundle = of_kind(
        "metric: flow, below: 80, devices: ['pump-?'], "
        "overrides: [{sites: [so*], below: 50, severity: critical}, {devices: [pump-2], off: true}]"
    )
    drive = Drive("rule_check", bundle=bundle)
    for device, site in (("pump-1", "north"), ("pump-1", "south"), ("pump-2", "north"), ("pump-33", "north")):
        drive.take(flow((0, 70), (1, 90), (2, 40), (3, 90), device=device, site=site))
    found = [(a.device, a.site, a.severity) for a in drive.came(RAG_ERROR_REPORTING) if a.phase == "open"]
    assert found == [
        ("pump-1", "north", Severity.WARNING),
        ("pump-1", "north", Severity.WARNING),
        ("pump-1", "south", Severity.CRITICAL),
    ]


def test_hours_count_by_the_clock_and_an_open_episode_ends_with_them():
    # NOW is 11:06:40 UTC
    drive = Drive(
        "rule_check", bundle=of_kind("metric: flow, below: 80, during: {hours: '11:00-11:08', time_zone: UTC}")
    )
    drive.take(flow((0, 70), (60, 70), (80, 70), (90, 70), (3600, 70)))
    assert said(drive) == [("rule:pump.one", phase, at) for phase, at in (("open", 0), ("update", 60), ("clear", 80))]


def test_silence_out_of_hours_is_no_silence():
    for hours, silent in (("'11:00-12:00'", []), ("'12:00-13:00'", [("silence:pump.one", "open", 0)])):
        bundle = of_kind(f"no_data: 5m, except: {{hours: {hours}}}", **{"rules__every-device": None})
        drive = awake(flow((0, 100)), bundle=bundle)
        ticks(drive, 6 * MINUTE)
        assert said(drive) == silent


def test_tags_are_looked_at_reading_by_reading():
    drive = Drive("rule_check", bundle=of_kind("when: 'tag.line like \"A*\" and flow < 80'"))
    pack = flow((0, 70), (1, 70), (2, 70), tags=[0, 1, -1])
    pack.tagsets += [{"line": "B1"}, {"line": "A1"}]
    drive.take(pack)
    assert said(drive) == [("rule:pump.one", "open", 1)]
    assert verdicts(drive) == {1: ["pump.one"]}


# --- silence --------------------------------------------------------------------------------------------------------


def awake(*packs, bundle=None):
    """A stage whose timer has run for a while, with these readings taken now."""
    drive = Drive("rule_check", bundle=bundle)
    drive.take(*packs)
    drive.tick()
    drive.came(RAG_ERROR_REPORTING)
    return drive


def ticks(drive, duration, every=30 * SECOND):
    for _ in range(duration // every):
        drive.tick(after=every)


def test_a_live_device_that_is_not_heard_for_as_long_as_the_rule_says_is_silent_once():
    drive = awake(flow((0, 100)))
    ticks(drive, 5 * MINUTE - 30 * SECOND)
    assert said(drive) == []
    ticks(drive, 30 * SECOND)
    [anomaly] = drive.came(RAG_ERROR_REPORTING)
    assert (anomaly.detector, anomaly.phase, anomaly.ts, anomaly.severity) == (SILENT, "open", NOW, Severity.CRITICAL)
    assert (anomaly.threshold, anomaly.runbook, anomaly.received) == (
        "no data for 300 s",
        "device-silent.md",
        drive.now,
    )
    ticks(drive, DAY, every=HOUR)
    ticks(drive, 10 * MINUTE)
    assert said(drive) == []


def test_a_silent_device_that_is_heard_again_is_no_longer_silent_and_can_fall_silent_again():
    drive = awake(flow((0, 100)))
    ticks(drive, 6 * MINUTE)
    first = drive.came(RAG_ERROR_REPORTING)[0]
    drive.take(flow((360, 100), (361, 100), received=drive.now))
    [clear] = drive.came(RAG_ERROR_REPORTING)
    assert (clear.detector, clear.phase, clear.since, clear.episode) == (SILENT, "clear", NOW, first.episode)
    ticks(drive, 6 * MINUTE)
    [second] = drive.came(RAG_ERROR_REPORTING)
    assert second.episode != first.episode


def test_a_device_known_only_from_a_backfill_is_not_expected_to_go_on():
    drive = awake(flow((0, 100), flags=[int(Flag.BACKFILL)]))
    ticks(drive, HOUR)
    assert said(drive) == []


def test_a_timer_that_was_away_itself_calls_nobody_silent_for_that_time():
    drive = awake(flow((0, 100)))
    drive.tick(after=DAY)
    ticks(drive, 5 * MINUTE - 30 * SECOND)
    assert said(drive) == []
    ticks(drive, 30 * SECOND)
    assert said(drive) == [(SILENT, "open", 0)]


def test_a_device_that_still_sends_is_not_silent():
    drive = awake(flow((0, 100)))
    for _ in range(20):
        ticks(drive, MINUTE)
        drive.take(flow(((drive.now - NOW) // SECOND, 100)))
    assert said(drive) == []


def test_a_timer_that_dies_before_it_could_note_what_it_said_says_the_same_again():
    drive = awake(flow((0, 100)))
    ticks(drive, 5 * MINUTE - 30 * SECOND)
    with drive.crash_at("blobs", "put"):
        drive.tick(after=30 * SECOND)
    drive.tick()
    first, second = drive.came(RAG_ERROR_REPORTING)
    assert (first.id, first.episode) == (second.id, second.episode)


def test_what_a_dead_timer_has_said_is_cleared_though_nobody_remembers_it():
    drive = awake(flow((0, 100)))
    ticks(drive, 5 * MINUTE - 30 * SECOND)
    with drive.crash_at("blobs", "put"):
        drive.tick(after=30 * SECOND)
    drive.take(flow((400, 100), received=drive.now + 100 * SECOND))
    opened, cleared = drive.came(RAG_ERROR_REPORTING)
    assert (opened.phase, cleared.phase, opened.episode) == ("open", "clear", cleared.episode)


def test_a_shard_without_devices_costs_its_timer_no_write():
    drive = Drive("rule_check", shards=8)
    drive.tick()
    assert drive.ports.blobs.list("state/") == []


# --- rules that come and go -----------------------------------------------------------------------------------------


def test_an_episode_of_a_rule_that_is_no_longer_in_force_is_cleared_by_the_timer():
    drive = awake(flow((0, 70), (5, 60)), bundle=changed(rules__pump=ONE_RULE))
    drive.publish(changed(rules__pump=NO_RULE))
    drive.take(flow((10, 60), (20, 500)))
    assert drive.came(RULE_CHECK_OUTPUT)[-1].tables[0].rules == {}
    assert said(drive) == []
    drive.tick()
    [clear] = drive.came(RAG_ERROR_REPORTING)
    assert (clear.detector, clear.phase, clear.since) == ("rule:pump.flow-low", "clear", NOW)
    assert clear.summary == "The rule is no longer in force"
    assert clear.ts == NOW + 20 * SECOND
    ticks(drive, 2 * MINUTE)
    assert said(drive) == []


def test_it_is_cleared_also_where_the_device_sends_nothing_more_and_where_it_is_only_of_another_class_now():
    drive = awake(flow((0, 70)), flow((0, 70), device="hydra"), bundle=changed(rules__pump=ONE_RULE))
    only_hydra = "class: pump\nmatch: ['hydra']\nmetrics: {flow: {range: [0, 300]}}\n"
    drive.publish(changed(rules__pump=ONE_RULE, rules__host=None, devices__pump=only_hydra))
    drive.tick()
    [clear] = drive.came(RAG_ERROR_REPORTING)
    assert (clear.device, clear.device_class, clear.phase) == ("pump-1", "generic", "clear")


def test_a_rule_that_only_waited_to_be_broken_long_enough_goes_without_a_word():
    drive = awake(flow((0, 70)))
    drive.publish(changed(rules__pump=NO_RULE))
    drive.tick()
    drive.publish(shipped())
    drive.take(flow((25, 70), (54, 70)))
    assert said(drive) == []  # counted from its new beginning
    drive.take(flow((55, 70)))
    assert said(drive) == [("rule:pump.flow-low", "open", 55)]


@pytest.mark.parametrize("how", ["by the timer", "when it is heard again"])
def test_the_silence_of_a_device_ends_with_the_rule_against_it(how):
    drive = awake(flow((0, 100)))
    ticks(drive, 6 * MINUTE)
    [opened] = drive.came(RAG_ERROR_REPORTING)
    drive.publish(without_silence())
    if how == "by the timer":
        drive.tick()
    else:
        drive.take(flow((500, 100), received=drive.now))
    [clear] = drive.came(RAG_ERROR_REPORTING)
    assert (clear.phase, clear.episode, clear.detector) == ("clear", opened.episode, SILENT)
    drive.tick()
    assert said(drive) == []


def without_silence():
    return changed(**{"rules__every-device": "applies_to: '*'\nrules: []\n"})


def test_all_of_many_devices_in_one_pack_are_followed():
    drive = Drive("rule_check")
    drive.take(joined(*[flow((0, 70 if n % 3 else 100), (30, 70), device=f"pump-{n}") for n in range(12)]))
    opened = {a.device for a in drive.came(RAG_ERROR_REPORTING)}
    assert opened == {f"pump-{n}" for n in range(12) if n % 3}


def test_packs_taken_together_go_on_in_messages_that_fit():
    names = [f"metric_{m}" for m in range(40)]
    packs = [
        pack_of(f"pump-{p}", ["flow", *names], [(NOW + n * SECOND, 70, *[1 / 7] * 40) for n in range(50)])
        for p in range(60)
    ]
    drive = Drive("rule_check")
    drive.take(*packs)
    sizes = [len(message.value) for message in drive.ports.stream.read(RULE_CHECK_OUTPUT.name, 0, -1, 1000)]
    assert max(sizes) <= MAX_PACK_BYTES
    assert len(sizes) < 60
    assert sum(map(len, drive.came(RULE_CHECK_OUTPUT))) == 3000
