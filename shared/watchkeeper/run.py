"""One batch through one stage, its effects committed in order.

A batch comes from one source partition. What has been taken before is skipped; the stage decides; its effects are
committed: blobs, puts, emits, dead letters, state, meter, notes, acknowledgement. A crash between any two of them
brings the batch again: puts and blobs are repeated with the same content, what was emitted twice carries the same
origin and is skipped by whoever takes it, and state that was written skips the batch as taken. Sends to the world come
last; the outbox remembers them.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.context import Context
from watchkeeper.errors import Conflict, DecodeError, StateError, Unavailable, Undeclared
from watchkeeper.ids import shard_of, text_id
from watchkeeper.merging import together
from watchkeeper.outcome import ANYWAY, Delivered, Outcome, RawMessage
from watchkeeper.packs import Pack
from watchkeeper.ports import Key, Message
from watchkeeper.records import DeadLetter, Origin
from watchkeeper.states import Envelope, States
from watchkeeper.topology import DEAD_LETTER, DEVICE_TELEMETRY
from watchkeeper.wire import Lately, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from watchkeeper.outcome import Emit, Put
    from watchkeeper.ports import Ports, Stored
    from watchkeeper.published import Published
    from watchkeeper.topology import Stage, Topic

log = logging.getLogger(__name__)
CONFLICT_TRIES = 4
NEVER = (-1, 0)
"""The place of what was taken last from a source of which nothing was."""


def _nothing() -> None:
    """No acknowledgement: the runtime gives it in its own way."""


def _untold(_outcome: Outcome) -> None:
    """Nobody asks to be told."""


@dataclasses.dataclass(slots=True)
class Runner:
    """Runs one stage for one of its topics (or none: requests and timers) in one worker.

    `ports` are the runtime's, `published` what is in force, `shards` the number of shards, `clock` epoch ms; `lately`
    is shared by the runners of a worker; `tell` is told what was done, once it is committed, and must not raise.
    """

    stage: Stage
    topic: Topic | None
    ports: Ports
    published: Published
    shards: int
    clock: Callable[[], int]
    lately: Lately = dataclasses.field(default_factory=lambda: Lately(kept=0))
    tell: Callable[[Outcome], None] = _untold
    states: States = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty cache of states."""
        self.states = States(self.stage, self.topic.name if self.topic else "-", self.ports.blobs)

    def take(self, partition: int, messages: Sequence[Stored], ack: Callable[[], None] = _nothing) -> Counter[str]:
        """A batch from a partition, all of it or, where one message breaks the stage, all but that one.

        Answers what was counted. What a later try may mend (Unavailable, Conflict) and what a person must (StateError,
        Undeclared) pass through: the partition stops and the batch comes again.
        """
        try:
            return self._again_on_conflict(lambda: self._attempt(partition, messages, ack))
        except (Unavailable, Conflict, StateError, Undeclared):
            raise
        except Exception as error:
            if len(messages) == 1:
                log.exception("%s: poison at %s/%d", self.stage.name, self._name, partition)
                dead = self._dead(partition, messages[0], f"{type(error).__name__}: {error}")
                counts = Counter(dead=_readings_in(self.topic, messages[0]))
                return self._commit(Outcome(dead=[dead], counts=counts), {}, ack)
            half = len(messages) // 2
            return self.take(partition, messages[:half]) + self.take(partition, messages[half:], ack)

    def tick(self, shards: Iterable[int]) -> Counter[str]:
        """The stage's timer, for these shards (a stage with one state in all: for that one)."""
        if self.stage.tick is None:
            return Counter()
        wanted = [0] if self.stage.state == "one" else sorted(shards)
        return self._again_on_conflict(lambda: self._tick(wanted))

    def request(self, decide: Callable[[Context], Outcome]) -> Counter[str]:
        """A request (HTTP): `decide` is the stage with the request in it."""
        context = self._context({})
        return self._commit(decide(context), {}, _nothing, context)

    @property
    def _name(self) -> str:
        return self.topic.name if self.topic else "-"

    def _again_on_conflict(self, attempt: Callable[[], Counter[str]]) -> Counter[str]:
        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                return attempt()
            except Conflict:
                self.states.forget()
                if not tries_left:
                    raise
            except BaseException:
                self.states.forget()
                raise
        message = "no tries left"
        raise Conflict(message)

    def _tick(self, shards: list[int]) -> Counter[str]:
        envelopes = self.states.load(shards) if self.stage.state else {}
        context = self._context({shard: envelope.state for shard, envelope in envelopes.items()})
        try:
            outcome = self.stage.tick(context) if self.stage.tick else Outcome()
            changed = {shard: envelopes[shard] for shard in outcome.states}
            return self._commit(outcome, changed, _nothing, context)
        except Conflict:
            self._meter(context.used)  # what was asked of a model is paid for, though its answer could not be kept
            raise

    def _attempt(self, partition: int, messages: Sequence[Stored], ack: Callable[[], None]) -> Counter[str]:
        started = time.perf_counter()
        delivered, outcome = self._decode(partition, messages)
        envelopes: dict[int, Envelope] = {}
        if self.stage.state:
            envelopes = self.states.load(sorted({self._shard(item) for item in delivered}))
            read, delivered = delivered, []
            for item in read:
                fresh = self._fresh(item, envelopes, outcome.counts)
                if fresh is not None:
                    delivered.append(fresh)
            delivered = together(delivered)
        context = self._context({shard: envelope.state for shard, envelope in envelopes.items()})
        if delivered and self.stage.take:
            decided = self.stage.take(delivered, context)
            decided.dead.extend(outcome.dead)
            decided.counts += outcome.counts
            outcome = decided
        outcome.counts["messages"] += len(messages)
        outcome.counts["bytes_in"] += sum(len(message.value) for message in messages)
        outcome.counts["busy_us"] += round((time.perf_counter() - started) * 1e6)
        return self._commit(outcome, envelopes, ack, context)

    def _decode(self, partition: int, messages: Sequence[Stored]) -> tuple[list[Delivered], Outcome]:
        if self.topic is None:
            text = f"{self.stage.name} has no topic to take messages from"
            raise Undeclared(text)
        delivered: list[Delivered] = []
        outcome = Outcome()
        for message in messages:
            try:
                record = self.lately.decode(self.topic, message)
            except DecodeError as error:
                outcome.dead.append(self._dead(partition, message, str(error)))
                outcome.counts["dead"] += 1
            else:
                origin = Origin(self.stage.name, self.topic.name, partition, message.offset)
                delivered.append(Delivered(origin, record))
        return delivered, outcome

    def _dead(self, partition: int, message: Stored, reason: str) -> DeadLetter:
        where, head = (self._name, partition, message.offset), message.headers
        received = head.get("received", "")
        return DeadLetter(
            text_id(self.stage.name, *where), self.stage.name, reason, message.value, self.clock(), *where,
            tenant=head.get("tenant", "default"), device=head.get("device", ""),
            received=int(received) if received.isdecimal() and len(received) < 16 else 0,
        )  # fmt: skip

    def _shard(self, item: Delivered) -> int:
        if self.stage.state == "one":
            return 0
        if isinstance(item.record, Pack):
            return item.record.shard
        return shard_of(item.record.tenant, item.record.device, self.shards)

    def _fresh(self, item: Delivered, envelopes: dict[int, Envelope], counts: Counter[str]) -> Delivered | None:
        """What is left of a message when everything taken before is skipped; takes note of it.

        What ingest, which has no state, has accepted again counts as deduplicated.
        """
        taken = envelopes[self._shard(item)].taken
        record, here = item.record, msgspec.structs.replace(item.origin, stage="")
        if isinstance(record, Pack):
            made_from: Sequence[Origin] = record.origins
        else:
            made_from = () if isinstance(record, RawMessage) or record.origin is None else (record.origin,)
        places = [(origin.source, origin.place) for origin in (here, *made_from)]
        old = [place <= taken.get(source, NEVER) for source, place in places]
        if old[0]:
            return None
        if isinstance(record, Pack):
            left = record.without(taken) if any(old) else record
            if any(origin.topic == DEVICE_TELEMETRY.name for origin in record.origins):
                counts["deduplicated"] += len(record) - len(left)
            record = left.from_origin(item.origin)
        for source, place in places:
            if place > taken.get(source, NEVER):
                taken[source] = place
        return None if made_from and all(old[1:]) else Delivered(item.origin, record)

    def _context(self, states: dict[int, Any]) -> Context:
        now = self.clock()
        self.published.refresh(now)
        return Context(self.stage, self.ports, self.published, states, now, self.shards)

    def _commit(
        self,
        outcome: Outcome,
        changed: dict[int, Envelope],
        ack: Callable[[], None],
        context: Context | None = None,
    ) -> Counter[str]:
        if context:
            outcome.counts += context.used
        outcome.counts["invocations"] += 1
        with self.ports.transaction():
            for blob in outcome.blobs:
                self.ports.blobs.put(blob.key, blob.data)
            self._put_all(outcome.puts)
            outcome.counts["bytes_out"] += self._emit_all(outcome.emits)
            if outcome.dead:
                messages = [Message(0, msgspec.json.encode(letter)) for letter in outcome.dead]
                self.ports.stream.append(DEAD_LETTER.name, messages)
            self.states.save(changed)
            self._meter(outcome.counts)
            self._put_all(outcome.notes)
            ack()
        if outcome.sends and context:
            self._send(outcome, context)
        if outcome.expired:
            self.ports.blobs.delete(outcome.expired)
        self.tell(outcome)
        return outcome.counts

    def _meter(self, amounts: Counter[str]) -> None:
        day = datetime.fromtimestamp(self.clock() / 1000, UTC).date().isoformat()
        self.ports.meter.add(day, self.stage.name, amounts)

    def _put_all(self, puts: Sequence[Put]) -> None:
        """In their order; those of a table that follow each other and hold whatever was there, together."""
        for (table, together_), some in itertools.groupby(puts, lambda put: (put.table, put.expect is ANYWAY)):
            if table not in self.stage.writes:
                message = f"{self.stage.name} writes table {table.name!r}, which its row does not declare"
                raise Undeclared(message)
            rows = [(Key(put.partition, put.sort), msgspec.json.encode(put.record), put.expect) for put in some]
            if together_ and len(rows) > 1:
                self.ports.tables.put_many(table.name, {key: value for key, value, _ in rows})
                continue
            for row in rows:
                self.ports.tables.put(table.name, *row)

    def _emit_all(self, emits: Sequence[Emit]) -> int:
        """Append what is emitted, topic by topic; what is made from messages in their order, however they were cut."""
        by_topic: dict[Topic, list[Message]] = defaultdict(list)
        ordinal: Counter[tuple[str, Origin]] = Counter()
        for emit in sorted(emits, key=_order):
            if emit.topic not in self.stage.emits:
                message = f"{self.stage.name} emits to {emit.topic.name!r}, which its row does not declare"
                raise Undeclared(message)
            record = emit.record
            if emit.origin is not None and not isinstance(record, Pack):
                origin = msgspec.structs.replace(emit.origin, index=ordinal[emit.topic.name, emit.origin])
                ordinal[emit.topic.name, emit.origin] += 1
                record = msgspec.structs.replace(record, origin=origin)
            value = encode(record)
            self.lately.keep(value, record)
            by_topic[emit.topic].append(Message(emit.shard if emit.topic.sharded else 0, value))
        for topic, messages in by_topic.items():
            self.ports.stream.append(topic.name, messages)
        return sum(len(message.value) for messages in by_topic.values() for message in messages)

    def _send(self, outcome: Outcome, context: Context) -> None:
        for delivery in outcome.sends:
            followup = context.deliver(delivery)
            with self.ports.transaction():
                self._put_all([followup])


def _readings_in(topic: Topic | None, message: Stored) -> int:
    """How many readings are lost with a message; what cannot be read is one."""
    try:
        record = decode(topic, message) if topic else None
    except DecodeError:
        return 1
    return len(record) if isinstance(record, Pack) else 1


def _order(emit: Emit) -> tuple[int, str]:
    """By the message it was made from; what was made from none comes last.

    Within a message by whose it is: the edges of one episode stay in the order in which they were said.
    """
    record = emit.record
    if emit.origin is None or isinstance(record, Pack):
        return (2**63, "")
    return (emit.origin.offset, f"{record.tenant}/{record.device}/{record.detector}")
