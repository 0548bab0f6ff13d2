"""The one ASGI application, behind API Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper_api.app import create_app
from watchkeeper_api.backend import Backend
from watchkeeper_api.doorman import Doorman
from watchkeeper_aws.gateway import Gateway

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container


def open_gateway(container: Container) -> Gateway:
    """The application over this container's ports. A request's readings are durable before it is answered."""
    doorman = Doorman()
    backend = Backend(
        container.ports,
        container.published,
        container.shards,
        container.clock,
        doorman.keys,
        group_commit=False,
    )
    return Gateway(create_app(backend), doorman)
