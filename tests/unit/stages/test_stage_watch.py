"""watch: one alert for one silence, over restarts and repetitions, and its end when the pipeline flows."""

import dataclasses

from tests.unit.stages.driving import NOW, shipped
from watchkeeper.memory import memory_ports
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Stored
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper.stages.watch import RUNBOOK, watch
from watchkeeper.topology import DASHBOARD_ALERTS
from watchkeeper.watching import Verdict
from watchkeeper.wire import decode

SILENT = Verdict(flows=False, silent="messages wait and are not taken: clean at x/0", since=NOW - 60_000)
FLOWS = Verdict(flows=True)
UNSURE = Verdict(flows=False)


class Watch:
    """The stage under its runner, as a runtime runs it; `restart` is a new process."""

    def __init__(self):
        self.ports = memory_ports(1)

    def see(self, verdict):
        stage = dataclasses.replace(STAGES["watch"], tick=lambda ctx: watch(verdict, ctx))
        Runner(stage, None, self.ports, Published(self.ports, shipped()), 1, lambda: NOW).tick([0])

    def said(self):
        messages = self.ports.stream.read(DASHBOARD_ALERTS.name, 0, -1, 99)
        return [decode(DASHBOARD_ALERTS, Stored(0, 0, message.value, {})) for message in messages]

    def writes(self):
        return self.ports.blobs.versions(self.ports.blobs.list("state/"))


def test_a_silence_is_one_critical_alert_with_its_runbook_and_ends_when_it_flows():
    held = Watch()
    for verdict in (UNSURE, SILENT, SILENT, UNSURE, SILENT, FLOWS, FLOWS):
        held.see(verdict)
    first, last = held.said()
    assert (first.status, last.status, first.severity) == ("firing", "resolved", "critical")
    assert first.id == last.id
    assert {source.file for source in first.report.sources} == {RUNBOOK}
    assert len(first.report.steps) >= 5
    assert "clean at x/0" in first.report.what
    assert last.resolved == NOW


def test_after_a_restart_in_the_middle_it_is_not_said_again_and_still_ends():
    held = Watch()
    held.see(SILENT)
    held.see(SILENT._replace(since=NOW + 99))  # each `see` is a new process: it has counted anew
    held.see(FLOWS)
    assert [alert.status for alert in held.said()] == ["firing", "resolved"]


def test_while_all_is_well_nothing_is_written():
    held = Watch()
    for _ in range(5):
        held.see(FLOWS)
    assert held.writes() == {}


def test_that_it_was_told_directly_is_remembered_once():
    held = Watch()
    held.see(SILENT)
    before = held.writes()
    held.see(SILENT._replace(mute=True))
    told = held.writes()
    held.see(SILENT._replace(mute=True))
    assert before != told == held.writes()


def test_the_next_silence_is_another_alert():
    held = Watch()
    for verdict in (SILENT, FLOWS, SILENT._replace(since=NOW)):
        held.see(verdict)
    first, _, other = held.said()
    assert first.id != other.id
