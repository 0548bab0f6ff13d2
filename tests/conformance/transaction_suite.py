"""What a `transaction` promises where the adapters claim that it is atomic. The fixture `ports`: empty ones."""

from abc import ABC, abstractmethod

import pytest

from tests.conformance.racing import at_once
from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key, Message, Ports
from watchkeeper.topology import DEVICES, RULE_CHECK_OUTPUT

TOPIC = RULE_CHECK_OUTPUT.name
DAY = "2026-01-31"


class Interrupted(BaseException):
    """As KeyboardInterrupt: no Exception."""


def write_everywhere(ports: Ports) -> None:
    ports.blobs.put("segments/1", b"data")
    ports.blobs.delete(["segments/0"])
    ports.tables.put(DEVICES.name, Key("default", "pump-7"), b"row")
    ports.stream.append(TOPIC, [Message(0, b"message")])
    ports.meter.add(DAY, "clean", {"accepted": 1})
    ports.stream.commit("clean", TOPIC, 0, 17)


def write_and_fail(ports: Ports, error: type[BaseException]) -> None:
    with ports.transaction():
        write_everywhere(ports)
        raise error


def what_is_there(ports: Ports) -> tuple[object, ...]:
    return (
        ports.blobs.list(""),
        [row.value for row in ports.tables.query(DEVICES.name, "default")],
        [message.value for message in ports.stream.read(TOPIC, 0, -1, 100)],
        ports.meter.total(DAY, DAY),
        ports.stream.committed("clean", TOPIC, 0),
    )


NOTHING = (["segments/0"], [], [], {}, -1)
ALL = (["segments/1"], [b"row"], [b"message"], {"clean": {"accepted": 1}}, 17)


class TransactionSuite(ABC):
    @pytest.fixture
    @abstractmethod
    def ports(self) -> Ports: ...

    @pytest.fixture(autouse=True)
    def _an_object_from_before(self, ports):
        ports.blobs.put("segments/0", b"old")

    def test_what_is_done_in_it_is_seen_in_it_at_once_and_by_others_when_it_is_over(self, ports):
        with ports.transaction():
            write_everywhere(ports)
            assert what_is_there(ports) == ALL
            assert at_once([lambda: what_is_there(ports)]) == [NOTHING]
        assert what_is_there(ports) == ALL
        assert at_once([lambda: what_is_there(ports)]) == [ALL]

    @pytest.mark.parametrize("error", [ValueError, Interrupted])
    def test_an_exception_leaves_nothing(self, ports, error):
        with pytest.raises(error):
            write_and_fail(ports, error)
        assert what_is_there(ports) == NOTHING

    def test_an_exception_leaves_nothing_of_an_inner_one_either(self, ports):
        def fail_late() -> None:
            with ports.transaction():
                with ports.transaction():
                    write_everywhere(ports)
                assert what_is_there(ports) == ALL
                raise Interrupted

        with pytest.raises(Interrupted):
            fail_late()
        assert what_is_there(ports) == NOTHING

    def test_a_conflict_that_is_caught_costs_the_others_nothing(self, ports):
        with ports.transaction():
            write_everywhere(ports)
            with pytest.raises(Conflict):
                ports.tables.put(DEVICES.name, Key("default", "pump-7"), b"other", ABSENT)
        assert what_is_there(ports) == ALL

    def test_a_version_put_in_it_holds_in_it_and_after_it(self, ports):
        with ports.transaction():
            version = ports.blobs.put("state", b"1", ABSENT)
            version = ports.blobs.put("state", b"2", version)
        ports.blobs.put("state", b"3", version)
        assert ports.blobs.get_many(["state"])["state"].data == b"3"

    def test_after_one_that_failed_the_next_one_works(self, ports):
        for _ in range(3):
            with pytest.raises(Interrupted):
                write_and_fail(ports, Interrupted)
        with ports.transaction():
            write_everywhere(ports)
        assert what_is_there(ports) == ALL

    def test_those_of_several_threads_do_not_mix(self, ports):
        def hop(number: int) -> None:
            for _ in range(10):
                with ports.transaction():
                    held = ports.blobs.get_many(["count"]).get("count")
                    count = int(held.data) + 1 if held else 1
                    ports.blobs.put("count", b"%d" % count, held.version if held else ABSENT)
                    ports.stream.append(TOPIC, [Message(0, b"%d" % count)])

        at_once([lambda n=n: hop(n) for n in range(4)])
        assert [int(message.value) for message in ports.stream.read(TOPIC, 0, -1, 100)] == list(range(1, 41))
