"""A stage sees what its row declares, and nothing else."""

import msgspec
import pytest

from tests.unit.core.stages_of_tests import NOW, SHARDS, Bench, stage
from watchkeeper.context import FIRST_RETRY_MS, LONGEST_RETRY_MS, Context
from watchkeeper.errors import StateError, Unavailable, Undeclared
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.ports import Completion, Key
from watchkeeper.records import Acknowledgement, Alert, Delivery, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS

ALERT = Alert(
    id="a-1", tenant="default", site="", device="d", device_class="pump", detector="model", status="firing",
    severity=Severity.WARNING, title="odd", opened=1, ts=1,
)  # fmt: skip


class Model:
    def complete(self, system, prompt, schema):
        return Completion("{}", "m", 10, 5)


def context(*, now=NOW, **row):
    ports = memory_ports(1, receivers={"phone": MemoryReceiver("phone")}, language_model=Model())
    bench = Bench(stage(**row), ports)
    return Context(bench.stage, ports, bench.published, {}, now, SHARDS)


@pytest.mark.parametrize(
    ("use", "of"),
    [
        ("knowledge", "bundle"),
        ("detection_model", "model"),
        ("blobs", "blobs"),
        ("meter", "meter"),
        ("meter", "budget"),
        ("receivers", "receivers"),
        ("language_model", "may_call_model"),
    ],
)
def test_what_is_used_must_be_declared(use, of):
    with pytest.raises(Undeclared, match=f"tally uses {use}"):
        getattr(context(), of)
    getattr(context(uses=(use,)), of)


def test_a_model_is_asked_and_an_alert_delivered_only_by_who_declares_it():
    with pytest.raises(Undeclared):
        context().complete("", "", {})
    with pytest.raises(Undeclared):
        context().deliver(Delivery("a-1/firing", "phone", ALERT))


@pytest.mark.parametrize("row", [{"reads": (ALERTS,)}, {"writes": (ALERTS,)}], ids=["reads", "writes"])
def test_a_table_may_be_read_by_who_reads_or_writes_it(row):
    assert context(**row).get_many(ALERTS, [Key("default", "a-1")], Alert) == {}
    assert context(**row).query(ALERTS, "default", Alert) == []
    with pytest.raises(Undeclared, match="acknowledgements"):
        context(**row).get_many(ACKNOWLEDGEMENTS, [], Acknowledgement)
    with pytest.raises(Undeclared, match="acknowledgements"):
        context(**row).query(ACKNOWLEDGEMENTS, "default", Acknowledgement)


def test_a_row_that_cannot_be_read_is_no_fault_of_the_message_at_hand():
    ctx = context(reads=(ALERTS,))
    ctx._ports.tables.put(ALERTS.name, Key("default", "a-1"), b'{"type":"alert"}')
    with pytest.raises(StateError, match="alerts default/a-1: not a Alert"):
        ctx.get_many(ALERTS, [Key("default", "a-1")], Alert)
    with pytest.raises(StateError):
        ctx.query(ALERTS, "default", Alert)


def test_what_a_model_uses_is_metered():
    ctx = context(uses=("language_model",))
    ctx.complete("", "", {})
    assert ctx.used == {"model_calls": 1, "prompt_tokens": 10, "completion_tokens": 5}


def test_a_model_that_is_switched_off_is_unavailable():
    ctx = context(uses=("language_model",))
    ctx._published.switches = msgspec.structs.replace(ctx._published.switches, model_calls=False)
    assert not ctx.may_call_model
    with pytest.raises(Unavailable, match="switched it off"):
        ctx.complete("", "", {})


def test_a_delivery_that_arrives_is_sent():
    ctx = context(uses=("receivers",))
    put = ctx.deliver(Delivery("a-1/firing", "phone", ALERT))
    assert (put.record.state, put.record.attempts, put.partition, put.sort) == ("sent", 1, "phone", "a-1/firing")
    assert ctx._ports.receivers["phone"].alerts == [ALERT]


@pytest.mark.parametrize(
    "error", [Unavailable("away"), ValueError("a bug of the receiver's"), KeyError("x")], ids=["away", "a bug", "a key"]
)
def test_a_delivery_that_fails_waits_longer_each_time(error):
    ctx = context(uses=("receivers",))

    def fails(alert):
        raise error

    ctx._ports.receivers["phone"].send = fails
    delivery, waits = Delivery("a-1/firing", "phone", ALERT), []
    for _ in range(12):
        delivery = ctx.deliver(delivery).record
        waits.append(delivery.next_try - NOW)
    assert delivery.state == "pending"
    assert waits[:3] == [FIRST_RETRY_MS, 2 * FIRST_RETRY_MS, 4 * FIRST_RETRY_MS]
    assert waits[-1] == LONGEST_RETRY_MS == max(waits)


def test_a_receiver_that_is_gone_leaves_the_delivery_pending():
    put = context(uses=("receivers",)).deliver(Delivery("a-1/firing", "pager", ALERT))
    assert put.record.state == "pending"
