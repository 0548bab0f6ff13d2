"""One batch through one stage: the order of its effects, and what becomes of it when something goes wrong."""

from collections import Counter

import msgspec
import pytest

from tests.simulator.faults import Crash, Faults
from tests.unit.core.stages_of_tests import Bench, pack, stage, tally
from watchkeeper.errors import Conflict, DecodeError, StateError, Unavailable, Undeclared
from watchkeeper.memory import MemoryReceiver, MemoryTables, memory_ports
from watchkeeper.outcome import ABSENT, BlobPut, Emit, Outcome, Put
from watchkeeper.packs import Pack
from watchkeeper.ports import Key, Stored
from watchkeeper.records import Alert, DeadLetter, Delivery, Episode, Origin, Severity
from watchkeeper.states import state_key
from watchkeeper.topology import (
    ALERTS,
    DASHBOARD_ALERTS,
    DEAD_LETTER,
    DEVICE_TELEMETRY,
    EPISODES,
    FINAL_DATA_STORAGE,
    OUTBOX,
    RULE_CHECK_OUTPUT,
    Every,
)
from watchkeeper.wire import decode

WHO = {"tenant": "default", "site": "", "device": "pump-1", "device_class": "pump", "detector": "model"}
ALERT = Alert(id="a-1", status="firing", severity=Severity.WARNING, title="odd", opened=1, ts=1, **WHO)
BAD = -1.0


def episode(opened_by="x-1", **more):
    given = WHO | {"opened": 1, "last": 1, "severity": Severity.INFO, "summary": "odd"} | more
    return Episode(id="e-1", opened_by=opened_by, **given)


def breaks_on_bad(batch, ctx):
    """A stage with a bug: it cannot take a reading of −1."""
    if any(BAD in table.values for item in batch for table in item.record.tables):
        raise ZeroDivisionError("a bug")
    return tally(batch, ctx)


def everything(batch, ctx):
    """All kinds of effects at once."""
    tally(batch, ctx)
    letter = DeadLetter("d-1", "tally", "bad", b"", ctx.now)
    return Outcome(
        blobs=[BlobPut("segments/1", b"data")], puts=[Put(ALERTS, "default", "a-1", ALERT)],
        emits=[Emit(FINAL_DATA_STORAGE, 0, item.record, item.origin) for item in batch], dead=[letter],
        sends=[Delivery("a-1/firing", "phone", ALERT)], expired=["segments/0"], counts=Counter(taken=1),
    )  # fmt: skip


EVERYTHING = stage(everything, emits=(FINAL_DATA_STORAGE,), writes=(ALERTS, OUTBOX), uses=("receivers",))


def watched(bench_of=EVERYTHING):
    """A bench whose calls that write are written down."""
    faults = Faults()
    seen = []
    faults.point = lambda where, conditional=False: (
        seen.append(where.removeprefix("before ")) if where[0] == "b" else None
    )
    ports = faults.wrap(memory_ports(1, receivers={"phone": MemoryReceiver("phone")}))
    return Bench(bench_of, ports), seen


def test_effects_are_committed_in_their_order_and_the_world_is_told_last():
    bench, seen = watched()
    bench.send(pack(1.0))
    message = bench.read()
    seen.clear()
    bench.runner.take(0, message, lambda: bench.ports.stream.commit("tally", "t", 0, 0))
    writes = [
        each
        for each in seen
        if each.rpartition(".")[2] in {"append", "commit", "put", "delete", "add", "send"} or "trans" in each
    ]
    assert writes == [
        "a transaction", "blobs.put", "tables.put", "stream.append", "stream.append", "blobs.put", "meter.add",
        "stream.commit", "a commit of a transaction", "receiver.send", "a transaction", "tables.put",
        "a commit of a transaction", "blobs.delete",
    ]  # fmt: skip


def test_a_batch_that_comes_again_has_no_second_effect():
    bench = Bench(stage())
    bench.send(pack(1.0, 2.0), pack(3.0))
    assert bench.take()["taken"] == 3
    assert bench.take()["taken"] == 0
    assert bench.state().readings == 3
    assert bench.acks == 2


def test_what_was_emitted_twice_is_taken_once():
    origins = [Origin("clean", "t", 0, 5), Origin("clean", "t", 0, 6)]
    once, twice = pack(1.0).from_origin(origins[0]), pack(1.0, 2.0).from_origin(origins[1])
    bench = Bench(stage())
    bench.send(once, once, twice, once, twice)
    assert bench.take()["taken"] == 3


def test_of_a_pack_that_was_merged_anew_only_what_is_new_is_taken():
    hub = [Origin("ingest", DEVICE_TELEMETRY.name, 0, n) for n in range(3)]
    first, anew = pack(1.0, 2.0), pack(1.0, 2.0, 3.0)
    first.origins, first.tables[0].origin[:] = hub[:2], [0, 1]
    anew.origins, anew.tables[0].origin[:] = hub, [0, 1, 2]
    bench = Bench(stage())
    bench.send(first, anew)
    counts = bench.take()
    assert (counts["taken"], counts["deduplicated"]) == (3, 2)


