"""`watchkeeper cost`: what a month in a cloud will cost, before anything is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.cost import aws_estimate, aws_stack, azure_estimate, azure_stack
from watchkeeper.cost.aws_prices import AWS
from watchkeeper.cost.azure_prices import AZURE
from watchkeeper.cost.flows import Assumptions
from watchkeeper.pipeline import PIPELINE

if TYPE_CHECKING:
    from watchkeeper.cost.estimate import Estimate
    from watchkeeper.cost.flows import Load
    from watchkeeper.cost.prices import PriceBook

PRICES = {"aws": AWS, "azure": AZURE}
"""The clouds that there is an estimate for, with their price books."""


def estimate_for(cloud: str, load: Load, assumed: Assumptions | None = None) -> Estimate:
    """A month's cost in a cloud, on the stack that is taken there for such a load."""
    assumed = assumed or Assumptions()
    if cloud == "aws":
        return aws_estimate.estimate(PIPELINE, load, aws_stack.stack_for(load.readings_per_second), AWS, assumed)
    stack = azure_stack.stack_for(load.readings_per_second, assumed.readings_per_message)
    return azure_estimate.estimate(PIPELINE, load, stack, AZURE, assumed)


def show_cost(cloud: str, load: Load, readings_per_message: float, *, as_json: bool) -> int:
    """Print the estimate; answers 0."""
    assumed = Assumptions(readings_per_message=readings_per_message)
    found, prices = estimate_for(cloud, load, assumed), PRICES[cloud]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(_as_data(found, prices))).decode())
    else:
        print(_as_text(found, assumed, prices))
    return 0


def _as_text(found: Estimate, assumed: Assumptions, prices: PriceBook) -> str:
    load = found.load
    rows = [f"  {line.service:<18}{line.standing:>12,.2f}{line.per_use:>12,.2f}" for line in found.lines]
    total = found.standing + found.per_use
    at_once = f"{assumed.readings_per_message:g} readings a message, {assumed.reading_bytes:g} bytes each"
    return "\n".join(
        [
            f"A month of {load.readings_per_second:,g} readings/s of {load.devices:,} devices, US dollars",
            f"({found.size})",
            "",
            f"  {'':<18}{'standing':>12}{'per use':>12}",
            *rows,
            f"  {'together':<18}{found.standing:>12,.2f}{found.per_use:>12,.2f}",
            "",
            f"  {total:,.2f} a month; per use {found.per_million:.3f} for a million readings",
            "",
            f"Prices: {prices.name}, {prices.dated}: {prices.source}.",
            f"Assumed: {at_once}; what was stored this month, not before; no language model.",
        ]
    )


def _as_data(found: Estimate, prices: PriceBook) -> dict[str, object]:
    return {
        "prices": {"name": prices.name, "dated": prices.dated, "source": prices.source},
        "load": found.load._asdict(),
        "stack": found.size,
        "services": [line._asdict() for line in found.lines],
        "standing": found.standing,
        "per_use": found.per_use,
        "per_million_readings": found.per_million,
    }
