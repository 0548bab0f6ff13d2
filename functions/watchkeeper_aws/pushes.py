"""Alerts to who listens by API Gateway's WebSockets: each connection is posted to; one that has gone is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.ports import Key
from watchkeeper_adapters.cloud.pushes import LONGEST_S, MOST_POSTS, BoundedPushes, Post, framed
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.sockets import PARTITION, Listener, post

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.records import Alert
    from watchkeeper_aws.tables import DynamoTables

LISTENERS = 1000  # that are looked at


class Pushes(BoundedPushes):
    """Tells who is connected to the API of `gateway`, a client of its Management API. `tables` is where they are kept.

    Both should try once and wait briefly.
    """

    def __init__(
        self,
        tables: DynamoTables,
        gateway: Any,  # noqa: ANN401 - boto3 has no types
        *,
        most: int = MOST_POSTS,
        longest_s: float = LONGEST_S,
    ) -> None:
        """Nothing is asked yet."""
        super().__init__(most=most, longest_s=longest_s)
        self._tables, self._gateway = tables, gateway

    def posts(self, alerts: Sequence[Alert]) -> Iterator[Post]:
        """By the newest knowledge of who listens."""
        rows = self._tables.query(CONNECTIONS, PARTITION, limit=LISTENERS)
        listeners = [(row.key.sort, msgspec.json.decode(row.value, type=Listener)) for row in rows]
        tenants = {who.tenant for _, who in listeners}
        for alert, frame in framed(self._tables, (alert for alert in alerts if alert.tenant in tenants)):
            for connection, who in listeners:
                if who.tenant == alert.tenant:
                    yield Post(connection, frame)

    def post(self, post_: Post) -> bool:
        """To one connection."""
        if post(self._gateway, post_.to, post_.frame):
            return True
        self._tables.delete(CONNECTIONS, Key(PARTITION, post_.to))
        return False
