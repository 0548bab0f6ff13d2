"""From the readings of a disk that fills to what a person is told: rule_check, rag_explain and notify in turn."""

import numpy as np

from tests.unit.stages.driving import DAY, MINUTE, NOW, Drive, pack_of, shipped
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.records import Severity
from watchkeeper.topology import EPISODES, REPORTS

EVERY = 5 * MINUTE


def test_a_disk_that_fills_is_one_alert_that_says_when_with_the_runbook_and_ends_when_the_level_is_reached():
    person = MemoryReceiver("person")
    ports = memory_ports(partitions=1, receivers={"person": person})
    drives = [Drive(stage, ports, bundle=shipped()) for stage in ("rule_check", "rag_explain", "notify")]
    steps = np.arange(10 * DAY // EVERY)
    values = 60 + 4.0 * steps * EVERY / DAY + np.random.default_rng(1).normal(0, 0.05, len(steps))
    rows = [(NOW + int(step) * EVERY, float(value)) for step, value in zip(steps, values, strict=True)]
    for at in range(0, len(rows), 144):  # half a day
        for drive in drives:
            drive.now = rows[at][0] + 144 * EVERY
            drive.take(*[pack_of("host-1", "disk_percent", rows[at : at + 144])] if drive is drives[0] else [])
    reached = NOW + 9.25 * DAY
    foretold = [each for each in person.alerts if each.detector.startswith("forecast:")]
    assert {each.detector for each in foretold} == {"forecast:host.disk-full"}  # a warning foretold pages nobody
    assert [each.status for each in foretold] == ["firing", "resolved"]
    firing, resolved = foretold
    assert 1 * DAY < reached - firing.opened <= 3.2 * DAY
    assert abs(resolved.resolved - reached) < DAY / 4
    assert firing.title.startswith("The disk is all but full in 3 days (between ")
    assert "disk_percent is 8" in firing.title
    assert "will be above 97" in firing.title
    assert firing.severity == Severity.WARNING
    assert firing.report.sources[0].file == "host-disk-filling.md"
    assert firing.report.steps
    [episode] = [each for each in drives[1].rows(EPISODES, "default") if each.detector == firing.detector]
    assert drives[1].row(REPORTS, "default", episode.id) == firing.report
    assert not [letter for drive in drives for letter in drive.dead()]
