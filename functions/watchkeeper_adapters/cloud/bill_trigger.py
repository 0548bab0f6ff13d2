"""The cloud's own bill has overtaken the meter. It arrives hours late, and is the backstop.

What the bill has above the meter is added to the meter as `billed_usd`, once: then the stage decides as it always does.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from watchkeeper.cost.budget import month_of, spend_of

if TYPE_CHECKING:
    from watchkeeper_adapters.cloud.container import CloudContainer

log = logging.getLogger(__name__)
BILLED = "billed_usd"


def catch_up(billed: float, container: CloudContainer) -> float:
    """Dollars that were added, of `billed` dollars in this month so far."""
    now = container.clock()
    _, first, last, _ = month_of(now)
    meter = container.ports.meter
    missing = billed - spend_of(meter.total(first, last), container.published.budget, now).spent
    if missing <= 0:
        return 0.0
    log.warning("the bill is %.2f USD above the meter: it is added", missing)
    meter.add(datetime.fromtimestamp(now / 1000, UTC).date().isoformat(), "bill", {BILLED: missing})
    return missing