@pytest.mark.parametrize("place", range(7))
def test_poison_costs_its_neighbours_nothing_wherever_it_is(place):
    bench = Bench(stage(breaks_on_bad))
    values = [float(n) for n in range(7)]
    values[place] = BAD
    bench.send(*(pack(value, value) for value in values))
    counts = bench.take()
    assert (counts["taken"], counts["dead"], bench.acks) == (12, 2, 1)
    (letter,) = dead_letters(bench)
    assert letter.body == pack(BAD, BAD).encode()
    assert (letter.topic, letter.partition, letter.offset) == (RULE_CHECK_OUTPUT.name, 0, place)
    assert "ZeroDivisionError: a bug" in letter.reason


def test_bytes_that_are_no_record_cost_their_neighbours_nothing():
    bench = Bench(stage())
    bench.send(b"\xff\x00", pack(1.0), b"{}")
    counts = bench.take()
    assert (counts["taken"], counts["dead"]) == (1, 2)
    assert {letter.body for letter in dead_letters(bench)} == {b"\xff\x00", b"{}"}


def test_poison_that_comes_again_has_the_same_id():
    bench = Bench(stage(breaks_on_bad))
    bench.send(pack(BAD), b"garbage")
    bench.take()
    bench.take()
    assert len({letter.id for letter in dead_letters(bench)}) == 2


def dead_letters(bench):
    return [msgspec.json.decode(m.value, type=DeadLetter) for m in bench.read(DEAD_LETTER)]


@pytest.mark.parametrize("error", [Unavailable, StateError, Undeclared])
def test_what_a_message_is_not_to_blame_for_stops_the_batch_and_kills_no_message(error):
    def stops(batch, ctx):
        tally(batch, ctx)
        raise error("not now")

    bench = Bench(stage(stops))
    bench.send(pack(1.0), pack(2.0))
    with pytest.raises(error):
        bench.take()
    assert (bench.read(DEAD_LETTER), bench.acks, bench.state().readings) == ([], 0, 0)


def test_after_an_outage_the_batch_is_taken_as_if_nothing_had_been():
    away = [True]

    def take(batch, ctx):
        outcome = tally(batch, ctx)
        if away.pop() if away else False:
            raise Unavailable("away")
        return outcome

    bench = Bench(stage(take))
    bench.send(pack(1.0))
    with pytest.raises(Unavailable):
        bench.take()
    bench.take()
    assert bench.state().readings == 1


def test_a_state_that_cannot_be_read_stops_the_partition():
    bench = Bench(stage())
    bench.ports.blobs.put(state_key("tally", RULE_CHECK_OUTPUT.name, 0), b"rubbish")
    bench.send(pack(1.0))
    with pytest.raises(StateError, match="tally"):
        bench.take()
    assert bench.read(DEAD_LETTER) == []


def test_after_a_conflict_the_state_is_read_anew():
    rival = []

    def take(batch, ctx):
        if not rival:
            rival.append(Bench(bench.stage, bench.ports))
            rival[0].send(pack(5.0, 6.0))
            rival[0].take()
        return tally(batch, ctx)

    bench = Bench(stage(take))
    bench.send(pack(1.0))
    bench.take()
    assert bench.state().readings == 3


def test_conflicts_without_end_stop_the_partition():
    def take(batch, ctx):
        raise Conflict("again")

    bench = Bench(stage(take))
    bench.send(pack(1.0))
    with pytest.raises(Conflict):
        bench.take()
    assert bench.acks == 0


def test_a_crash_leaves_no_trace_in_the_cache():
    def take(batch, ctx):
        tally(batch, ctx)
        if not crashed:
            crashed.append(1)
            raise Crash
        return Outcome()

    crashed = []
    bench = Bench(stage(take))
    bench.send(pack(1.0))
    with pytest.raises(Crash):
        bench.take()
    bench.take()
    assert bench.state().readings == 1


def conditional(expect, before=None):
    """A stage that puts an episode on a condition, and then a row and an alert."""

    def take(batch, ctx):
        put = Put(EPISODES, "default", "e-1", episode("x-1", summary="mine"), expect)
        told = Put(ALERTS, "default", "a-1", ALERT)
        return Outcome(puts=[put, told], emits=[Emit(DASHBOARD_ALERTS, 0, ALERT, batch[0].origin)])

    bench = Bench(stage(take, emits=(DASHBOARD_ALERTS,), writes=(EPISODES, ALERTS)))
    if before:
        bench.ports.tables.put(EPISODES.name, Key("default", "e-1"), msgspec.json.encode(before))
    bench.send(pack(1.0))
    return bench


