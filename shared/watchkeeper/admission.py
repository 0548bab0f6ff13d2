"""The way in for what has no message of its own: bodies of requests, and files and objects, piece by piece."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import TYPE_CHECKING

from watchkeeper.errors import Conflict, DecodeError
from watchkeeper.intake.objects import kind_of
from watchkeeper.outcome import Outcome, RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.run import CONFLICT_TRIES, Runner
from watchkeeper.stages.ingest import Receipt, Rejection, admit
from watchkeeper.topology import BATCH_DATA_INGESTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from watchkeeper.context import Context
    from watchkeeper.intake.slices import Slice
    from watchkeeper.ports import Ports
    from watchkeeper.published import Published
    from watchkeeper.topology import Topic

LISTED_REJECTIONS = 1_000
HOPELESS = 1_000  # records, all of them rejected, after which no more is read


class Admission:
    """Bodies through the stage `ingest`; what it has answered is durable."""

    def __init__(self, ports: Ports, published: Published, shards: int, clock: Callable[[], int]) -> None:
        """See `run.Runner`; called from one thread at a time."""
        self._runner = Runner(STAGES["ingest"], None, ports, published, shards=shards, clock=clock)
        self.clock = clock

    def commit(self, topic: Topic, messages: Sequence[RawMessage]) -> list[Receipt]:
        """What became of each body. Unavailable, Conflict: nothing is known to be durable."""
        receipts: list[Receipt] = []

        def decide(context: Context) -> Outcome:
            started = time.perf_counter()
            outcome, receipts[:] = admit(messages, topic, context)
            outcome.counts["messages"] += len(messages)
            outcome.counts["bytes_in"] += sum(len(message.body) for message in messages)
            outcome.counts["busy_us"] += round((time.perf_counter() - started) * 1e6)
            return outcome

        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                self._runner.request(decide)
                break
            except Conflict:  # another process has taken the same request: what it has noted is read anew
                if not tries_left:
                    raise
        return receipts


@dataclasses.dataclass(slots=True)
class Taken:
    """What became of a stream of slices so far: counts, and the first of the rejected, by their place in the whole."""

    accepted: int = 0
    rejected_count: int = 0
    shed: int = 0
    rejected: list[Rejection] = dataclasses.field(default_factory=list)

    def add(self, receipt: Receipt) -> None:
        """The next slice. DecodeError: its first row is wrong, or there have been only bad records for too long."""
        if receipt.error:
            raise DecodeError(receipt.error)
        before = self.accepted + self.rejected_count
        room = LISTED_REJECTIONS - len(self.rejected)
        self.rejected += [Rejection(before + item.index, item.reason) for item in receipt.rejected[:room]]
        self.accepted += receipt.accepted
        self.rejected_count += len(receipt.rejected)
        self.shed += receipt.shed
        if not self.accepted + self.shed and self.rejected_count >= HOPELESS:
            message = f"none of the first {self.rejected_count} records could be taken: {self.rejected[0].reason}"
            raise DecodeError(message)


def take_object(
    admission: Admission,
    key: str,
    chunks: Iterable[bytes],
    taken: Taken,
    *,
    tenant: str = DEFAULT_TENANT,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Take a file or object by its key, chunk by chunk, each slice durable before the next; `taken` counts.

    A slice that was taken before, of the same key and with the same content, is not taken again: so it may be begun
    anew at any time. `between` is called before each slice, to wait or to raise. DecodeError: the key's ending is not
    known, or what comes is not what it says; Unavailable: storage is away. What had been taken stays.
    """
    kind = kind_of(key)
    if kind is None:
        message = f"{key}: nothing is known of its ending"
        raise DecodeError(message)
    slices = kind.slices()

    def pieces() -> Iterable[RawMessage]:
        for chunk in chunks:
            yield from map(message_of, slices.feed(chunk))
        yield from map(message_of, slices.end())

    def message_of(piece: Slice) -> RawMessage:
        digest = hashlib.blake2b(piece.body, digest_size=16).hexdigest()
        return RawMessage(
            piece.body,
            admission.clock(),
            tenant,
            format=piece.form,
            request=f"object\0{key}\0{piece.number}\0{digest}",
            unnamed=kind.device,
            once=True,
        )

    for body in pieces():
        between()
        taken.add(admission.commit(BATCH_DATA_INGESTION, [body])[0])
