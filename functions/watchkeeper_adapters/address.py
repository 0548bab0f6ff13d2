"""Addresses of services outside, which may carry secrets: what of them may be shown, and what must never be."""

from __future__ import annotations

import itertools
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from watchkeeper.errors import ConfigError

_SHORTEST_SECRET = 4
_HIDDEN = "…"


class Address(msgspec.Struct, frozen=True):
    """An http or https URL. `shown` is its scheme, host and port; `hidden` is what else it holds, the longest first."""

    url: str
    shown: str
    host: str
    is_local: bool
    hidden: tuple[str, ...]

    def redacted(self, text: str) -> str:
        """`text` without anything that only who knows the whole URL can know."""
        for secret in self.hidden:
            text = text.replace(secret, _HIDDEN)
        return text


def address_of(url: str, setting: str) -> Address:
    """Take a URL apart. ConfigError, which names the setting and never the URL: it is none, or not http(s)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{setting}: its host or port cannot be read; write https://host[:port]/path") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ConfigError(f"{setting}: not an address; write https://host[:port]/path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    values = itertools.chain.from_iterable(parse_qsl(parts.query, keep_blank_values=True))
    pieces = {parts.username or "", parts.password or "", parts.path, parts.query, parts.fragment, *values}
    pieces |= {piece for path in (parts.path, unquote(parts.path)) for piece in path.split("/")}
    pieces |= {unquote(piece) for piece in pieces}
    return Address(
        url=url,
        shown=f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"),
        host=parts.hostname,
        is_local=parts.hostname in {"localhost", "127.0.0.1", "::1"},
        hidden=tuple(sorted((piece for piece in pieces if len(piece) >= _SHORTEST_SECRET), key=len, reverse=True)),
    )
