"""Clients of AWS, and what their failures are to the pipeline."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from watchkeeper.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# What no later try can mend: the request itself is wrong. All else is waited for, wrong permissions included, which a
# person mends: a reading must not be given up for them.
HOPELESS = frozenset(
    {
        "EntityRefused",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValue",
        "InvalidRequestException",
        "ItemCollectionSizeLimitExceededException",
        "KeyTooLongError",
        "SerializationException",
        "ValidationException",
    }
)
CONNECT_S, READ_S, TRIES = 2.0, 5.0, 4


def client(service: str, *, region: str, endpoint: str = "", tries: int = TRIES, wait_s: float = 0.0) -> Any:  # noqa: ANN401 - boto3 has no types
    """A client of a service. `endpoint`: where it is not AWS itself.

    Each of the `tries` has `CONNECT_S` and `READ_S` seconds, with growing pauses in between;
    with `wait_s` so many for either.
    """
    config = Config(
        connect_timeout=wait_s or CONNECT_S,
        read_timeout=wait_s or READ_S,
        retries={"mode": "standard", "total_max_attempts": tries},
        max_pool_connections=32,
        tcp_keepalive=True,
        s3={"addressing_style": "path"} if endpoint else {},
    )
    return boto3.client(service, region_name=region, endpoint_url=endpoint or None, config=config)


@contextlib.contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """What AWS refuses inside becomes one of our errors: Unavailable, or Refused where trying again is of no use."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        text = f"{what}: {said.get('Code', '?')}: {said.get('Message', error)}"
        if code_of(error) in HOPELESS:
            raise Refused(text) from error
        raise Unavailable(text) from error
    except BotoCoreError as error:
        raise Unavailable(f"{what}: {error}") from error


def code_of(error: ClientError) -> str:
    """AWS's name of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))
