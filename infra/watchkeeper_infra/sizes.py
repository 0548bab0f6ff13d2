"""How large the apps on Azure are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper_infra.functions import BundleName

MEMORY_MB: Mapping[BundleName, int] = {"stream": 2048, "explain": 2048, "web": 2048, "train": 4096}
"""Memory of an instance by the kind of function; Flex Consumption knows 512, 2048 and 4096."""
