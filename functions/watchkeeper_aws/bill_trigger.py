"""AWS Budgets' notifications: the bill has overtaken the meter. It arrives hours late, and is the backstop.

What the bill has above the meter is added to the meter as `billed_usd`, once: then the stage decides as it always does.
Format: https://docs.aws.amazon.com/cost-management/latest/userguide/sns-notification-examples.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from watchkeeper.cost.budget import month_of, spend_of

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container

log = logging.getLogger(__name__)
BILLED = "billed_usd"
_KIND = re.compile(r"Alert Type:\s*(ACTUAL|FORECASTED)", re.IGNORECASE)
_AMOUNT = re.compile(r"ACTUAL Amount:\s*\$?([\d,]+(?:\.\d+)?)", re.IGNORECASE)


def heed_bill(event: Mapping[str, Any], container: Container) -> float:
    """Dollars that were added. A forecast adds nothing, and what cannot be understood is said: the timer goes on."""
    added = 0.0
    for record in event["Records"]:
        text = str(record.get("Sns", {}).get("Message", ""))
        kind, amount = _KIND.search(text), _AMOUNT.search(text)
        if kind is None or (kind[1].upper() == "ACTUAL" and amount is None):
            log.error("a notification of AWS Budgets is not understood: %s", text[:500])
        elif kind[1].upper() == "ACTUAL" and amount is not None:
            added += _catch_up(float(amount[1].replace(",", "")), container)
    return added


def _catch_up(billed: float, container: Container) -> float:
    now = container.clock()
    _, first, last, _ = month_of(now)
    meter = container.ports.meter
    missing = billed - spend_of(meter.total(first, last), container.published.budget, now).spent
    if missing <= 0:
        return 0.0
    log.warning("the bill is %.2f USD above the meter: it is added", missing)
    meter.add(datetime.fromtimestamp(now / 1000, UTC).date().isoformat(), "bill", {BILLED: missing})
    return missing
