"""Who may ask, and how often: API keys, and a token bucket per client."""

import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from watchkeeper_api.backend import Client, Limits, key_digest
from watchkeeper_api.refusals import RefusedError

NO_KEYS = Client("local")


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


class TokenBuckets:
    """A bucket per client: `burst` tokens at first, `requests_per_second` more each second, one taken a request.

    For one thread: the application's event loop. `clock` is in seconds and never goes back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = limits.requests_per_second
        self._burst = max(limits.burst, 1)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: Client) -> None:
        """Take a token. Refused (429): there is none; `Retry-After` says when there will be."""
        if self._rate <= 0:
            return
        now = self._clock()
        tokens, since = self._buckets.get(client.name, (float(self._burst), now))
        tokens = min(tokens + (now - since) * self._rate, self._burst)
        if tokens < 1:
            message = f"more than {self._rate:g} requests a second; slow down, or send readings in company"
            wait_s = (1 - tokens) / self._rate
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, message, retry_after_s=wait_s)
        self._buckets[client.name] = (tokens - 1, now)


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False
