"""Whom TLS trusts, read once in a process: the functions of httpx would read it for each request, in 20 ms and more."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@functools.cache
def authorities() -> ssl.SSLContext:
    """The certificates that httpx trusts by itself, or those that `SSL_CERT_FILE` names. Callers do not change them."""
    import httpx

    return httpx.create_ssl_context()
