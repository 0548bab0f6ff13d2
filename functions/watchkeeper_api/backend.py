"""What a runtime gives the application to work on, and nothing that belongs to one runtime only."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping

from watchkeeper.ports import Ports
from watchkeeper.published import Published
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_api.schemas import Invitation


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who asks: a name for the rate limit, and the tenant all of its readings and answers belong to."""

    name: str
    tenant: str = DEFAULT_TENANT


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for. `requests_per_second` 0 switches the rate limit off.

    `max_body_bytes` is for bodies that are held as a whole, `max_upload_bytes` for those that are read in slices.
    """

    max_body_bytes: int = 10_000_000
    max_upload_bytes: int = 100_000_000_000
    requests_per_second: float = 1_000.0
    burst: int = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """What the application works on.

    `ports` are called from several threads at once. `clock` is epoch ms. `api_keys` holds clients by `key_digest` of
    their key; where it is empty nobody is asked for one, and only requests from this machine are served.
    `pipeline_status` is what only the runtime knows: `lag` (messages waiting, by stage) and `workers` (how many run)
    become gauges too, anything else is shown as it is.
    `group_commit` lets one durable transaction serve all requests that wait, from a thread of its own; without it each
    request has its own transaction and no thread outlives a request, as functions without a server need it.
    `refusals` counts, since this process began, the requests that were refused because too many came (`throttled`).
    `invite` lets a client listen by WebSocket, where the runtime has a service for that.
    `bulk_waits` says that the pipeline has enough to do: uploads are read on when it has less.
    """

    ports: Ports
    published: Published
    shards: int
    clock: Callable[[], int]
    api_keys: Mapping[str, Client] = dataclasses.field(default_factory=dict)
    limits: Limits = dataclasses.field(default_factory=Limits)
    pipeline_status: Callable[[], Mapping[str, object]] = dict
    group_commit: bool = True
    refusals: Counter[str] = dataclasses.field(default_factory=Counter)
    bulk_waits: Callable[[], bool] = lambda: False
    invite: Callable[[Client], Invitation] | None = None


def key_digest(key: str) -> str:
    """What is kept of an API key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()
