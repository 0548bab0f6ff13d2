"""A month's cost in a cloud, by service: what stands whether or not anything comes, and what comes with readings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.cost.flows import Load
    from watchkeeper.cost.prices import PriceBook

HOURS = 730  # of a month
SECONDS = HOURS * 3600
Amounts = dict[str, dict[str, float]]
"""By service, and by the price book's names."""


class Line(NamedTuple):
    """A service's US dollars a month: what runs whether or not anything comes, and what comes with readings."""

    service: str
    standing: float
    per_use: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A month's cost by service, for a load, on a stack that is described for people in `size`."""

    lines: tuple[Line, ...]
    load: Load
    size: str

    @property
    def standing(self) -> float:
        """US dollars a month that run whether or not anything comes."""
        return sum(line.standing for line in self.lines)

    @property
    def per_use(self) -> float:
        """US dollars a month that come with readings."""
        return sum(line.per_use for line in self.lines)

    @property
    def per_million(self) -> float:
        """US dollars per use for a million readings; 0: there are none."""
        readings = self.load.readings_per_second * SECONDS
        return self.per_use / readings * 1e6 if readings else 0.0


def priced(
    standing: Mapping[str, Mapping[str, float]], a_second: Mapping[str, Mapping[str, float]], prices: PriceBook
) -> tuple[Line, ...]:
    """The lines for what stands (amounts a month) and what is used (amounts a second), the dearest first."""
    used = {s: {name: amount * SECONDS for name, amount in amounts.items()} for s, amounts in a_second.items()}
    services = sorted({*used, *standing}, key=lambda name: (-prices.cost(standing.get(name, {})), name))
    return tuple(Line(name, prices.cost(standing.get(name, {})), prices.cost(used.get(name, {}))) for name in services)
