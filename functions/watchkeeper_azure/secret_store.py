"""Secrets of Azure Key Vault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from watchkeeper_adapters.kept_secrets import KEPT_S, KeptSecrets
from watchkeeper_azure.failures import waiting_for

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient


class SecretStore(KeptSecrets):
    """Reads the latest versions of secrets by name."""

    def __init__(
        self, vault: SecretClient, *, kept_s: float = KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        def read(name: str) -> str:
            with waiting_for(f"secret {name}"):
                return vault.get_secret(name).value or ""

        super().__init__(read, kept_s=kept_s, clock=clock)
