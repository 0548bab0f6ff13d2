"""Group commit: requests that wait for the same topic are made durable together, by one transaction.

A transaction costs a flush to the disk or a round trip, whatever it holds. While one is under way the requests that
come in wait; all of them make up the next one. When several came together, the next ones are waited for a moment:
readings in great packs cost every stage a fraction of what they cost in small ones. A client that is alone never waits.
"""

import dataclasses
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt
from watchkeeper.topology import Topic

Commit = Callable[[Topic, Sequence[RawMessage]], list[Receipt]]


class GateFullError(Exception):
    """As many requests wait as may wait; later there will be room."""


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """How many requests, and bytes of bodies, may wait, and how many go into one transaction (at least one goes).

    `linger_s` is how long others are waited for where there are others.
    """

    waiting_requests: int = 2_000
    waiting_bytes: int = 64_000_000
    group_requests: int = 500
    group_bytes: int = 4_000_000
    linger_s: float = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class _Waiting:
    topic: Topic
    message: RawMessage
    receipt: Future[Receipt]


class Gate:
    """One thread, started by the first request, that commits what waits, topic by topic, in the order of arrival."""

    def __init__(self, commit: Commit, room: Room | None = None) -> None:
        self._commit = commit
        self._room = room or Room()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._in_company = False  # were there several requests in the last group?
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, topic: Topic, message: RawMessage) -> Future[Receipt]:
        """What will have become of the body once it is durable. GateFullError: too many wait; Unavailable: closed."""
        with self._changed:
            if self._closed:
                raise Unavailable("the application is stopping")
            size = self._bytes + len(message.body)
            if len(self._queue) >= self._room.waiting_requests or (self._queue and size > self._room.waiting_bytes):
                raise GateFullError
            waiting = _Waiting(topic, message, Future())
            self._queue.append(waiting)
            self._bytes = size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ingest-gate", daemon=True)
                self._thread.start()
            self._changed.notify()
        return waiting.receipt

    def close(self) -> None:
        """Take no more, commit what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            # A request whose client has gone, and which nobody has begun to commit, need not be.
            self._serve([waiting for waiting in group if waiting.receipt.set_running_or_notify_cancel()])

    def _next_group(self) -> list[_Waiting]:
        """The oldest request and those after it for the same topic; empty when closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._in_company:
                self._changed.wait_for(self._enough, self._room.linger_s)
            if not self._queue:
                return []
            topic = self._queue[0].topic
            same = [waiting for waiting in self._queue if waiting.topic == topic][: self._room.group_requests]
            sizes = list(itertools.accumulate(len(waiting.message.body) for waiting in same))
            count = max(1, sum(size <= self._room.group_bytes for size in sizes))
            self._bytes -= sizes[count - 1]
            taken = set(map(id, same[:count]))
            self._queue = deque(waiting for waiting in self._queue if id(waiting) not in taken)
            self._in_company = count > 1
            return same[:count]

    def _enough(self) -> bool:
        room = self._room
        return self._closed or len(self._queue) >= room.group_requests or self._bytes >= room.group_bytes

    def _serve(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            receipts = self._commit(group[0].topic, [waiting.message for waiting in group])
        except (Unavailable, Conflict) as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, each waiting client is told
            if len(group) == 1:
                _fail(group, error)
                return
            # One body may have broken what all were in; its neighbours are not to suffer.
            half = len(group) // 2
            self._serve(group[:half])
            self._serve(group[half:])
        else:
            for waiting, receipt in zip(group, receipts, strict=True):
                waiting.receipt.set_result(receipt)


def _fail(group: list[_Waiting], error: Exception) -> None:
    for waiting in group:
        waiting.receipt.set_exception(error)
