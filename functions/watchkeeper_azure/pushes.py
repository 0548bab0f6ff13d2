"""Alerts to who listens by Web PubSub: a message to the group of the alert's tenant, which the service hands on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from watchkeeper_adapters.cloud.pushes import LONGEST_S, MOST_POSTS, BoundedPushes, Post, framed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.ports import Tables
    from watchkeeper.records import Alert
    from watchkeeper_azure.web_pubsub import WebPubSub


class Pushes(BoundedPushes):
    """Tells the groups of `service`; who is in them, and whether anybody is, it alone knows."""

    def __init__(
        self, tables: Tables, service: WebPubSub, *, most: int = MOST_POSTS, longest_s: float = LONGEST_S
    ) -> None:
        """Nothing is asked yet."""
        super().__init__(most=most, longest_s=longest_s)
        self._tables, self._service = tables, service

    def posts(self, alerts: Sequence[Alert]) -> Iterator[Post]:
        """One for each alert, however many listen."""
        return (Post(group_of(alert.tenant), frame) for alert, frame in framed(self._tables, alerts))

    def post(self, post: Post) -> bool:
        """To a group; one that nobody is in takes it, too."""
        self._service.send(post.to, post.frame)
        return True


def group_of(tenant: str) -> str:
    """The group of those who listen for a tenant: a path takes no name with a slash, and a tenant may have any."""
    return f"tenant-{hashlib.sha256(tenant.encode()).hexdigest()}"
