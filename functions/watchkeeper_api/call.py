"""What every operation begins with: the client that calls, and the services that answer it."""

import dataclasses
import threading
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from watchkeeper.pipeline import STAGES
from watchkeeper.run import Runner
from watchkeeper_api.access import TokenBuckets, client_of
from watchkeeper_api.backend import Backend, Client
from watchkeeper_api.intake import Intake
from watchkeeper_api.refusals import RefusedError

_key_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")
_bearer = HTTPBearer(auto_error=False, description="An API key, as a bearer token.")


class Services:
    """What one application holds for as long as it lives."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.intake = Intake(backend)
        self.buckets = TokenBuckets(backend.limits)
        self.trials = threading.Lock()  # held by the trial that runs: there is one at a time
        self.commands = Runner(
            STAGES["api"], None, backend.ports, backend.published, shards=backend.shards, clock=backend.clock
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """An admitted request: whose it is, and what may answer it."""

    client: Client
    services: Services

    @property
    def tenant(self) -> str:
        """Whose readings and answers these are."""
        return self.client.tenant

    @property
    def backend(self) -> Backend:
        """What the application works on."""
        return self.services.backend


async def services(request: Request) -> Services:
    """The services of the application that got this request."""
    held: Services = request.app.state.services
    return held


async def admitted(
    request: Request,
    held: Annotated[Services, Depends(services)],
    key: Annotated[str | None, Security(_key_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Call:
    """The call of a known client that is within its rate. Refused (401, 429) otherwise."""
    given = key or (bearer.credentials if bearer else "")
    peer = request.client.host if request.client else None
    try:
        client = client_of(held.backend.api_keys, given, peer)
    except RefusedError:
        held.buckets.take(f"address {peer}")  # whoever tries keys is held to the same pace
        raise
    if rate := held.buckets.take(f"client {client.name}"):
        request.state.headers = rate.headers()
    return Call(client, held)


Admitted = Annotated[Call, Depends(admitted)]
AppServices = Annotated[Services, Depends(services)]
