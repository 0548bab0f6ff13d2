"""notify: one alert per episode, sent until it arrives, said again while nobody answers, and resolved always."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stages.driving import MINUTE, NOW, SECOND, Crash, Drive
from watchkeeper.context import FIRST_RETRY_MS, LONGEST_RETRY_MS
from watchkeeper.errors import Unavailable
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Report, Severity, Source
from watchkeeper.stages.notify import ESCALATE_MS, ESCALATIONS, GIVE_UP_AFTER, TURN_MS
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS, OUTBOX

REPORT = Report(
    episode="e1", tenant="default", device="pump-1", ts=NOW, what="What happened", confidence=0.9, causes=("cause",),
    steps=("step",), sources=(Source("a.md", "b"),), severity=Severity.CRITICAL, category="hydraulic",
)  # fmt: skip


def alert(status="firing", at=0, *, name="e1", **more):
    given = {
        "id": name, "tenant": "default", "site": "", "device": "pump-1", "device_class": "pump", "detector": "model",
        "status": status, "severity": Severity.CRITICAL, "title": "Flow is low (pump-1)", "opened": NOW,
        "ts": NOW + at * SECOND, "received": NOW, "report": REPORT if status == "firing" else None,
        "resolved": NOW + at * SECOND if status == "resolved" else None,
    }  # fmt: skip
    return Alert(**(given | more))


class Flaky(MemoryReceiver):
    """A receiver that is down for its first so many calls."""

    def __init__(self, name="memory", *, failures=0):
        super().__init__(name)
        self.failures, self.calls = failures, []

    def send(self, alert):
        self.calls.append(alert)
        if len(self.calls) <= self.failures:
            raise Unavailable("503")
        super().send(alert)

    @property
    def said(self):
        return [(a.status, (a.ts - NOW) // SECOND) for a in self.alerts]


class Choosy(Flaky):
    """A receiver of some severities only."""

    def __init__(self, name, *severities):
        super().__init__(name)
        self.severities = frozenset(severities)


def drive_to(*receivers):
    return Drive("notify", memory_ports(1, receivers={r.name: r for r in receivers}))


@pytest.fixture
def receiver():
    return Flaky()


@pytest.fixture
def drive(receiver):
    return drive_to(receiver)


def kept(drive, name="e1"):
    return drive.row(ALERTS, "default", name)


def acknowledge(drive, name="e1"):
    record = Acknowledgement(name, "default", "me", drive.now)
    drive.ports.tables.put(ACKNOWLEDGEMENTS.name, Key("default", name), msgspec.json.encode(record))


def test_an_alert_is_kept_and_sent_to_every_receiver():
    one, two = Flaky("one"), Flaky("two")
    drive = drive_to(one, two)
    counts = drive.take(alert())
    assert one.alerts == two.alerts
    assert (one.said, one.alerts[0].report, one.alerts[0].sent) == ([("firing", 0)], REPORT, NOW)
    assert kept(drive).status == "firing"
    assert counts["alerts"] == 1


@pytest.mark.parametrize("how", ["one batch", "two batches", "after a restart"])
def test_an_alert_that_is_said_again_is_sent_once(drive, receiver, how):
    drive.put(alert())
    if how != "one batch":
        drive.take()
    if how == "after a restart":
        drive.restart()
    counts = drive.take(alert())
    assert receiver.said == [("firing", 0)]
    drive.tick(after=MINUTE)
    assert len(receiver.calls) == 1
    assert counts["alerts"] == (how == "one batch")


@pytest.mark.parametrize("more", [{"pages": False}], ids=["backfill or info"])
def test_what_pages_nobody_is_kept_and_never_sent(drive, receiver, more):
    drive.take(alert(**more), alert("update", 5, report=REPORT, **more), alert("resolved", 9, **more))
    drive.tick(after=2 * ESCALATE_MS)
    assert receiver.calls == []
    assert (kept(drive).status, kept(drive).resolved) == ("resolved", NOW + 9 * SECOND)


def test_an_alert_that_begins_to_page_is_sent_then(drive, receiver):
    drive.take(alert(pages=False))
    drive.now += MINUTE
    drive.take(alert(at=60, received=NOW + 60 * SECOND, report=None))
    [sent] = receiver.alerts
    assert (sent.status, sent.pages, sent.report, sent.received) == ("firing", True, REPORT, NOW + 60 * SECOND)
    drive.take(alert("resolved", 90))
    assert receiver.said == [("firing", 60), ("resolved", 90)]


def test_a_resolve_ends_the_alert_and_is_sent(drive, receiver):
    drive.take(alert())
    drive.take(alert("resolved", 30, count=17))
    assert receiver.said == [("firing", 0), ("resolved", 30)]
    after = kept(drive)
    assert (after.status, after.resolved, after.count, after.report) == ("resolved", NOW + 30 * SECOND, 17, REPORT)


def test_a_resolve_goes_through_though_nothing_else_is_known(drive, receiver):
    drive.take(alert("resolved", 30))
    assert receiver.said == [("resolved", 30)]


def test_a_firing_that_comes_after_its_resolve_does_not_fire_again(drive, receiver):
    drive.take(alert(), alert("resolved", 30))
    drive.take(alert())
    assert receiver.said == [("firing", 0), ("resolved", 30)]
    assert kept(drive).status == "resolved"


def test_an_alert_that_was_closed_as_stale_and_goes_on_fires_again(drive, receiver):
    drive.take(alert(), alert("resolved", 30), alert("firing", 60, report=None), alert("resolved", 90))
    assert receiver.said == [("firing", 0), ("resolved", 30), ("firing", 60), ("resolved", 90)]
    assert receiver.alerts[2].report == REPORT


def test_an_update_brings_the_better_report(drive, receiver):
    better = msgspec.structs.replace(REPORT, what="In better words", written_by="small-model")
    drive.take(alert())
    drive.take(alert("update", 5, report=better))
    assert receiver.said == [("firing", 0), ("update", 5)]
    assert receiver.alerts[1].report == better
    assert (kept(drive).report, kept(drive).status) == (better, "firing")


def test_an_update_after_the_end_is_kept_and_wakes_nobody(drive, receiver):
    better = msgspec.structs.replace(REPORT, written_by="small-model")
    drive.take(alert(), alert("resolved", 5), alert("update", 6, report=better))
    assert receiver.said == [("firing", 0), ("resolved", 5)]
    assert (kept(drive).report, kept(drive).status, kept(drive).resolved) == (better, "resolved", NOW + 5 * SECOND)


# --- receivers that are down ----------------------------------------------------------------------------------------


def test_what_a_receiver_has_not_taken_is_sent_again_less_and_less_often():
    receiver = Flaky(failures=6)
    drive = drive_to(receiver)
    drive.take(alert())
    times = [0]
    while len(receiver.calls) < 7:
        drive.tick(after=SECOND)
        times += [(drive.now - NOW) // SECOND] * (len(receiver.calls) - len(times))
    waits = [b - a for a, b in pairwise(times)]
    assert waits == [2, 4, 8, 16, 32, 64]
    assert receiver.said == [("firing", 0)]
    drive.tick(after=10 * MINUTE)
    assert len(receiver.calls) == 7


def test_a_receiver_is_never_left_alone_for_longer_than_minutes():
    receiver = Flaky(failures=40)
    drive = drive_to(receiver)
    drive.take(alert())
    before = 0
    while not receiver.alerts:
        drive.tick(after=10 * SECOND)
        if len(receiver.calls) > before:
            before, at = len(receiver.calls), drive.now
        assert drive.now - at <= LONGEST_RETRY_MS + FIRST_RETRY_MS + 10 * SECOND
    assert len(receiver.calls) == 41


def test_one_receiver_that_is_down_holds_up_no_other():
    down, up = Flaky("down", failures=99), Flaky("up")
    drive = drive_to(down, up)
    drive.take(alert())
    assert (len(up.alerts), len(down.alerts)) == (1, 0)
    drive.restart()
    drive.tick(after=MINUTE)
    assert (len(up.calls), len(down.calls)) == (1, 2)


def test_a_receiver_that_breaks_is_a_receiver_that_is_down():
    class Broken(MemoryReceiver):
        def send(self, alert):
            raise ZeroDivisionError

    drive = drive_to(Broken())
    drive.take(alert())
    row = drive.row(OUTBOX, "memory", "e1/firing-" + str(NOW))
    assert (row.state, row.attempts, row.error[:17]) == ("pending", 1, "ZeroDivisionError")


def test_an_alert_whose_end_comes_first_is_not_sent_after_it():
    receiver = Flaky(failures=1)
    drive = drive_to(receiver)
    drive.take(alert())
    drive.take(alert("resolved", 1))
    drive.tick(after=MINUTE)
    assert receiver.said == [("resolved", 1)]
    assert drive.row(OUTBOX, "memory", f"e1/firing-{NOW}").state == "superseded"


def test_deliveries_to_a_receiver_that_is_no_more_or_never_answers_are_given_up_and_counted():
    receiver = Flaky(failures=10**6)
    drive = drive_to(receiver, Flaky("gone", failures=10**6))
    drive.take(alert())
    del drive.ports.receivers["gone"]
    counts = drive.tick(after=SECOND)
    assert counts["deliveries_given_up"] == 1
    for _ in range(GIVE_UP_AFTER):
        drive.tick(after=LONGEST_RETRY_MS)
    calls = len(receiver.calls)
    assert GIVE_UP_AFTER <= calls <= GIVE_UP_AFTER + 2 * ESCALATIONS * GIVE_UP_AFTER
    assert drive.row(OUTBOX, "memory", f"e1/firing-{NOW}").state == "given up"


# --- crashes --------------------------------------------------------------------------------------------------------


class Dies(MemoryReceiver):
    """Takes the process down with it, once."""

    died = False

    def send(self, alert):
        if not self.died:
            self.died = True
            raise Crash
        super().send(alert)


def test_a_crash_between_commit_and_send_still_delivers():
    receiver = Dies()
    drive = drive_to(receiver)
    with pytest.raises(Crash):
        drive.take(alert())
    drive.restart()
    drive.tick(after=5 * SECOND)
    assert receiver.alerts == []  # it may still be under way elsewhere
    drive.tick(after=TURN_MS)
    assert [a.id for a in receiver.alerts] == ["e1"]
    drive.tick(after=MINUTE)
    assert len(receiver.alerts) == 1


class Slow(MemoryReceiver):
    """While it takes an alert, something else happens: once."""

    def __init__(self):
        super().__init__()
        self.down, self.meanwhile = False, []

    def send(self, alert):
        while self.meanwhile:
            self.meanwhile.pop()()
        if self.down:
            raise Unavailable("503")
        super().send(alert)


@pytest.mark.parametrize("again", [False, True])
def test_what_one_worker_is_sending_the_timer_of_another_does_not_send(again):
    receiver = Slow()
    drive, other = drive_to(receiver), Drive("notify")
    other.ports, other.published = drive.ports, drive.published
    other.restart()
    receiver.down = again
    receiver.meanwhile = [] if again else [lambda: other.tick(after=5 * SECOND)]
    drive.take(alert())
    receiver.down = False
    if again:
        receiver.meanwhile = [lambda: other.tick(after=10 * SECOND)]
        drive.tick(after=10 * SECOND)
    assert not receiver.meanwhile
    assert len(receiver.alerts) == 1
    other.tick(after=2 * TURN_MS)
    assert len(receiver.alerts) == 1


@settings(max_examples=60)
@given(
    crashes=st.lists(st.tuples(st.sampled_from([("tables", "put"), ("blobs", "put")]), st.integers(1, 5)), max_size=4),
    failures=st.integers(0, 3),
)
def test_whatever_crashes_every_alert_arrives_and_its_end_comes_last(crashes, failures):
    receiver = Flaky(failures=failures)
    drive = drive_to(receiver)
    for record in (alert(), alert("resolved", 5), alert(name="e2"), alert("update", 7, name="e2", report=REPORT)):
        drive.put(record)
    for (port, method), call in crashes:
        try:
            with drive.crash_at(port, method, call=call):
                drive.take(limit=2)
        except AssertionError:
            pass
    for _ in range(4):
        drive.take()
        drive.tick(after=MINUTE)
    first = [a.status for a in receiver.alerts if a.id == "e1"]
    second = [a.status for a in receiver.alerts if a.id == "e2"]
    assert first[-1] == "resolved"
    assert "firing" in second
    assert "update" in second
    assert kept(drive).status == "resolved"
    assert kept(drive, "e2").status == "firing"


# --- escalation -----------------------------------------------------------------------------------------------------


def watch(drive, duration):
    for _ in range(duration // MINUTE):
        drive.tick(after=MINUTE)


def test_a_critical_alert_that_nobody_acknowledges_is_repeated_a_few_times(drive, receiver):
    drive.take(alert())
    watch(drive, ESCALATE_MS - MINUTE)
    assert len(receiver.alerts) == 1
    watch(drive, MINUTE)
    assert receiver.alerts[1].title == "Not acknowledged: Flow is low (pump-1)"
    drive.restart()
    watch(drive, 10 * ESCALATE_MS)
    assert len(receiver.alerts) == 1 + ESCALATIONS
    assert {a.title for a in receiver.alerts[1:]} == {"Not acknowledged: Flow is low (pump-1)"}


@pytest.mark.parametrize("severity", [Severity.INFO, Severity.WARNING])
def test_what_is_not_critical_is_said_once(drive, receiver, severity):
    drive.take(alert(severity=severity))
    watch(drive, 3 * ESCALATE_MS)
    assert len(receiver.alerts) == 1


def test_an_acknowledgement_ends_the_repeating(drive, receiver):
    drive.take(alert())
    watch(drive, ESCALATE_MS)
    acknowledge(drive)
    watch(drive, 3 * ESCALATE_MS)
    assert len(receiver.alerts) == 2
    assert drive.runner.states.load([0])[0].state.unanswered == {}


def test_a_resolve_ends_the_repeating(drive, receiver):
    drive.take(alert())
    drive.take(alert("resolved", 30))
    watch(drive, 3 * ESCALATE_MS)
    assert receiver.said == [("firing", 0), ("resolved", 30)]


def test_an_update_does_not_begin_the_repeating_anew(drive, receiver):
    drive.take(alert())
    watch(drive, 6 * ESCALATE_MS)
    drive.take(alert("update", 9, report=REPORT))
    watch(drive, 6 * ESCALATE_MS)
    assert len(receiver.alerts) == 1 + ESCALATIONS + 1


# --- by severity ----------------------------------------------------------------------------------------------------


def test_an_alert_goes_to_the_receivers_of_its_severity_and_leaves_nothing_for_others_in_the_outbox():
    loud, quiet = Choosy("loud", Severity.CRITICAL, Severity.EMERGENCY), Choosy("quiet", Severity.INFO)
    everything = Flaky("everything")
    drive = drive_to(loud, quiet, everything)
    note = {"name": "note", "severity": Severity.INFO}
    drive.take(alert(name="bad"), alert(**note), alert("resolved", 5, **note))
    assert [a.id for a in loud.alerts] == ["bad"]
    assert [(a.id, a.status) for a in quiet.alerts] == [("note", "firing"), ("note", "resolved")]
    assert [a.id for a in everything.alerts] == ["bad", "note", "note"]
    assert [len(drive.rows(OUTBOX, name)) for name in ("loud", "quiet")] == [1, 2]


def test_what_nobody_answers_is_repeated_to_the_receivers_of_its_severity_only():
    loud, quiet = Choosy("loud", Severity.CRITICAL), Choosy("quiet", Severity.INFO)
    drive = drive_to(loud, quiet)
    drive.take(alert())
    drive.tick(after=ESCALATE_MS)
    assert [a.title[:16] for a in loud.alerts] == ["Flow is low (pum", "Not acknowledged"]
    assert quiet.calls == []
