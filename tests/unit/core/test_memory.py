"""What the conformance suites do not say of the memory adapters: they are what tests look into."""

import pytest

from watchkeeper.memory import MemoryMeter, MemoryReceiver, memory_ports
from watchkeeper.ports import Message
from watchkeeper.records import Alert, Severity
from watchkeeper.topology import DASHBOARD_ALERTS, RULE_CHECK_OUTPUT

ALERT = Alert(
    id="a-1", tenant="default", site="", device="d", device_class="pump", detector="model", status="firing",
    severity=Severity.WARNING, title="odd", opened=1, ts=1,
)  # fmt: skip


def test_a_receiver_keeps_what_it_was_sent():
    receiver = MemoryReceiver("phone")
    receiver.send(ALERT)
    assert (receiver.name, receiver.alerts) == ("phone", [ALERT])


def test_ports_are_strangers_to_one_another():
    one, other = memory_ports(), memory_ports()
    one.stream.append(RULE_CHECK_OUTPUT.name, [Message(0, b"x")])
    one.blobs.put("k", b"v")
    assert (other.stream.read(RULE_CHECK_OUTPUT.name, 0, -1, 9), other.blobs.list("")) == ([], [])


def test_only_sharded_topics_are_divided():
    stream = memory_ports(3).stream
    assert (stream.partitions(RULE_CHECK_OUTPUT.name), stream.partitions(DASHBOARD_ALERTS.name)) == (3, 1)


def test_what_one_has_done_is_not_undone_when_another_fails():
    ports = memory_ports(1)

    def half_done():
        with ports.transaction():
            ports.blobs.put("k", b"v")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert ports.blobs.list("") == ["k"]


def test_headers_that_are_changed_later_change_nothing_that_was_sent():
    headers = {"device": "pump-1"}
    stream = memory_ports(1).stream
    stream.append(RULE_CHECK_OUTPUT.name, [Message(0, b"x", headers)])
    headers["device"] = "other"
    assert stream.read(RULE_CHECK_OUTPUT.name, 0, -1, 9)[0].headers == {"device": "pump-1"}


def test_a_total_is_only_of_the_days_asked_for():
    meter = MemoryMeter()
    for day in ("2026-02-28", "2026-03-01", "2026-03-02"):
        meter.add(day, "clean", {"clean": 1})
    assert meter.total("2026-03-01", "2026-03-02") == {"clean": {"clean": 2}}
