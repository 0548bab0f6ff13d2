"""`watchkeeper cost`: what a month in a cloud will cost, before anything is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.cost.aws_estimate import estimate
from watchkeeper.cost.aws_flows import Assumptions
from watchkeeper.cost.aws_prices import AWS
from watchkeeper.cost.aws_stack import stack_for
from watchkeeper.pipeline import PIPELINE

if TYPE_CHECKING:
    from watchkeeper.cost.aws_estimate import Estimate
    from watchkeeper.cost.aws_flows import Load


def show_cost(load: Load, readings_per_message: float, *, as_json: bool) -> int:
    """Print the estimate; answers 0."""
    assumed = Assumptions(readings_per_message=readings_per_message)
    found = estimate(PIPELINE, load, stack_for(load.readings_per_second), AWS, assumed)
    print(msgspec.json.format(msgspec.json.encode(_as_data(found))).decode() if as_json else _as_text(found, assumed))
    return 0


def _as_text(found: Estimate, assumed: Assumptions) -> str:
    stack, load = found.stack, found.load
    rows = [f"  {line.service:<18}{line.standing:>12,.2f}{line.per_use:>12,.2f}" for line in found.lines]
    total = found.standing + found.per_use
    at_once = f"{assumed.readings_per_message:g} readings a message, {assumed.reading_bytes:g} bytes each"
    brokers = f"{stack.kafka_brokers} brokers {stack.kafka_instance} with {found.volume_gb} GB"
    waits = f"batches wait {stack.batch_window_seconds} s"
    return "\n".join(
        [
            f"A month of {load.readings_per_second:,g} readings/s of {load.devices:,} devices, US dollars",
            f"({brokers}, {stack.zones} zones, {stack.shards} shards)",
            "",
            f"  {'':<18}{'standing':>12}{'per use':>12}",
            *rows,
            f"  {'together':<18}{found.standing:>12,.2f}{found.per_use:>12,.2f}",
            "",
            f"  {total:,.2f} a month; per use {found.per_million:.3f} for a million readings",
            "",
            f"Prices: {AWS.name}, {AWS.dated}: {AWS.source}.",
            f"Assumed: {at_once}; {waits}; what was stored this month, not before; no language model.",
        ]
    )


def _as_data(found: Estimate) -> dict[str, object]:
    return {
        "prices": {"name": AWS.name, "dated": AWS.dated, "source": AWS.source},
        "load": found.load._asdict(),
        "stack": found.stack,
        "volume_gb": found.volume_gb,
        "services": [line._asdict() for line in found.lines],
        "standing": found.standing,
        "per_use": found.per_use,
        "per_million_readings": found.per_million,
    }
