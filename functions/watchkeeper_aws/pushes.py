"""New and changed alerts to who listens by WebSocket: quickly or not at all, since dashboards can always ask.

A message is `{"type": "alert", "alert": …}`, the alert as `GET /api/alerts` gives it; one that is too large for a frame
is `{"type": "alert", "id": …, "ask": "/api/alerts"}`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.alerting.entry import AlertEntry, acknowledged
from watchkeeper.errors import DecodeError, Refused, Unavailable
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert
from watchkeeper.topology import ACKNOWLEDGEMENTS
from watchkeeper.wire import read_record
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.sockets import LARGEST_FRAME, PARTITION, Listener, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from watchkeeper_aws.tables import DynamoTables

log = logging.getLogger(__name__)
MOST_POSTS = 500  # for one batch
LONGEST_S = 2.0  # after which no more is begun
LISTENERS = 1000  # that are looked at


class Pushes:
    """Tells who is connected to the API of `gateway`, a client of its Management API. `tables` is where they are kept.

    Both should try once and wait briefly: nothing is begun after `longest_s` seconds of `now`, and what is under way
    then takes as long as they let it.
    """

    def __init__(
        self,
        tables: DynamoTables,
        gateway: Any,  # noqa: ANN401 - boto3 has no types
        *,
        most: int = MOST_POSTS,
        longest_s: float = LONGEST_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet."""
        self._tables, self._gateway = tables, gateway
        self._most, self._longest_s, self._now = most, longest_s, now

    def tell(self, alerts: Sequence[Alert]) -> Counter[str]:
        """Post each alert to the listeners of its tenant; never raises for AWS's sake.

        Answers `batch_pushes`, `batch_push_failures` and `batch_pushes_left_out` (over the number or the time).
        """
        until = self._now() + self._longest_s
        counts: Counter[str] = Counter()
        try:
            posts = list(self._posts(alerts))
        except (Unavailable, Refused, DecodeError, msgspec.MsgspecError) as error:
            log.warning("nobody is told by WebSocket: %s", error)
            return Counter(batch_push_failures=1)
        gone: set[str] = set()
        for number, (connection, frame) in enumerate(posts):
            if number >= self._most or self._now() >= until:
                counts["batch_pushes_left_out"] += len(posts) - number
                log.warning("%d pushes by WebSocket are left out", len(posts) - number)
                break
            if connection in gone:
                continue
            try:
                if post(self._gateway, connection, frame):
                    counts["batch_pushes"] += 1
                else:
                    gone.add(connection)
                    self._tables.delete(CONNECTIONS, Key(PARTITION, connection))
            except (Unavailable, Refused) as error:
                counts["batch_push_failures"] += 1
                log.warning("a listener was not told: %s", error)
        return counts

    def _posts(self, alerts: Sequence[Alert]) -> Iterator[tuple[str, bytes]]:
        """To which connection, and what; newest knowledge of who listens and who has seen the alerts."""
        rows = self._tables.query(CONNECTIONS, PARTITION, limit=LISTENERS)
        listeners = [(row.key.sort, msgspec.json.decode(row.value, type=Listener)) for row in rows]
        tenants = {who.tenant for _, who in listeners}
        wanted = {Key(alert.tenant, alert.id): alert for alert in alerts if alert.tenant in tenants}
        seen = self._tables.get_many(ACKNOWLEDGEMENTS.name, list(wanted))
        for key, alert in wanted.items():
            row = seen.get(key)
            frame = _frame(alert, read_record(row.value, Acknowledgement) if row else None)
            for connection, who in listeners:
                if who.tenant == alert.tenant:
                    yield connection, frame


def _frame(alert: Alert, seen: Acknowledgement | None) -> bytes:
    entry = acknowledged(read_record(msgspec.json.encode(alert), AlertEntry), seen)
    frame = msgspec.json.encode({"type": "alert", "alert": entry})
    if len(frame) <= LARGEST_FRAME:
        return frame
    return msgspec.json.encode({"type": "alert", "id": alert.id, "ask": "/api/alerts"})