def held(bench):
    row = bench.ports.tables.get_many(EPISODES.name, [Key("default", "e-1")])[Key("default", "e-1")]
    alerts = bench.ports.tables.query(ALERTS.name, "default")
    return msgspec.json.decode(row.value)["summary"], len(alerts), len(bench.read(DASHBOARD_ALERTS))


def test_a_condition_that_holds_lets_all_effects_through():
    bench = conditional(ABSENT)
    bench.take()
    assert held(bench) == ("mine", 1, 1)


def test_a_condition_that_does_not_hold_stops_what_comes_after_it_and_brings_the_batch_again():
    bench = conditional(ABSENT, before=episode("x-1", summary="theirs"))
    with pytest.raises(Conflict):
        bench.take()
    assert held(bench) == ("theirs", 0, 0)


def test_a_collision_that_passes_is_nobodys_loss(monkeypatch):
    put, collisions = MemoryTables.put, ["once"]

    def collides(self, *row):
        if collisions:
            raise Conflict(collisions.pop())
        return put(self, *row)

    monkeypatch.setattr(MemoryTables, "put", collides)
    bench = conditional(ABSENT)
    bench.take()
    assert held(bench) == ("mine", 1, 1)


def alerts_of(*names):
    def take(batch, ctx):
        return Outcome(
            emits=[
                Emit(DASHBOARD_ALERTS, 0, msgspec.structs.replace(ALERT, detector=n), item.origin)
                for item in batch
                for n in names
            ]
        )

    return stage(take, state=None, codec=None, emits=(DASHBOARD_ALERTS,))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_origins_do_not_depend_on_how_the_stream_is_cut(cut):
    bench = Bench(alerts_of("b", "a"))
    bench.send(pack(1.0), pack(2.0), pack(3.0))
    messages = bench.read()
    for start in range(0, 3, cut):
        bench.take(messages[start : start + cut])
    emitted = [msgspec.json.decode(m.value, type=Alert) for m in bench.read(DASHBOARD_ALERTS)]
    assert [(a.origin.offset, a.origin.index, a.detector) for a in emitted] == [
        (0, 0, "a"), (0, 1, "b"), (1, 0, "a"), (1, 1, "b"), (2, 0, "a"), (2, 1, "b"),
    ]  # fmt: skip


def test_a_receiver_that_fails_leaves_its_delivery_pending():
    class Away:
        name = "phone"

        def send(self, alert):
            raise Unavailable("no signal")

    bench = Bench(EVERYTHING, memory_ports(1, receivers={"phone": Away()}))
    bench.send(pack(1.0))
    bench.take()
    row = bench.ports.tables.query(OUTBOX.name, "phone")[0]
    delivery = msgspec.json.decode(row.value, type=Delivery)
    assert (delivery.state, delivery.attempts, bench.acks) == ("pending", 1, 1)
    assert delivery.next_try > bench.now
    assert "no signal" in delivery.error


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (lambda item: Outcome(emits=[Emit(FINAL_DATA_STORAGE, 0, item.record, item.origin)]), "final-data-storage"),
        (lambda item: Outcome(puts=[Put(ALERTS, "default", "a-1", ALERT)]), "alerts"),
    ],
    ids=["a topic", "a table"],
)
def test_an_effect_that_the_row_does_not_declare_is_refused(outcome, what):
    bench = Bench(stage(lambda batch, ctx: outcome(batch[0])))
    bench.send(pack(1.0))
    with pytest.raises(Undeclared, match=what):
        bench.take()
    assert bench.read(FINAL_DATA_STORAGE) == []


def test_a_timer_changes_only_the_states_it_names():
    def tick(ctx):
        for state in ctx.states.values():
            state.readings += 1
        return Outcome(states={1, 3})

    bench = Bench(stage(tick=tick, on=(RULE_CHECK_OUTPUT, Every(5))))
    bench.runner.tick(range(4))
    assert bench.ports.blobs.list("state/") == [state_key("tally", RULE_CHECK_OUTPUT.name, n) for n in (1, 3)]


def test_a_stage_with_one_state_keeps_it_whatever_the_shard():
    def take(batch, ctx):
        ctx.states[0].readings += len(batch)
        return Outcome()

    bench = Bench(stage(take, state="one"))
    bench.send(pack(1.0, shard=3), pack(2.0, shard=1))
    bench.take()
    assert bench.ports.blobs.list("state/") == [state_key("tally", RULE_CHECK_OUTPUT.name, 0)]


def test_a_hub_message_with_a_strange_header_is_poison_and_nothing_worse():
    with pytest.raises(DecodeError, match="received"):
        decode(DEVICE_TELEMETRY, Stored(0, 0, b"{}", {"received": "yesterday"}))


def test_the_pack_that_is_emitted_names_the_message_it_was_made_from():
    bench, _ = watched()
    bench.send(pack(1.0))
    bench.take()
    emitted = Pack.decode(bench.read(FINAL_DATA_STORAGE)[0].value)
    assert emitted.origins == [Origin("tally", RULE_CHECK_OUTPUT.name, 0, 0)]
