"""New and changed alerts to who listens by WebSocket: quickly or not at all, since dashboards can always ask.

A message is `{"type": "alert", "alert": …}`, the alert as `GET /api/alerts` gives it; one that is too large is
`{"type": "alert", "id": …, "ask": "/api/alerts"}`.
"""

from __future__ import annotations

import abc
import functools
import logging
import threading
import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from watchkeeper.alerting.entry import AlertEntry, acknowledged
from watchkeeper.errors import DecodeError, Refused, Unavailable
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert
from watchkeeper.topology import ACKNOWLEDGEMENTS
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from watchkeeper.ports import Tables

log = logging.getLogger(__name__)
MOST_POSTS = 500  # for one batch
LONGEST_S = 2.0
THREAD = "pushes"
T = TypeVar("T")
LARGEST_FRAME = 120_000  # bytes; of the clouds' services the smallest takes 128 KB


class Post(NamedTuple):
    """A message, and to whom: a connection or a group, as the cloud's service has it."""

    to: str
    frame: bytes


class BoundedPushes(abc.ABC):
    """Tells who listens, for `longest_s` seconds of `now` and with `most` posts at most.

    Each request has what is left of that time: then nobody waits for it any more. What a cloud adds should try once and
    wait briefly, since until it gives up a thread is left behind.
    """

    def __init__(
        self,
        *,
        most: int = MOST_POSTS,
        longest_s: float = LONGEST_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet."""
        self._most, self._longest_s, self._now = most, longest_s, now

    @abc.abstractmethod
    def posts(self, alerts: Sequence[Alert]) -> Iterable[Post]:
        """What is to be sent, and to whom. Unavailable, Refused, DecodeError: that cannot be told now."""

    @abc.abstractmethod
    def post(self, post: Post) -> bool:
        """Send it; False: nobody listens there any more. Unavailable, Refused: it failed."""

    def tell(self, alerts: Sequence[Alert]) -> Counter[str]:
        """Send each alert to the listeners of its tenant; never raises for the cloud's sake.

        Answers `batch_pushes`, `batch_push_failures` and `batch_pushes_left_out` (over the number or the time).
        """
        until = self._now() + self._longest_s
        counts: Counter[str] = Counter()
        try:
            posts = self._within(until, lambda: list(self.posts(alerts)))
        except (Unavailable, Refused, DecodeError, msgspec.MsgspecError) as error:
            log.warning("nobody is told by WebSocket: %s", error)
            return Counter(batch_push_failures=1)
        gone: set[str] = set()
        for number, post in enumerate(posts):
            if number >= self._most or self._now() >= until:
                counts["batch_pushes_left_out"] += len(posts) - number
                log.warning("%d pushes by WebSocket are left out", len(posts) - number)
                break
            if post.to in gone:
                continue
            try:
                if self._within(until, functools.partial(self.post, post)):
                    counts["batch_pushes"] += 1
                else:
                    gone.add(post.to)
            except (Unavailable, Refused) as error:
                counts["batch_push_failures"] += 1
                log.warning("listeners were not told: %s", error)
        return counts

    def _within(self, until: float, act: Callable[[], T]) -> T:
        """What it answers. Unavailable: not in time."""
        answer: Future[T] = Future()
        threading.Thread(target=_answer, args=(answer, act), name=THREAD, daemon=True).start()
        try:
            return answer.result(max(0.0, until - self._now()))
        except TimeoutError:
            raise Unavailable("no answer in what is left of the time") from None


def _answer(answer: Future[T], act: Callable[[], T]) -> None:
    try:
        answer.set_result(act())
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it
        answer.set_exception(error)


def framed(tables: Tables, alerts: Iterable[Alert]) -> Iterator[tuple[Alert, bytes]]:
    """Each alert, the newest of those with one id, and the message about it, with who has seen it."""
    wanted = {Key(alert.tenant, alert.id): alert for alert in alerts}
    seen = tables.get_many(ACKNOWLEDGEMENTS.name, list(wanted))
    for key, alert in wanted.items():
        row = seen.get(key)
        yield alert, _frame(alert, read_record(row.value, Acknowledgement) if row else None)


def _frame(alert: Alert, seen: Acknowledgement | None) -> bytes:
    entry = acknowledged(read_record(msgspec.json.encode(alert), AlertEntry), seen)
    frame = msgspec.json.encode({"type": "alert", "alert": entry})
    if len(frame) <= LARGEST_FRAME:
        return frame
    return msgspec.json.encode({"type": "alert", "id": alert.id, "ask": "/api/alerts"})
