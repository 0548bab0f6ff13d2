"""Price books: US dollars for one unit of what the meter counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class PriceBook(msgspec.Struct, frozen=True):
    """Prices by the meter's names, with the date they were valid and where they come from."""

    name: str
    dated: str
    source: str
    per_unit: dict[str, float]

    def cost(self, amounts: Mapping[str, float]) -> float:
        """US dollars for these amounts; what has no price is free."""
        return sum(amount * self.per_unit.get(name, 0.0) for name, amount in amounts.items())


# One machine: electricity for the time a core is busy (65 W at 0.30 dollars a kWh, in microseconds), and a small
# hosted language model by the token. Both are assumptions of ours, to be set in the settings file.
LOCAL = PriceBook(
    "local",
    "2026-11-01",
    "assumed: 65 W a core, 0.30 USD/kWh; 0.15 and 0.60 USD per million tokens",
    {
        "busy_us": 65 / 1000 * 0.30 / 3600 / 1e6,
        "prompt_tokens": 0.15e-6,
        "completion_tokens": 0.60e-6,
    },
)
