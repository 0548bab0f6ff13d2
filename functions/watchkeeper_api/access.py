"""Who may ask, and how often: API keys, and a token bucket per client."""

import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from watchkeeper_api.backend import Client, Limits, key_digest
from watchkeeper_api.refusals import RefusedError

NO_KEYS = Client("local")
MOST_BUCKETS = 10_000


def client_of(api_keys: Mapping[str, Client], key: str, peer: str | None) -> Client:
    """The client whose key this is. Refused (401): none has it, or no keys are set and the peer is another machine.

    The time it takes says nothing about the keys: digests are compared, each in constant time, and always all of them.
    """
    if not api_keys:
        if peer is None or _is_loopback(peer):
            return NO_KEYS
        message = "without API keys only this machine is served; set a key to serve others"
        raise RefusedError(HTTPStatus.UNAUTHORIZED, message)
    digest = key_digest(key)
    found = [client for known, client in api_keys.items() if hmac.compare_digest(known.lower(), digest)]
    if not key or not found:
        message = "an API key is needed, as header X-API-Key or Authorization: Bearer"
        message = message if not key else "this API key is not known"
        raise RefusedError(HTTPStatus.UNAUTHORIZED, message, where="header.X-API-Key", challenge="Bearer")
    return found[0]


class Rate(NamedTuple):
    """How a client stands after a request: tokens its bucket holds at most and now, and seconds until it is full."""

    limit: int
    remaining: int
    full_in_s: float

    def headers(self) -> dict[str, str]:
        """As headers, whole numbers."""
        reset = str(math.ceil(self.full_in_s))
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": reset,
        }


class TokenBuckets:
    """A bucket per client: `burst` tokens at first, `requests_per_second` more each second, one taken a request.

    For one thread: the application's event loop. `clock` is in seconds and never goes back. Of more than MOST_BUCKETS
    clients those that have been quiet longest are forgotten: a bucket nobody has taken from is a full one.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = limits.requests_per_second
        self._burst = max(limits.burst, 1)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> Rate | None:
        """Take a token. Refused (429): there is none; `Retry-After` says when there will be. None: nothing is limited.

        Clients are told apart by their names; who has no key that is known, by the address it comes from.
        """
        if self._rate <= 0:
            return None
        now = self._clock()
        tokens, since = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(tokens + (now - since) * self._rate, self._burst)
        left = tokens - 1 if tokens >= 1 else tokens
        self._buckets[client] = (left, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        rate = Rate(self._burst, int(left), (self._burst - left) / self._rate)
        if tokens < 1:
            message = f"more than {self._rate:g} requests a second; slow down, or send readings in company"
            wait_s = (1 - tokens) / self._rate
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, message, retry_after_s=wait_s, headers=rate.headers())
        return rate


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
