"""Addresses to send to, taken apart."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from watchkeeper.errors import ConfigError


class Endpoint(msgspec.Struct, frozen=True):
    """A URL taken apart; `shown` is the URL without its password, for messages."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None
    shown: str

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, so that no proxy may come in between."""
        return self.host in {"localhost", "127.0.0.1", "::1"}


PORTS = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883}


def parse_endpoint(url: str, schemes: Iterable[str] = PORTS) -> Endpoint:
    """`scheme://[user:password@]host[:port]`, percent-decoded; ConfigError if it is none or of another scheme."""
    allowed = ", ".join(f"{scheme}://host[:port]" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r}: {error}; write {allowed}") from error
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"{url!r} is not an address to send to; write {allowed}")
    place = parts.netloc.rpartition("@")[2]
    return Endpoint(
        scheme=parts.scheme,
        host=parts.hostname,
        port=PORTS[parts.scheme] if port is None else port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        shown=urlunsplit((parts.scheme, place, parts.path, "", "")).rstrip("/"),
    )
