"""The one ASGI application, behind the function that takes all requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper_adapters.cloud.tokens import Verifier
from watchkeeper_api.app import create_app
from watchkeeper_api.backend import Backend
from watchkeeper_api.doorman import Doorman
from watchkeeper_api.schemas import Invitation
from watchkeeper_azure.doors import Doors, Keys
from watchkeeper_azure.pushes import group_of
from watchkeeper_azure.web_pubsub import MINUTES, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper_api.backend import Client
    from watchkeeper_azure.container import Container


def open_application(container: Container) -> Doors:
    """The application over this container's ports. A request's readings are durable before it is answered."""
    doorman = Doorman()
    backend = Backend(
        container.ports,
        container.published,
        container.shards,
        container.clock,
        doorman.keys,
        group_commit=False,
        invite=_invites(container),
    )
    settings = container.settings
    verifier = Verifier(settings.issuer, settings.audience)
    return Doors(create_app(backend), doorman, Keys(container.ports.tables), verifier)


def _invites(container: Container) -> Callable[[Client], Invitation] | None:
    """To the group of the client's tenant, and nowhere else."""
    service = container.web_pubsub
    if service is None:
        return None
    return lambda who: Invitation(service.url_for(who.name, group_of(who.tenant)), PROTOCOL, MINUTES * 60)
