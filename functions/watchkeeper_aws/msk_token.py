"""Tokens by which MSK lets IAM identities in: a signed request, as AWS's own signers for Kafka clients make it.

Format: https://github.com/aws/aws-msk-iam-auth ("Details"): the query-signed URL of `kafka-cluster:Connect`, with
`User-Agent` added after signing, in URL-safe base64 without padding.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

from watchkeeper.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

LASTS_S = 900


def msk_token(region: str, session: Session | None = None) -> Callable[[], tuple[str, float]]:
    """Who makes tokens for the identity of this process: each with the epoch seconds at which it expires."""
    held = session or Session()

    def token() -> tuple[str, float]:
        credentials = held.get_credentials()
        if credentials is None:
            raise Unavailable("MSK: there are no AWS credentials to sign a token with")
        url = f"https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect"
        request = AWSRequest("GET", url)
        SigV4QueryAuth(credentials.get_frozen_credentials(), "kafka-cluster", region, expires=LASTS_S).add_auth(request)
        signed = f"{request.url}&User-Agent=watchkeeper"
        return base64.urlsafe_b64encode(signed.encode()).rstrip(b"=").decode(), time.time() + LASTS_S

    return token
