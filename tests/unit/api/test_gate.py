import threading

import pytest

from watchkeeper.errors import Unavailable
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt
from watchkeeper.topology import BATCH_DATA_INGESTION, IOT_DATA_INGESTION
from watchkeeper_api.gate import Gate, GateFullError, Room

WAIT_S = 10


class Disk:
    """Commits when it is let to, and remembers what it was given together."""

    def __init__(self, *, open_: bool = True) -> None:
        self.groups = []
        self.begun = threading.Event()
        self.opened = threading.Event()
        if open_:
            self.opened.set()

    def __call__(self, topic, messages):
        self.begun.set()
        assert self.opened.wait(WAIT_S)
        bodies = [message.body for message in messages]
        if b"poison" in bodies:
            raise ZeroDivisionError
        if b"outage" in bodies:
            raise Unavailable("the disk is full")
        self.groups.append((topic.name, bodies))
        return [Receipt(accepted=len(body)) for body in bodies]


@pytest.fixture
def disk():
    return Disk(open_=False)


@pytest.fixture
def make_gate(disk):
    gates = []

    def make(**room):
        gates.append(Gate(disk, Room(**room)))
        return gates[-1]

    yield make
    disk.opened.set()
    for gate in gates:
        gate.close()


def raw(body):
    return RawMessage(body, 0, "default")


def submit(gate, bodies, topic=IOT_DATA_INGESTION):
    return [gate.submit(topic, raw(body)) for body in bodies]


def busy(gate, disk):
    """The first request is being committed, so that all others wait."""
    first = gate.submit(IOT_DATA_INGESTION, raw(b"first"))
    assert disk.begun.wait(WAIT_S)
    return first


def test_what_waits_while_one_is_committed_is_committed_together_and_each_gets_its_own_receipt(make_gate, disk):
    gate = make_gate()
    first = busy(gate, disk)
    rest = submit(gate, [b"a", b"bb", b"ccc"])
    disk.opened.set()
    assert [future.result(WAIT_S).accepted for future in (first, *rest)] == [5, 1, 2, 3]
    assert [bodies for _, bodies in disk.groups] == [[b"first"], [b"a", b"bb", b"ccc"]]


def test_topics_are_not_mixed_and_the_oldest_request_goes_first(make_gate, disk):
    gate = make_gate()
    busy(gate, disk)
    waiting = submit(gate, [b"a"]) + submit(gate, [b"b"], BATCH_DATA_INGESTION) + submit(gate, [b"c"])
    disk.opened.set()
    assert all(future.result(WAIT_S) for future in waiting)
    assert disk.groups[1:] == [("iot-data-ingestion", [b"a", b"c"]), ("batch-data-ingestion", [b"b"])]


def test_a_group_is_limited_in_requests_and_in_bytes_but_takes_at_least_one(make_gate, disk):
    gate = make_gate(group_requests=3, group_bytes=10)
    busy(gate, disk)
    waiting = submit(gate, [b"1", b"2", b"3", b"4", b"xxxxxx", b"yyyyyyyyyyyyyyyyyyyy", b"z"])
    disk.opened.set()
    assert all(future.result(WAIT_S) for future in waiting)
    assert [bodies for _, bodies in disk.groups[1:]] == [
        [b"1", b"2", b"3"],
        [b"4", b"xxxxxx"],
        [b"yyyyyyyyyyyyyyyyyyyy"],
        [b"z"],
    ]


@pytest.mark.parametrize("room", [{"waiting_requests": 2}, {"waiting_bytes": 2}])
def test_a_full_gate_takes_no_more_until_there_is_room(make_gate, disk, room):
    gate = make_gate(**room)
    busy(gate, disk)
    waiting = submit(gate, [b"a", b"b"])
    with pytest.raises(GateFullError):
        submit(gate, [b"c"])
    disk.opened.set()
    assert all(future.result(WAIT_S) for future in waiting)
    assert gate.submit(IOT_DATA_INGESTION, raw(b"d")).result(WAIT_S).accepted == 1


def test_a_body_larger_than_all_the_room_is_still_taken_when_nobody_else_waits(make_gate, disk):
    disk.opened.set()
    assert make_gate(waiting_bytes=2).submit(IOT_DATA_INGESTION, raw(b"abc")).result(WAIT_S).accepted == 3


def test_a_body_that_breaks_the_stage_fails_alone(make_gate, disk):
    gate = make_gate()
    busy(gate, disk)
    bodies = [b"a", b"b", b"poison", b"c", b"d"]
    waiting = submit(gate, bodies)
    disk.opened.set()
    errors = [future.exception(WAIT_S) for future in waiting]
    assert [type(error) for error in errors] == [type(None), type(None), ZeroDivisionError, type(None), type(None)]
    assert sorted(body for _, group in disk.groups for body in group) == [b"a", b"b", b"c", b"d", b"first"]


def test_an_outage_fails_all_and_the_gate_goes_on(make_gate, disk):
    gate = make_gate()
    busy(gate, disk)
    waiting = submit(gate, [b"a", b"outage", b"b"])
    disk.opened.set()
    assert {type(future.exception(WAIT_S)) for future in waiting} == {Unavailable}
    assert gate.submit(IOT_DATA_INGESTION, raw(b"c")).result(WAIT_S).accepted == 1


def test_a_request_whose_client_has_gone_is_not_committed(make_gate, disk):
    gate = make_gate()
    busy(gate, disk)
    gone, stays = submit(gate, [b"gone", b"stays"])
    assert gone.cancel()
    disk.opened.set()
    assert stays.result(WAIT_S).accepted == 5
    assert [bodies for _, bodies in disk.groups] == [[b"first"], [b"stays"]]


def test_closing_commits_what_waits_and_takes_no_more(make_gate, disk):
    gate = make_gate()
    first = busy(gate, disk)
    waiting = submit(gate, [b"a", b"b"])
    disk.opened.set()
    gate.close()
    assert all(future.done() and future.result() for future in (first, *waiting))
    with pytest.raises(Unavailable):
        gate.submit(IOT_DATA_INGESTION, raw(b"c"))


def test_a_gate_that_was_never_used_closes_at_once(make_gate):
    make_gate().close()


def test_after_a_group_the_next_one_is_waited_for_and_a_lone_client_is_not(make_gate, disk):
    gate = make_gate(linger_s=WAIT_S / 2, group_requests=3)
    busy(gate, disk)
    disk.opened.set()
    alone = gate.submit(IOT_DATA_INGESTION, raw(b"alone"))
    assert alone.result(WAIT_S / 4).accepted == 5
    disk.begun.clear()
    disk.opened.clear()
    busy(gate, disk)
    company = submit(gate, [b"a", b"b"])
    disk.opened.set()
    assert [future.result(WAIT_S).accepted for future in company] == [1, 1]
    later = submit(gate, [b"c"])
    assert not later[0].done()
    later += submit(gate, [b"d", b"e"])  # as many as go into a group: nobody waits any longer
    assert [future.result(WAIT_S / 4).accepted for future in later] == [1, 1, 1]
    assert disk.groups[-1][1] == [b"c", b"d", b"e"]
