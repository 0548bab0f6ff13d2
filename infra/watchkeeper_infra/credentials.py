"""Who runs `pulumi up`, for the few things on Azure that Pulumi has no resource for: a token, and requests with it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

REFUSED, PATIENCE_S = 403, 600.0
"""A right that was given just now may take Azure ten minutes to know of."""
PAUSE_S = 10.0
TIMEOUT_S = 300.0


class Answer(NamedTuple):
    """What a service has answered; `body` is empty for HEAD."""

    status: int
    headers: Message
    body: bytes


def token_for(resource: str) -> str:
    """A token of whoever is logged in (`az login`, or a service principal by its environment variables)."""
    from azure.identity import DefaultAzureCredential

    return str(DefaultAzureCredential().get_token(f"{resource}/.default").token)


def ask(
    method: str,
    address: str,
    token: Callable[[], str],
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    taken: tuple[int, ...] = (200, 201, 202, 204),
) -> Answer:
    """Ask a service; what is refused for want of a right is asked again until Azure knows of the right.

    RuntimeError: any other answer than those `taken`, with what the service says.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        request = urllib.request.Request(address, body, method=method)  # noqa: S310 - an address of our own resource
        request.add_header("Authorization", f"Bearer {token()}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
                answer = Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            answer = Answer(error.code, error.headers, error.read())
        if answer.status in taken:
            return answer
        if answer.status != REFUSED or time.monotonic() > until:
            said = answer.body[:500].decode("utf-8", "replace")
            message = f"{method} {address.partition('?')[0]}: {answer.status} {said}"
            raise RuntimeError(message)
        time.sleep(PAUSE_S)
