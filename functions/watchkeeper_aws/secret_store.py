"""Secrets of AWS Secrets Manager."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from watchkeeper_adapters.kept_secrets import KEPT_S, KeptSecrets
from watchkeeper_aws.services import waiting_for


class SecretStore(KeptSecrets):
    """Reads secrets by name or ARN."""

    def __init__(
        self,
        secretsmanager: Any,  # noqa: ANN401 - boto3 has no types
        *,
        kept_s: float = KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def read(name: str) -> str:
            with waiting_for(f"secret {name}"):
                return str(secretsmanager.get_secret_value(SecretId=name).get("SecretString", ""))

        super().__init__(read, kept_s=kept_s, clock=clock)
